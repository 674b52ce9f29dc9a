"""The files of a run directory as an earlier process left them."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path
from typing import Any

from nbserver.base import append_file, file_format, plain_file
from nbserver.base.errors import ApprovalError
from nbserver.base.existing import exists
from nbserver.base.message import message
from nbserver.inventory.names import is_host

LARGEST = 256_000_000  # bytes
SUMMARY_VERSION = 2  # 1 had neither error_kind nor the outcome unreachable
ADVICE = message("audit-run-advice", "Find out who changed the run directory. To see all changes, run nbserver audit --run RUN")
_ENVELOPE = re.compile(r"envelope(?:-([1-9][0-9]{0,3}))?\.txt")
_NUMBERED = re.compile(r"(resumed|summary)-([1-9][0-9]{0,5})\.json")


def read(path: Path) -> bytes:
    """Return the content of a file. Raises ApprovalError if it is not a regular file."""
    return plain_file.read(path, LARGEST, advice=ADVICE)


def whole_lines(path: Path, data: bytes) -> bytes:
    """Remove a last line that was not written to its end from a file with this content, and return the rest. Raises OSError."""
    whole = data[: data.rfind(b"\n") + 1]
    if whole != data:
        append_file.opened(path).close()  # raises if it cannot be written
        os.truncate(path, len(whole))
    return whole


def sha256(data: bytes) -> str:
    """Return the hash of a file's content."""
    return hashlib.sha256(data).hexdigest()


def read_json(path: Path, supported: int = 1) -> dict[str, Any]:
    """Return the JSON object in a file of at most the supported format. Raises ApprovalError if it is not as nbserver writes it."""
    try:
        value = json.loads(read(path))  # seconds are not whole numbers
        if not isinstance(value, dict):
            raise ValueError("not an object")
    except (ValueError, RecursionError):
        raise invalid(path) from None
    file_format.require_supported(value, supported, plain_file.shown(path), ApprovalError)
    return value


def head(folder: Path) -> dict[str, Any]:
    """Return run.json. Raises ApprovalError if it is not as nbserver writes it, or is of another run."""
    value = read_json(folder / "run.json")
    hosts = value.get("hosts")
    if value.get("run") != folder.name or not isinstance(value.get("mode"), str) or not isinstance(hosts, list) or "end" not in value:
        raise invalid(folder / "run.json")
    return value


def invalid(path: Path) -> ApprovalError:
    """Return the error for a file that nbserver has not written."""
    return ApprovalError(
        "past-run-invalid",
        "the file is not in the format that nbserver writes",
        where=plain_file.shown(path),
        todo="{advice}",
        advice=ADVICE,
    )


def envelopes(folder: Path) -> list[Path]:
    """Return the envelopes in the folder of a host, in the order in which they were sent."""
    found = {int(match[1] or 1): path for path in folder.glob("envelope*.txt") if (match := _ENVELOPE.fullmatch(path.name))}
    return [found[number] for number in sorted(found)]


def numbers(folder: Path, kind: str) -> list[int]:
    """Return the numbers of the files `resumed-N.json` or `summary-N.json`, in order."""
    matches = (_NUMBERED.fullmatch(path.name) for path in folder.glob(f"{kind}-*.json"))
    return sorted(int(match[2]) for match in matches if match and match[1] == kind)


def summary(folder: Path) -> dict[str, Any] | None:
    """Return the hosts of the newest summary, or None if the run has none. Raises ApprovalError."""
    found = numbers(folder, "summary")
    path = folder / (f"summary-{found[-1]}.json" if found else "summary.json")
    if not exists(path):
        return None
    hosts = read_json(path, SUMMARY_VERSION).get("hosts")
    if not isinstance(hosts, dict) or not all(map(is_host, hosts)):  # a pattern would select other hosts
        raise invalid(path)
    if not all(isinstance(one, dict) and isinstance(one.get("outcome"), str) for one in hosts.values()):
        raise invalid(path)
    return hosts
