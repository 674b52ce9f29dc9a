"""nbserver.known, beside the inventory: the certificates that authenticated runs saw on their hosts.

`{"v": 1, "hosts": {"win1": {"fingerprint": "SHA256:<64 hex>", "run": "<run ID>", "time": "2026-11-22T10:11:12Z"}}}`
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from nbserver.base import atomic_file, file_lock
from nbserver.base.errors import ApprovalError

FILE_NAME = "nbserver.known"
VERSION = 1
LOCK_SECONDS = 60.0  # how long another nbserver is waited for; it holds the file for milliseconds

_FINGERPRINT = re.compile(r"SHA256:[0-9a-f]{64}")
_RESTORE = "Restore the file from a backup, or move it away and run nbserver apply to record the certificates again"


@dataclass(frozen=True)
class KnownCertificate:
    """What a host's notebook server shows: its fingerprint, the run that saw it, and when (ISO 8601, UTC)."""

    fingerprint: str
    run: str
    time: str


def read(path: Path) -> dict[str, KnownCertificate]:
    """The known certificates by host name; none where the file does not exist.

    Raises ApprovalError where it cannot be read or is not what this release writes: it is evidence, nothing is guessed.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ApprovalError(f"cannot be read ({_reason(error)})", where=str(path), todo=_RESTORE) from None
    except (ValueError, RecursionError) as error:
        line = f":{error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise ApprovalError("is no valid JSON", where=f"{path}{line}", todo=_RESTORE) from None
    version = content.get("v") if isinstance(content, dict) else None
    if type(version) is not int:
        raise ApprovalError('has no version ("v")', where=str(path), todo=_RESTORE)
    if version != VERSION:
        what = f"has version {version}, this release of nbserver knows {VERSION}"
        raise ApprovalError(what, where=str(path), todo="Use the release that wrote it, or a newer one")
    hosts = content.get("hosts")
    if not isinstance(hosts, dict):
        raise ApprovalError('has no "hosts"', where=str(path), todo=_RESTORE)
    return {name: _entry(path, name, value) for name, value in hosts.items()}


def expected(path: Path, host: str) -> str | None:
    """The fingerprint known for this host (its case does not matter), None where there is none yet."""
    for name, known in read(path).items():
        if name.lower() == host.lower():
            return known.fingerprint
    return None


def remember(path: Path, host: str, fingerprint: str, run: str) -> None:
    """Writes down what `run` saw on `host`; the file is replaced as a whole, other hosts stay.

    One thread of one process at a time does this; the others wait. Raises ApprovalError where the file cannot be read or
    written, ValueError for a fingerprint of another form.
    """
    if not _FINGERPRINT.fullmatch(fingerprint):
        raise ValueError("a fingerprint is SHA256: and 64 lower-case hexadecimal digits")
    try:
        with file_lock.locked(path, LOCK_SECONDS):
            hosts = {name: known for name, known in read(path).items() if name.lower() != host.lower()}
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            hosts[host] = KnownCertificate(fingerprint, run, now)
            content = {"v": VERSION, "hosts": {name: asdict(hosts[name]) for name in sorted(hosts)}}
            atomic_file.write_text(path, json.dumps(content, indent=2) + "\n")
    except TimeoutError:
        todo = "End the other nbserver that works with this inventory, or wait for it; then run this again"
        raise ApprovalError("is held by another process", where=str(path), todo=todo) from None
    except OSError as error:
        todo = "Make the folder writable, or close the program that holds the file"
        raise ApprovalError(f"cannot be written ({_reason(error)})", where=str(path), todo=todo) from None


def _entry(path: Path, name: str, value: object) -> KnownCertificate:
    keys = ("fingerprint", "run", "time")
    if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in keys):
        raise ApprovalError(f"the entry of {name} is not complete", where=str(path), todo=_RESTORE)
    if not _FINGERPRINT.fullmatch(value["fingerprint"]):
        raise ApprovalError(f"the fingerprint of {name} is not SHA256: and 64 digits", where=str(path), todo=_RESTORE)
    return KnownCertificate(value["fingerprint"], value["run"], value["time"])


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or type(error).__name__) if isinstance(error, OSError) else "not UTF-8"
