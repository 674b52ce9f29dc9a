"""Take over the directory of a run whose process was killed, or a copy of it: its files become part of the chain as they are."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from nbserver.base import append_file, plain_file
from nbserver.base.errors import ApprovalError, UsageError
from nbserver.base.existing import exists
from nbserver.base.message import message
from nbserver.inventory.names import is_host
from nbserver.run import chain_check, past_files
from nbserver.run.chain import Chain, Link, Written
from nbserver.run.evidence import now

# The files that nbserver writes. Others are left alone, and audit --run reports them.
_FILE = re.compile(
    r"(run|intent|summary|(resumed|summary)-\d{1,6})\.json|approval(-\d{1,6})?/[^/]+|"
    r"[^/]+/(script\.(ps1|sh|sha256)|envelope(-\d{1,4})?\.txt|events\.jsonl|log\.txt|verified\.png)"
)
_TEMPORARY = re.compile(r"\.(?:[a-z0-9]+[a-z0-9.-]*)\.[A-Za-z0-9_]{8}|\..+\.lock")  # of an atomic write or a lock
_CHANGED = message("audit-run-changes", "Find out who changed the run directory. To see all changes, run nbserver audit --run RUN")


def adopt(folder: Path) -> list[str]:
    """Add each file that is not in the chain as it is, and return their names. Whoever could write to them is trusted until then.

    A last line that was not written to its end is removed: the host still has the event. Raises ApprovalError for a file that was
    changed and not only continued, and UsageError if the directory cannot be written.
    """
    chain = Chain(folder)
    try:
        _require_closed(folder)
        chain.complete()
        links = _links(folder)
        _create_missing(folder, links)
        written = [found for path in _files(folder) if (found := _written(path, links.get(path.relative_to(folder).as_posix())))]
        if written:
            chain.add(now(), *written)
    except OSError as error:
        raise UsageError(
            "run-not-resumed",
            "could not prepare the run directory {folder} ({reason})",
            todo="Make sure that the run directory is complete and writable, and that its disk has free space",
            folder=folder,
            reason=error.strerror,
        ) from None
    return [one.path.relative_to(folder).as_posix() for one in written]


def _require_closed(folder: Path) -> None:
    """Raise ApprovalError if somebody else can write to the directory: what is adopted is believed.

    Also for a link, which a copy of a run directory can have: nothing is read or written through it.
    """
    chain_check.require_closed(folder)
    for entry in (one for place in (folder, *_folders(folder)) for one in os.scandir(place)):
        if plain_file.is_link(entry.stat(follow_symlinks=False)):
            chain_check.require_closed(Path(entry.path))  # raises


def _folders(folder: Path) -> list[Path]:
    """Return the folders of hosts and approvals, without links."""
    return [Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]


def _links(folder: Path) -> dict[str, Link]:
    """Return the last line of the chain about each file. Raises ApprovalError if a line is damaged."""
    return {link.file: link for link in chain_check.read_chain(folder / "chain.jsonl").links}


def _create_missing(folder: Path, links: Mapping[str, Link]) -> None:
    """Create the files with events and notes that a copy of the directory lacks: the hosts have the events."""
    for name in links:
        path = folder / name
        if path.name in chain_check.GROWING and is_host(path.parent.name) and path.parent.parent == folder and not exists(path):
            path.parent.mkdir(0o700, exist_ok=True)
            append_file.opened(path).close()


def _files(folder: Path) -> list[Path]:
    """Return the files that nbserver writes, and remove what an interrupted write has left."""
    found = []
    for path in sorted([*folder.iterdir(), *(below for one in _folders(folder) for below in one.iterdir())]):
        if _FILE.fullmatch(path.relative_to(folder).as_posix()):
            found.append(path)
        elif _TEMPORARY.fullmatch(path.name) and not path.is_dir():
            with suppress(OSError):
                path.unlink()
    return found


def _written(path: Path, link: Link | None) -> Written | None:
    """Return the file as it is if its last line in the chain is missing, or is about its beginning."""
    data = past_files.read(path)
    if path.name in chain_check.GROWING:
        data = past_files.whole_lines(path, data)
    if link and (len(data), past_files.sha256(data)) == (link.size, link.sha256):
        return None
    if link and not _is_continued(path, data, link):
        raise ApprovalError(
            "past-file-changed",
            "the file does not match its hash on line {number} of chain.jsonl: it was changed after nbserver wrote it",
            where=plain_file.shown(path),
            todo="{advice}",
            advice=_CHANGED,
            number=link.n,
        )
    return Written.of(path, data)


def _is_continued(path: Path, data: bytes, link: Link) -> bool:
    if path.name in chain_check.GROWING:
        # A copy may have an earlier state of a file than of the chain. The host still has the events.
        return len(data) < link.size or past_files.sha256(data[: link.size]) == link.sha256
    return path.name == "run.json" and past_files.sha256(chain_check.without_end(data)) == link.sha256
