"""What differs between two folders, such as an earlier approval and a new one, or between the bodies of two releases."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbserver import __version__
from nbserver.approval import audit, manifest, signature
from nbserver.approval.audit import LIMIT, Audited
from nbserver.approval.reference import Reference
from nbserver.base import plain_file
from nbserver.base.errors import ApprovalError
from nbserver.base.message import message, phrase
from nbserver.base.plain_text import clean
from nbserver.review.package_facts import is_package, packages
from nbserver.review.statements import flat

BODY = "\n# ==== body"
_SCOPE = re.compile(r"^(?: \"scope\": \"(\w+)\",|NB_SCOPE='(\w+)')$", re.MULTILINE)
_LOCK = re.compile(r"^    '(.+ --hash=sha256:[0-9a-f]+)'$", re.MULTILINE)
_FOLLOWS = {
    "sha256",
    "signed_sha256",
    "head_sha256",
    "downloads",
    "steps",
    "settings",
    "target",
}  # of an entry: shown otherwise, or follows from the rest
AGAIN = message("specify-other-folder", "Specify a folder that nbserver render wrote")


@dataclass(frozen=True)
class Row:
    """One value before and now; "" is none."""

    what: str
    before: str
    now: str


@dataclass(frozen=True)
class Change:
    """What differs in the same way on some hosts. `diff` has the lines of a unified diff."""

    title: str
    rows: tuple[Row, ...] = ()
    diff: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """`name` is what was compared with, and `statement` says how far that was checked."""

    name: str
    statement: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Side:
    """One of two folders: the entry of each host, and the text of its script."""

    entries: Mapping[str, Mapping[str, Any]]
    texts: Mapping[str, str]


def against(folder: Path, audited: Audited, other: Path, reference: Reference) -> Comparison:
    """Return how an audited folder differs from an earlier one. Raises ApprovalError if the earlier one is not as its manifest says."""
    path = other / manifest.FILE_NAME
    content = manifest.parse(manifest.read_bytes(path), path)
    release = str(content["release"])
    if release == __version__ and content["v"] == manifest.VERSION:
        statement = phrase("This release also audited {folder}: every byte is accounted for.", folder=plain_file.shown(other))
        audit.checked(other, reference)
    else:
        statement = phrase(
            "nbserver {release} rendered {folder}. Its scripts have the hashes in its manifest; that release alone can audit them.",
            release=clean(release, 50),
            folder=plain_file.shown(other),
        )
    old, new = _side(other, content["hosts"]), _side(folder, {host.name: host.entry for host in audited.hosts})
    return Comparison(plain_file.shown(other), statement, tuple(_changes(old, new)))


def bodies(one: Path, other: Path) -> Comparison:
    """Return how the bodies of two releases differ. Each path is a script or a folder with scripts. Raises ApprovalError."""
    old, new = _bodies(one), _bodies(other)
    changes = [
        Change(
            phrase("{kind}: body {before}, now {now}", kind=_kind_title(kind), before=_digest(old.get(kind)), now=_digest(new.get(kind))),
            (),
            _diff(old.get(kind, ""), new.get(kind, "")),
        )
        for kind in sorted(old.keys() | new.keys())
        if old.get(kind) != new.get(kind)
    ]
    name = phrase("{one} and {other}", one=plain_file.shown(one), other=plain_file.shown(other))
    return Comparison(name, phrase("The bodies were compared as they are. Neither side was audited."), tuple(changes))


def _side(folder: Path, entries: Mapping[str, Mapping[str, Any]]) -> Side:
    texts = {}
    for host, entry in sorted(entries.items()):
        path = folder / entry["script"]
        data = _unsigned(plain_file.read(path, LIMIT, advice=AGAIN), path)
        if hashlib.sha256(data).hexdigest() != entry["sha256"]:
            raise ApprovalError(
                "other-script-hash-differs",
                "the script's SHA-256 does not match the manifest in the same folder",
                where=plain_file.shown(path),
                todo="{advice}",
                advice=AGAIN,
            )
        texts[host] = _text(data)
    return Side(entries, texts)


def _changes(old: Side, new: Side) -> Iterator[Change]:
    if coming := sorted(new.entries.keys() - old.entries.keys()):
        yield Change(phrase("Not there before: {hosts}", hosts=_names(coming)))
    if going := sorted(old.entries.keys() - new.entries.keys()):
        yield Change(phrase("No longer there: {hosts}", hosts=_names(going)))
    groups: dict[tuple[Row, ...], list[str]] = {}
    both = sorted(old.entries.keys() & new.entries.keys())
    for host in both:
        rows = tuple(_rows(host, old, new))
        if rows:
            groups.setdefault(rows, []).append(host)
    for rows, hosts in groups.items():
        yield Change(_names(hosts), rows)
    yield from _text_changes(both, old, new)


def _rows(host: str, old: Side, new: Side) -> Iterator[Row]:
    before, now = old.entries[host], new.entries[host]
    pairs = [(dict(flat(side["settings"], "settings.")) | _target(side) | _downloads(side) | _plain(side)) for side in (before, now)]
    keys = [key for key in sorted(pairs[0].keys() | pairs[1].keys()) if pairs[0].get(key) != pairs[1].get(key)]
    for key in keys:
        yield Row(key, pairs[0].get(key, ""), pairs[1].get(key, ""))
    if not keys and before["sha256"] != now["sha256"]:
        yield Row("sha256", before["sha256"], now["sha256"])


def _target(entry: Mapping[str, Any]) -> dict[str, str]:
    return dict(flat(entry["target"], "target.")) if "target" in entry else {}


def _downloads(entry: Mapping[str, Any]) -> dict[str, str]:
    return {f"download {item['name']}": f"{item['version']} {item['url']} {item['sha256']}" for item in entry["downloads"]}


def _plain(entry: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value) for key, value in entry.items() if key not in _FOLLOWS} | {"steps": ", ".join(entry["steps"])}


def _text_changes(hosts: Iterable[str], old: Side, new: Side) -> Iterator[Change]:
    """Yield the difference of each pair of bodies and locks once."""
    bodies: dict[tuple[str, str], list[str]] = {}
    locks: dict[tuple[str, str], list[str]] = {}
    for host in hosts:
        for key, found in (("body_sha256", bodies), ("lock_sha256", locks)):
            pair = (old.entries[host][key], new.entries[host][key])
            if pair[0] != pair[1]:
                found.setdefault(pair, []).append(host)
    for names in locks.values():
        before, now = (_packages(side.texts[names[0]]) for side in (old, new))
        keys = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
        yield Change(
            phrase("Packages of {hosts}", hosts=_names(names)), tuple(Row(key, before.get(key, ""), now.get(key, "")) for key in keys)
        )
    for names in bodies.values():
        yield Change(phrase("Body of {hosts}", hosts=_names(names)), (), _diff(_body(old.texts[names[0]]), _body(new.texts[names[0]])))


def _packages(text: str) -> dict[str, str]:
    """Return the versions of each package of a script's lock, with the conditions and the hashes. A line that is not a package is under its own text."""
    found: dict[str, list[str]] = {}
    lines = _LOCK.findall(text.partition(BODY)[0])
    for line in lines:
        if not is_package(line):
            name, _, hashes = line.partition(" --hash=")
            found.setdefault(name, []).append(f"({hashes})")
    for package in packages(filter(is_package, lines)):
        condition = f" if {package.condition}" if package.condition else ""
        found.setdefault(package.name, []).append(f"{package.version}{condition} (sha256 {', '.join(package.hashes)})")
    return {name: "; ".join(versions) for name, versions in found.items()}


