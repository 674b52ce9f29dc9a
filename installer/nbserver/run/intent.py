"""intent.json of a run directory: what was about to be done when the first host was contacted, so that a run can be continued.

It is written after the scripts of all hosts, and before any host is contacted. It has no secrets.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbserver.base import file_format, plain_file
from nbserver.base.errors import ApprovalError
from nbserver.base.existing import exists
from nbserver.base.message import message
from nbserver.inventory.names import is_host
from nbserver.run.options import Options

if TYPE_CHECKING:
    from nbserver.render.script import Script

FILE = "intent.json"
VERSION = 1
LARGEST = 64_000_000  # bytes
# Options that are not kept: secrets, where the run directory is, the order of the hosts (it is kept as their batches), what belongs
# to modes that are not continued, which notebooks are removed: they may have been changed since, and which hosts lack downloads.
NOT_KEPT = frozenset({"runs", "chains", "keys", "passwords", "command", "policy", "transfers", "archived", "undelivered"})
_SHA256 = re.compile("[0-9a-f]{64}")
_ADVICE = message("intent-advice", "Find out who changed the run directory. To see all changes, run nbserver audit --run RUN")


@dataclass(frozen=True)
class Intent:
    """What a run was about to do.

    `hosts` maps each host to the SHA-256 of its script. `options` has the options that differ from their defaults, and `salt` is the
    salt of password hashes. `given` are the hosts whose password was entered or generated for this run; it is stored nowhere.
    `batches` are the hosts as --canary and --serial order them, first the canaries; empty without such an option, and before 0.7.0.
    No further host begins after more than `max_failures`.
    """

    hosts: dict[str, str]
    options: dict[str, Any] = field(default_factory=dict)
    salt: str | None = None
    given: tuple[str, ...] = ()
    batches: tuple[tuple[str, ...], ...] = ()
    max_failures: int | None = None

    def as_bytes(self) -> bytes:
        """Return the content of the file."""
        content = {"v": VERSION, "options": self.options, "salt": self.salt, "passwords_given": list(self.given), "scripts": self.hosts}
        if self.batches:
            content |= {"batches": self.batches, "max_failures": self.max_failures}
        return (json.dumps(content, indent=2) + "\n").encode("ascii")


def of(
    scripts: Iterable[Script], options: Options, salt: str | None, batches: Iterable[Iterable[str]] = (), most: int | None = None
) -> Intent:
    """Return the intent of a run that is about to begin. More than `most` hosts must not fail."""
    default = Options()
    kept = {
        one.name: _as_json(value)
        for one in dataclasses.fields(options)
        if one.name not in NOT_KEPT and (value := getattr(options, one.name)) != getattr(default, one.name)
    }
    order = () if options.policy == default.policy else tuple(tuple(names) for names in batches)
    return Intent({script.host: script.sha256 for script in scripts}, kept, salt, tuple(options.passwords), order, most)


def _as_json(value: Any) -> Any:
    return str(value.absolute()) if isinstance(value, Path) else value


def read(folder: Path) -> Intent | None:
    """Return the intent of a run, or None if it ended before any host was contacted. Raises ApprovalError for a file that is not valid."""
    path = folder / FILE
    if not exists(path):
        return None
    try:
        value = json.loads(plain_file.read(path, LARGEST, advice=_ADVICE))  # seconds are not whole numbers
        file_format.require_supported(value, VERSION, plain_file.shown(path), ApprovalError)
        order = tuple(tuple(names) for names in value.get("batches", ()))
        intent = Intent(
            value["scripts"], value["options"], value["salt"], tuple(value["passwords_given"]), order, value.get("max_failures")
        )
        if value["v"] != VERSION or not _is_plain(intent):
            raise ValueError("not written by this release")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ApprovalError(
            "intent-invalid",
            "the file is not in the format that nbserver writes",
            where=plain_file.shown(path),
            todo="{advice}",
            advice=_ADVICE,
        ) from None
    return intent


def _is_plain(intent: Intent) -> bool:
    """Return whether all values are of the right kind. A name that is a pattern would select other hosts, or be another folder."""
    types = {one.name: str(one.type) for one in dataclasses.fields(Options)}
    return (
        all(is_host(name) and _SHA256.fullmatch(sha256) for name, sha256 in intent.hosts.items())
        and all(isinstance(name, str) for name in intent.given)
        and isinstance(intent.salt, str | None)
        and (not intent.batches or sorted(name for names in intent.batches for name in names) == sorted(intent.hosts))
        and (intent.max_failures is None or type(intent.max_failures) is int)
        and all(name not in types or _fits(value, types[name]) for name, value in intent.options.items())
    )


def _fits(value: Any, kind: str) -> bool:
    if kind.startswith("tuple"):
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if "Path" in kind:
        return isinstance(value, str) and "\0" not in value
    return type(value).__name__ == kind.removesuffix(" | None")


def options(intent: Intent, **given: Any) -> Options:
    """Return the options of the run, with those in `given` that are not None in their place."""
    paths = {one.name for one in dataclasses.fields(Options) if "Path" in str(one.type)}
    known = {one.name for one in dataclasses.fields(Options)} - NOT_KEPT
    kept = {name: Path(value) if name in paths else value for name, value in intent.options.items() if name in known}
    kept |= {name: tuple(value) for name, value in kept.items() if isinstance(value, list)}
    return Options(**{**kept, **{name: value for name, value in given.items() if value is not None}})
