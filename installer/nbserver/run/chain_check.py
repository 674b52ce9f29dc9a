"""Check a run directory against its chain, and the chain against what was written outside the directory."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nbserver.base import file_format, file_lock, plain_file
from nbserver.base.errors import ApprovalError
from nbserver.base.message import Described, Lines, Message, message
from nbserver.base.plain_text import clean
from nbserver.run import chain, signed_head
from nbserver.run.chain import BEGINNING, FILE, Head, Link
from nbserver.settings import write_access

LARGEST_CHAIN = 64_000_000  # bytes
LARGEST = 256_000_000  # bytes; a host cannot send more than 20 MB per leg
GROWING = ("events.jsonl", "log.txt")  # may be in the chain more than once: each time as far as it was written
MOST_SHOWN = 20
KEPT = message("run-folder-advice", "Use a copy of the run directory that nobody else could have changed")
_END = b'\n  "end": null,\n'


@dataclass
class Checked:
    """What was checked: the links of the chain, and the hash of each of its lines. `signed` is what a signature covers."""

    links: list[Link]
    hashes: list[str]
    faults: list[Described] = field(default_factory=list)
    signed: signed_head.SignedHead | None = None

    @property
    def head(self) -> Head:
        return Head(len(self.links), self.hashes[-1] if self.hashes else BEGINNING)


def check(folder: Path, anchors: Sequence[Head], hashes: Iterable[str] = ()) -> Checked:
    """Return the chain of a run directory whose files are all as it says.

    `anchors` are the heads that the log of the workstation has for the run, in order, and `hashes` are heads from elsewhere, such as
    a host's log. Raises ApprovalError for what cannot be trusted or does not match.
    """
    present = _files(folder)
    if FILE not in present:
        raise ApprovalError(
            "run-without-chain",
            "the run directory has no {file}: the file was removed, or a release earlier than 0.5.0 created the run directory",
            where=plain_file.shown(folder),
            todo="To compare the run with what its hosts have kept, run nbserver audit HOST --evidence",
            file=FILE,
        )
    found = read_chain(folder / FILE)
    _check_files(folder, present - {FILE, signed_head.SIGNATURE, *_lock(folder)}, found)
    _check_heads(found, anchors, hashes)
    if found.faults:
        shown = found.faults[:MOST_SHOWN]
        if len(found.faults) > MOST_SHOWN:
            shown.append(message("more-faults", "and {count} more", count=len(found.faults) - MOST_SHOWN))
        raise ApprovalError(
            "run-differs",
            "the run directory was changed after nbserver wrote it: {differences}",
            where=plain_file.shown(folder),
            todo="Find out who changed the run directory",
            differences=Lines(shown, ", "),
        )
    if signed_head.SIGNATURE in present:
        found.signed = signed_head.check(folder, found.links)
    return found


def _files(folder: Path) -> set[str]:
    """Return the paths of all files, which must be regular files that only their owner can write."""
    found = set()
    for name in sorted(plain_file.names(folder)):
        path = folder / name
        if _is_folder(path):
            require_closed(path)
            found |= {f"{name}/{below}" for below in plain_file.names(path)}
        else:
            found.add(name)
    require_closed(folder)
    for name in sorted(found):
        require_closed(folder / name)
        if not stat.S_ISREG(os.lstat(folder / name).st_mode):
            raise ApprovalError(
                "run-file-not-regular", "must be a regular file", where=plain_file.shown(folder / name), todo="{advice}", advice=KEPT
            )
    return found


def _lock(folder: Path) -> set[str]:
    """Return the name of the lock of the chain, without content, or nothing. On Windows, it stays if a virus scanner has it open."""
    lock = file_lock.beside(folder / FILE)
    try:
        return {lock.name} if os.lstat(lock).st_size == 0 else set()
    except FileNotFoundError:
        return set()


def _is_folder(path: Path) -> bool:
    found = os.lstat(path)
    return stat.S_ISDIR(found.st_mode) and not plain_file.is_link(found)


def require_closed(path: Path) -> None:
    """Raise ApprovalError if others can write to the file or folder, or if it is a link."""
    found = os.lstat(path)
    if plain_file.is_link(found):
        raise ApprovalError(
            "run-file-is-link",
            "expected a file or a folder, found a link",
            where=plain_file.shown(path),
            todo="{advice}",
            advice=KEPT,
        )
    who = write_access.others(path)
    if who:
        raise ApprovalError(
            "run-file-writable",
            "{who} can write to this path or to the folder that contains it",
            where=plain_file.shown(path),
            todo="{advice}",
            advice=KEPT,
            who=who,
        )


def read_chain(path: Path) -> Checked:
    """Return the lines of a chain. Raises ApprovalError if one does not follow the line before it."""
    links, hashes, previous = [], [], BEGINNING
    for number, line in enumerate(plain_file.read(path, LARGEST_CHAIN, advice=KEPT).splitlines(keepends=True), 1):
        try:
            link = chain.parse(line)
            if link.n != number or link.previous != previous:
                raise ValueError("not the next line")
        except ValueError:
            version = file_format.newer_line(line, chain.VERSION)
            if version is not None:
                raise file_format.of_newer_release(version, chain.VERSION, plain_file.shown(path), ApprovalError) from None
            raise ApprovalError(
                "chain-broken",
                "line {number} does not match the previous line: the file was changed after nbserver wrote it",
                where=plain_file.shown(path),
                todo="Find out who changed this file",
                number=number,
            ) from None
        links.append(link)
        previous = chain.sha256(line)
        hashes.append(previous)
    return Checked(links, hashes)


def _check_files(folder: Path, present: set[str], found: Checked) -> None:
    listed: dict[str, list[Link]] = {}
    for link in found.links:
        listed.setdefault(link.file, []).append(link)
    for name in sorted(present - listed.keys()):
        found.faults.append(message("run-file-not-in-chain", "{file} is not listed in chain.jsonl", file=clean(name, 200)))
    for name, links in sorted(listed.items()):
        fault = _fault(folder, name, links) if name in present else message("run-file-missing", "{file} is missing", file=clean(name, 200))
        if fault:
            found.faults.append(fault)
    if "summary.json" not in listed:
        found.faults.append(message("run-without-summary", "the run has no recorded end: it is still in progress, or nbserver was killed"))


def _fault(folder: Path, name: str, links: list[Link]) -> Message | None:
    """Return how a file differs from the chain, or None. A file that grows must begin with what it was before."""
    differs = message(
        "run-file-differs", "{file} does not match its hash on line {number} of chain.jsonl", file=clean(name, 200), number=links[-1].n
    )
    if os.lstat(folder / name).st_size != links[-1].size or links[-1].size > LARGEST:
        return differs
    data = plain_file.read(folder / name, LARGEST, advice=KEPT)
    if chain.sha256(data) != links[-1].sha256:
        return differs
    for link in links[:-1]:
        if name == "run.json":
            earlier = without_end(data)
        elif name.rpartition("/")[2] in GROWING:
            earlier = data[: link.size]
        else:
            earlier = data
        if (len(earlier), chain.sha256(earlier)) != (link.size, link.sha256):
            return message(
                "run-file-differs", "{file} does not match its hash on line {number} of chain.jsonl", file=clean(name, 200), number=link.n
            )
    return None


def without_end(data: bytes) -> bytes:
    """Return run.json as it was before the run ended."""
    before, mark, after = data.partition(b'\n  "end": ')
    return before + _END + after.partition(b",\n")[2] if mark else data


def _check_heads(found: Checked, anchors: Sequence[Head], hashes: Iterable[str]) -> None:
    for head in anchors:
        if not 1 <= head.n <= len(found.hashes) or found.hashes[head.n - 1] != head.sha256:
            found.faults.append(
                message(
                    "chain-not-as-logged",
                    "line {number} of chain.jsonl differs from the one in the evidence log of this workstation",
                    number=head.n,
                )
            )
    if anchors and all(head.n < len(found.hashes) for head in anchors):
        found.faults.append(
            message(
                "chain-longer-than-logged",
                "line {number} of chain.jsonl is missing from the evidence log of this workstation",
                number=len(found.hashes),
            )
        )
    for sha256 in hashes:
        if sha256 not in found.hashes:
            found.faults.append(message("head-not-in-chain", "no line of chain.jsonl has the SHA-256 {hash}", hash=clean(sha256, 64)))
