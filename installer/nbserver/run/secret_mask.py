"""Mask the known secrets of a run in output, logs, and the journal.

A host that sends a secret has leaked it: the event is masked, and the run on that host fails.
"""

from __future__ import annotations

import base64
import html
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from heapq import merge
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

from nbserver.base.errors import NbserverError
from nbserver.base.message import as_json
from nbserver.base.plain_text import without_colors
from nbserver.transports.payload import NOTHING, Payload

if TYPE_CHECKING:
    from nbserver.run.result import Result
    from nbserver.transports.transport import Transport

SHORTEST = 6  # characters; a shorter secret occurs in too many words
MANY = 100  # forms
SEARCHED = 100_000_000  # characters of public text, for all forms together
MARK = "*****"  # shorter than SHORTEST, so it cannot contain a secret

_PEM_HEAD = re.compile(r"-----(BEGIN|END) [A-Z ]+-----")


class SecretMask:
    """Replaces secrets with asterisks.

    `public` is text that anyone may read, such as the script and the user's name. A secret that occurs in it is not masked:
    masking it would reveal it, and every harmless event would seem to leak it.
    """

    def __init__(self, public: Iterable[str] = ()) -> None:
        self._public = list(public)
        self._windows: frozenset[str] | None = None  # all texts of SHORTEST characters in what is public, once they are needed
        self._forms: tuple[str, ...] = ()  # the longest first
        self._beginnings: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"<SecretMask of {len(self._forms)} forms>"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_lock", "_windows")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock(), _windows=None)

    def add(self, *secrets: str | None) -> None:
        """Add secrets. Each line of a PEM key, or of any multi-line text, is a separate secret."""
        forms = {form for secret in set(secrets) if secret for form in _forms(secret)}
        with self._lock:
            more = self._not_public(forms.difference(self._forms))
            if more:
                self._forms = tuple(merge(self._forms, sorted(more, key=_order), key=_order))
                self._beginnings |= {form[:SHORTEST] for form in more}

    def _not_public(self, forms: set[str]) -> set[str]:
        """Return those that do not occur in public text. With the scripts of thousands of hosts, that is too long to be searched for each."""
        if self._windows is None and len(forms) * sum(map(len, self._public)) > SEARCHED:
            found: set[str] = set()
            for text in self._public:
                found.update(text[place : place + SHORTEST] for place in range(len(text) - SHORTEST + 1))
            self._windows = frozenset(found)
        possible = forms if self._windows is None else {form for form in forms if form[:SHORTEST] in self._windows}
        return forms - {form for form in possible if any(form in text for text in self._public)}

    def text(self, text: str) -> str:
        """Return the text with every secret masked, even if color codes split it."""
        masked = self._masked(text)
        if "\x1b" not in masked:
            return masked
        plain = without_colors(masked)
        found = self._masked(plain)
        return masked if found == plain else found

    def _masked(self, text: str) -> str:
        if len(self._forms) > MANY:  # each form for itself, they would take longer than a run of a thousand hosts
            beginnings = self._beginnings
            if not any(text[place : place + SHORTEST] in beginnings for place in range(len(text) - SHORTEST + 1)):
                return text
        for form in self._forms:
            if form in text:
                text = text.replace(form, MARK)
        return text

    def line(self, line: str) -> str:
        """Return a line, of JSON or other text, with every secret masked, however its characters are escaped."""
        masked = self.text(line)
        if "\\" not in line:
            return masked
        found = False

        def value(item: Any) -> Any:
            nonlocal found
            if isinstance(item, str):
                clean = self.text(item)
                found = found or clean != item
                return clean
            return [value(one) for one in item] if isinstance(item, list) else item

        def table(pairs: list[tuple[str, Any]]) -> dict[str, Any]:  # this sees duplicate keys
            return {value(key): value(item) for key, item in pairs}

        try:
            decoded = value(json.loads(line, object_pairs_hook=table, parse_int=_integer))
        except (ValueError, RecursionError):
            return masked
        return self.text(json.dumps(decoded)) if found else masked

    def watch(self, transport: Transport, leaked: Callable[[], None]) -> Transport:
        """The transport, whose host's lines come masked from now on. `leaked` is called for each that was."""
        run = transport.run

        def masked(script: str, envelope: Any, data: Payload = NOTHING) -> Iterator[str]:
            for line in run(script, envelope, data) if data.size else run(script, envelope):
                clean = self.line(line)
                if clean != line:
                    leaked()
                yield clean

        transport.run = masked  # type: ignore[method-assign]
        return transport

    def error(self, error: NbserverError) -> None:
        """Mask the secrets in an error's message and values."""
        error.what, error.where, error.todo = self.text(error.what), self.text(error.where), self.text(error.todo)
        error.args = (error.what,)
        others = as_json({name: value for name, value in error.values.items() if type(value) is not str})
        texts = {name: value for name, value in error.values.items() if type(value) is str}  # one can have lines, such as a traceback
        error.values = self.value({**others, **texts})

    def result(self, result: Result) -> None:
        """Mask the secrets in the error of a host's result."""
        result.error, result.detail = self.text(result.error), self.value(result.detail)
        result.findings = [
            replace(one, text=self.text(one.text), todo=self.text(one.todo), detail=self.value(one.detail)) for one in result.findings
        ]

    def value(self, value: Any) -> Any:
        """Return a JSON value with every secret in its texts masked."""
        if isinstance(value, dict):
            return {key: self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return self.text(value) if isinstance(value, str) else value


def _order(form: str) -> tuple[int, str]:
    return -len(form), form


def _integer(digits: str) -> int | str:
    """Parse an integer. Long ones stay strings: Python 3.10 takes quadratic time for them, and no event contains one."""
    return int(digits) if len(digits) <= 20 else digits


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it is written in plain text, an envelope, JSON, a URL, XML, Python, bash, and PowerShell."""
    encoded = secret.encode("utf-8", "surrogatepass")
    lines = [line.strip() for line in secret.splitlines()] if "\n" in secret else []
    whole = [
        secret,
        base64.b64encode(encoded).decode("ascii").rstrip("="),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(encoded, safe=""),
    ]
    xml = escape(secret)
    json_of_powershell = "".join(f"\\u{ord(character):04x}" if character in "'<>&" else character for character in whole[3])
    quoted = [
        quote_plus(encoded),
        xml,
        html.escape(secret).replace("&#x27;", "'"),
        xml.replace('"', "&quot;").replace("'", "&apos;"),
        html.escape(secret),
    ]
    programs = [
        repr(secret)[1:-1],
        repr(encoded)[2:-1],
        secret.replace("'", "'\\''"),
        secret.replace("'", "'\"'\"'"),
        secret.replace("'", "''"),
    ]
    for form in [*whole, json_of_powershell, *quoted, *programs, *lines]:
        if len(form) >= SHORTEST and not _PEM_HEAD.fullmatch(form):
            yield form