def _body(text: str) -> str:
    _, begin, rest = text.partition(BODY)
    return begin[1:] + rest


def _diff(before: str, now: str) -> tuple[str, ...]:
    lines = difflib.unified_diff(before.split("\n"), now.split("\n"), "before", "now", lineterm="")
    return tuple(clean(line, LIMIT) if line.strip() != line[:1] else line.rstrip("\n") for line in lines)


def _unsigned(data: bytes, path: Path) -> bytes:
    """Return the script without its signature, if it has one. Raises ApprovalError."""
    return signature.require(data, plain_file.shown(path))[0] if signature.is_signed(data) else data


def _bodies(path: Path) -> dict[tuple[str, str], str]:
    """Return the body of each (language, scope) of a script or of a folder with scripts."""
    is_folder = os.path.isdir(path)  # noqa: PTH112 (Path.is_dir raises PermissionError)
    files = [path / name for name in sorted(plain_file.names(path)) if name.endswith((".ps1", ".sh"))] if is_folder else [path]
    found: dict[tuple[str, str], str] = {}
    for file in files:
        text = _text(_unsigned(plain_file.read(file, LIMIT, advice=AGAIN), file))
        scope = _SCOPE.search(text.partition(BODY)[0])
        if BODY not in text or not scope:
            raise ApprovalError(
                "not-a-script",
                "the file is not a script that nbserver rendered",
                where=plain_file.shown(file),
                todo="{advice}",
                advice=AGAIN,
            )
        kind = ("sh" if scope[2] else "ps1", str(scope[1] or scope[2]))
        if found.setdefault(kind, _body(text)) != _body(text):
            raise ApprovalError(
                "bodies-in-folder-differ",
                "the bodies of the scripts in this folder differ, even for the same system and scope, so nbserver cannot determine which body to compare",
                where=plain_file.shown(path),
                todo="Specify one of the scripts instead of the folder",
            )
    if not found:
        raise ApprovalError(
            "folder-without-scripts",
            "the folder contains no scripts that nbserver rendered",
            where=plain_file.shown(path),
            todo="{advice}",
            advice=AGAIN,
        )
    return found


def _kind_title(kind: tuple[str, str]) -> str:
    return phrase("{system}, scope {scope}", system="Linux" if kind[0] == "sh" else "Windows", scope=kind[1])


def _digest(body: str | None) -> str:
    return phrase("none") if body is None else hashlib.sha256(body.encode("utf-8")).hexdigest()


def _text(data: bytes) -> str:
    return data.decode("ascii", "backslashreplace")


def _names(hosts: list[str]) -> str:
    return ", ".join(hosts) if len(hosts) <= 5 else phrase("{count} hosts: {first}, ...", count=len(hosts), first=", ".join(hosts[:3]))
