"""The catalogs of the translations: a .po per language, which people edit, and the .mo that is compiled from it."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import read_po, write_po

from nbserver.language.choice import CODES
from tools.translation_texts import Text, placeholders

LOCALE = Path("installer", "nbserver", "language", "locale")
LANGUAGES = tuple(code for code in CODES if code != "en")
PLURALS = {"fr": "nplurals=2; plural=(n > 1);", "ja": "nplurals=1; plural=0;"}
FORMS = {"fr": 2, "ja": 1}


def po_path(root: Path, language: str) -> Path:
    return root / LOCALE / language / "LC_MESSAGES" / "nbserver.po"


def mo_path(root: Path, language: str) -> Path:
    return po_path(root, language).with_suffix(".mo")


def read(path: Path, language: str) -> dict[str, Message]:
    """Return the entries of a .po by their text."""
    if not path.exists():
        return {}
    catalog = read_po(BytesIO(path.read_bytes()), locale=language)
    return {message.id if isinstance(message.id, str) else message.id[0]: message for message in catalog if message.id}


def updated(texts: Sequence[Text], known: dict[str, Message], language: str) -> str:
    """Return the .po with all texts, and the translations that are known. Those of other texts are gone."""
    catalog = Catalog(locale=language)
    catalog.mime_headers = [("Plural-Forms", PLURALS[language])]
    for text in texts:
        message = known.get(text.text)
        given = message.string if message and not message.fuzzy else ""
        added = catalog.add(
            (text.text, text.several) if text.several else text.text,
            _forms(given, language) if text.several else given if isinstance(given, str) else given[0],
            locations=[(text.file, None)],  # type: ignore[list-item]
            auto_comments=[text.what] if text.what else [],
        )
        added.flags.clear()  # python-brace-format, which only newer releases of Babel add
    out = BytesIO()
    write_po(out, catalog, width=0, omit_header=True, include_lineno=False, sort_output=True)
    return f"{_header(language)}\n{out.getvalue().decode('utf-8')}"


def _forms(given: str | Sequence[str], language: str) -> tuple[str, ...]:
    forms = (given,) if isinstance(given, str) else tuple(given)
    return (*forms, *[""] * FORMS[language])[: FORMS[language]]


def _header(language: str) -> str:
    fields = ("Content-Type: text/plain; charset=utf-8", f"Language: {language}", f"Plural-Forms: {PLURALS[language]}")
    return 'msgid ""\nmsgstr ""\n' + "".join(f'"{field}\\n"\n' for field in fields)


def faults(texts: Sequence[Text], known: dict[str, Message], language: str) -> list[str]:
    """Return what is wrong with the entries of a catalog."""
    wanted = {text.text: text for text in texts}
    found = [f"{language}: {text} is not a text of nbserver any more" for text in known.keys() - wanted.keys()]
    for text in texts:
        message = known.get(text.text)
        forms = [] if message is None else [message.string] if isinstance(message.string, str) else list(message.string)
        if message is None or not forms or not all(forms):
            found.append(f"{language}: not translated: {text.text!r}")
        elif message.fuzzy:
            found.append(f"{language}: fuzzy: {text.text!r}")
        elif not _same_placeholders(text, forms):
            found.append(f"{language}: other placeholders: {text.text!r}")
    return found


def _same_placeholders(text: Text, forms: Sequence[str]) -> bool:
    """Return whether each form has the values of the text. The singular form may lack the number."""
    *first, last = (placeholders(form) for form in forms)
    return last == placeholders(text.several or text.text) and all(one <= last for one in first)


def compiled(po: str, language: str) -> bytes:
    """Return the .mo: the same bytes for the same entries, with any version of Babel."""
    entries: dict[str, str] = {"": "".join(line.strip('"').replace("\\n", "\n") for line in _header(language).splitlines()[2:])}
    for message in read_po(BytesIO(po.encode("utf-8")), locale=language):
        forms = (message.string,) if isinstance(message.string, str) else message.string
        if message.id and all(forms) and not message.fuzzy:
            entries[message.id if isinstance(message.id, str) else "\0".join(message.id)] = "\0".join(forms)
    pairs = [(key.encode("utf-8"), value.encode("utf-8")) for key, value in entries.items()]
    return _mo(sorted(pairs))


def _mo(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the binary form: a head, a table of the keys, a table of the values, and their bytes (GNU gettext manual, 10.3)."""
    count = len(pairs)
    begin = 28 + 16 * count
    tables = b""
    for texts in ([key for key, _ in pairs], [value for _, value in pairs]):
        for text in texts:
            tables += struct.pack("<II", len(text), begin)
            begin += len(text) + 1
    head = struct.pack("<7I", 0x950412DE, 0, count, 28, 28 + 8 * count, 0, 0)
    return head + tables + b"".join(text + b"\0" for texts in zip(*pairs, strict=True) for text in texts)


def merged(known: dict[str, Message], others: Iterable[dict[str, Message]]) -> dict[str, Message]:
    """Return the entries, with the translations of other catalogs in their place."""
    result = dict(known)
    for other in others:
        result |= {text: message for text, message in other.items() if message.string}
    return result
