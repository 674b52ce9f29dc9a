"""nbserver.known, next to the inventory: the certificates that authenticated runs found on their hosts.

`{"v": 1, "hosts": {"win1": {"fingerprint": "SHA256:<64 hex>", "run": "<run ID>", "time": "2026-11-22T10:11:12Z"}}}`
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from nbserver.base import atomic_file, file_lock, plain_file, writable_folder
from nbserver.base.errors import ApprovalError, UsageError
from nbserver.base.message import message
from nbserver.settings.working_file import WorkingFile

FILE_NAME = "nbserver.known"
VERSION = 1
LARGEST = 16_000_000  # bytes: some 80,000 hosts
LOCK_SECONDS = 60.0  # how long to wait for another nbserver, which locks the file for milliseconds

_FINGERPRINT = re.compile(r"SHA256:[0-9a-f]{64}")
_RESTORE = "Restore the file from a backup, or delete it and run nbserver apply to record the certificates again"


@dataclass(frozen=True)
class KnownCertificate:
    """The fingerprint of a host's notebook server, the run that recorded it, and the time (ISO 8601, UTC)."""

    fingerprint: str
    run: str
    time: str


def read(path: Path) -> dict[str, KnownCertificate]:
    """Return the known certificates by host name, or an empty dict if the file does not exist.

    Raises ApprovalError if the file cannot be read or does not have this release's format. The file is evidence, so nothing in it
    is guessed.
    """
    if not os.path.lexists(path):
        return {}
    data = plain_file.read(path, LARGEST, advice=message("restore-known-certificates", _RESTORE))
    WorkingFile(path, ApprovalError).require_unwritable()
    try:
        content = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ApprovalError("known-not-utf8", "the file is not UTF-8 text", where=str(path), todo=_RESTORE) from None
    except (ValueError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ApprovalError("known-not-json", "the file is not valid JSON", where=f"{path}{line}", todo=_RESTORE) from None
    version = content.get("v") if isinstance(content, dict) else None
    if type(version) is not int:
        raise ApprovalError("known-without-version", 'the file has no version key ("v")', where=str(path), todo=_RESTORE)
    if version != VERSION:
        raise ApprovalError(
            "known-version",
            "the file has format version {version}, but this release of nbserver supports format version {supported}",
            where=str(path),
            todo="Use the release that wrote the file, or a newer one",
            version=version,
            supported=VERSION,
        )
    hosts = content.get("hosts")
    if not isinstance(hosts, dict):
        raise ApprovalError("known-without-hosts", 'the file has no "hosts" key', where=str(path), todo=_RESTORE)
    return {name: _entry(path, name, value) for name, value in hosts.items()}


def fingerprints(path: Path) -> dict[str, str]:
    """Return the known fingerprints by the names of the hosts in lower case: names are case-insensitive. Raises ApprovalError as `read`."""
    return {name.lower(): known.fingerprint for name, known in read(path).items()}


def require_writable(path: Path) -> None:
    """Raise UsageError if the file could not be written, before a host is contacted."""
    try:
        writable_folder.require_writable(path.parent)
    except OSError as error:
        raise UsageError(
            "known-folder-not-writable",
            "could not write to the folder for known certificates ({reason})",
            where=str(path),
            todo="Make the folder writable, or choose another file with --known",
            reason=error.strerror or type(error).__name__,
        ) from None


def remember(path: Path, found: Mapping[str, str], run: str, *, renews: bool = False) -> None:
    """Record the fingerprints that `run` found, by the names of their hosts. The file is replaced as a whole, and other hosts' entries are kept.

    If it only `renews` entries, a host that has another fingerprint in the file keeps its entry: a later run has found that one.

    A lock allows one thread of one process at a time; the others wait. Raises ApprovalError if the file cannot be read or
    written, and ValueError for an invalid fingerprint.
    """
    if not all(map(_FINGERPRINT.fullmatch, found.values())):
        raise ValueError("a fingerprint must be SHA256: followed by 64 lower-case hexadecimal digits")
    try:
        with file_lock.locked(path, LOCK_SECONDS):
            known = read(path)
            before = {name.lower(): entry.fingerprint for name, entry in known.items()}
            new = {name: one for name, one in found.items() if not renews or before.get(name.lower()) == one}
            replaced = {name.lower() for name in new}
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            hosts = {name: entry for name, entry in known.items() if name.lower() not in replaced}
            hosts |= {name: KnownCertificate(fingerprint, run, now) for name, fingerprint in new.items()}
            content = {"v": VERSION, "hosts": {name: asdict(hosts[name]) for name in sorted(hosts)}}
            atomic_file.write_text(path, json.dumps(content, indent=2) + "\n")
    except TimeoutError:
        raise ApprovalError(
            "known-locked",
            "the file is locked by another process",
            where=str(path),
            todo="Stop the other nbserver process that uses this inventory, or wait until it finishes, then run the command again",
        ) from None
    except OSError as error:
        raise ApprovalError(
            "known-not-written",
            "could not write the file ({reason})",
            where=str(path),
            todo="Make the folder writable, close the program that has the file open, or choose another file with --known",
            reason=error.strerror or type(error).__name__,
        ) from None


def _entry(path: Path, name: str, value: object) -> KnownCertificate:
    keys = ("fingerprint", "run", "time")
    if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in keys):
        raise ApprovalError("known-entry-incomplete", "the entry for {name} is incomplete", where=str(path), todo=_RESTORE, name=name)
    if not _FINGERPRINT.fullmatch(value["fingerprint"]):
        raise ApprovalError(
            "known-fingerprint-malformed",
            "the fingerprint of {name} must be SHA256: followed by 64 lower-case hexadecimal digits",
            where=str(path),
            todo=_RESTORE,
            name=name,
        )
    return KnownCertificate(value["fingerprint"], value["run"], value["time"])
