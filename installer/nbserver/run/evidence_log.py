"""Write the head of a run's chain outside its directory: to a log of this user, and to the log of the workstation."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import sys
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from logging.handlers import SysLogHandler
from pathlib import Path
from typing import Any

from nbserver.base import append_file, file_format, file_lock, plain_file, strict_json
from nbserver.base.errors import ApprovalError, NbserverError
from nbserver.base.existing import exists
from nbserver.base.message import Message, message, notice
from nbserver.base.user_folders import folder, home
from nbserver.run.chain import Head
from nbserver.run.evidence import now

VERSION = 1
LARGEST = 256_000_000  # bytes
LOCK_SECONDS = 10.0
_FIELDS = {"v": int, "time": str, "run": str, "mode": str, "operator": str, "folder": str, "n": int, "head": str}
_BEGIN = b'{"v": 1, "time": "'
_SYSLOG = {"linux": "/dev/log", "darwin": "/var/run/syslog"}
_INFORMATION = 4  # EVENTLOG_INFORMATION_TYPE [winnt.h]
_ADVICE = message("evidence-log-advice", "Use --evidence-log to specify the log of the user who ran nbserver")


@dataclass(frozen=True)
class Entry:
    """A line of the log: at `time`, the chain of the run in `folder` had `head.n` lines, and the last one had the hash `head.sha256`."""

    time: str
    run: str
    head: Head
    folder: str = ""


def default_path() -> Path:
    """Return the log of this user. Raises UsageError if the user has no home folder."""
    if sys.platform == "win32":
        return folder("LOCALAPPDATA") / "nbserver-evidence" / "runs.jsonl"
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if Path(state).is_absolute() else home() / ".local" / "state") / "nbserver-evidence" / "runs.jsonl"


def write(run: str, mode: str, operator: str, place: Path, head: Head) -> list[Message]:
    """Write the head to both logs. Never raises: a log that cannot be written is a warning, which is returned.

    A workstation without a system log, such as a container, is no warning.
    """
    entry = {"v": VERSION, "time": now(), "run": run, "mode": mode, "operator": operator, "folder": _as_text(place)}
    line = json.dumps({**entry, "n": head.n, "head": head.sha256}) + "\n"
    warnings, path = [], Path("runs.jsonl")
    try:
        path = default_path()
        _create(path.parent)
        with _locked(path):
            torn = _is_torn(path)
            with append_file.opened(path) as file:
                file.write(("\n" * torn + line).encode("ascii"))
    except (OSError, NbserverError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        warnings.append(
            notice(
                "evidence-log-not-written",
                "could not add this run to the evidence log {file} ({reason}), so nbserver audit --run will refuse its run directory",
                todo="Make this file writable before the next run",
                file=path,
                reason=reason,
            )
        )
    _write_system_log(f"nbserver run {run}: mode {mode}, by {operator}, line {head.n} of the chain has SHA-256 {head.sha256}")
    return warnings


def _create(folder: Path) -> None:
    """Create a folder for this user alone. On Windows, the user's folder, in which it is, does that.

    There, Python would give a folder with this mode to its owner. If nbserver runs as administrator, that is not the user.
    """
    folder.mkdir(0o777 if sys.platform == "win32" else 0o700, parents=True, exist_ok=True)


def _locked(path: Path) -> AbstractContextManager[None]:
    """Return a lock of the log on Windows, where two processes that append at the same time can write to the same place."""
    return file_lock.locked(path, LOCK_SECONDS) if sys.platform == "win32" else nullcontext()


def _as_text(path: Path) -> str:
    """Return a path. Bytes that are no UTF-8, which Python has as lone surrogates, would make a line that no reader accepts."""
    return str(path.absolute()).encode("utf-8", "surrogateescape" if os.name == "posix" else "replace").decode("utf-8", "replace")


def _is_torn(path: Path) -> bool:
    """Return whether the last line was not written to its end."""
    if not exists(path) or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() != b"\n"


def read_own(run: str) -> list[Entry]:
    """Return the entries of a run in the log of this user. A log that cannot be read has none, and lines that nbserver has not
    written are skipped: they prove nothing about the run, and must not stop it.
    """
    with suppress(OSError, NbserverError):
        path = default_path()
        if os.path.lexists(path):
            return read(path, run, strict=False)
    return []


def read(path: Path, run: str, *, strict: bool = True) -> list[Entry]:
    """Return the entries of a run. Raises ApprovalError for a file that is not such a log.

    If it is not `strict`, lines that nbserver has not written are skipped.
    """
    found = []
    for number, line in enumerate(plain_file.read(path, LARGEST, advice=_ADVICE).splitlines(keepends=True), 1):
        if line.startswith(_BEGIN) and not line.endswith(b"}\n"):
            continue  # nbserver was killed while it wrote this line
        if not strict and run.encode() not in line:
            continue
        try:
            value = strict_json.parse(line)
            if strict:
                file_format.require_supported(value, VERSION, plain_file.shown(path), ApprovalError)
            if list(value) != list(_FIELDS) or any(type(value[name]) is not kind for name, kind in _FIELDS.items()):
                raise ValueError("not a line of this log")
        except (ValueError, TypeError):
            if not strict:
                continue
            raise ApprovalError(
                "evidence-log-invalid",
                "line {number} was not written by nbserver",
                where=plain_file.shown(path),
                todo="Find out who changed the file. To check other runs, remove this line from a copy of the file, and specify the copy with --evidence-log",
                number=number,
            ) from None
        if value["run"] == run:
            found.append(Entry(value["time"], run, Head(value["n"], value["head"]), value["folder"]))
    return found


def _write_system_log(text: str) -> None:
    with suppress(OSError):  # there is no system log
        _report_event(text) if sys.platform == "win32" else _syslog(text)


def _syslog(text: str) -> None:
    handler = SysLogHandler(_SYSLOG.get(sys.platform, "/dev/log"), SysLogHandler.LOG_USER)
    try:
        handler.ident = "nbserver: "
        handler.handleError = lambda record: None  # type: ignore[method-assign]
        handler.socket.settimeout(1)  # type: ignore[attr-defined, unused-ignore]
        handler.emit(logging.LogRecord("nbserver", logging.INFO, "", 0, text, None, None))
    finally:
        handler.close()


def _report_event(text: str) -> None:
    """Write to the log Application. Only an administrator could register a source, which would only add a text to the event."""
    advapi32: Any = ctypes.WinDLL("advapi32", use_last_error=True)  # type: ignore[attr-defined, unused-ignore]
    advapi32.RegisterEventSourceW.restype = ctypes.c_void_p
    source = advapi32.RegisterEventSourceW(None, "nbserver")
    if not source:
        raise OSError("RegisterEventSourceW failed")
    try:
        texts = (ctypes.c_wchar_p * 1)(text)
        if not advapi32.ReportEventW(ctypes.c_void_p(source), _INFORMATION, 0, 1, None, 1, 0, texts, None):
            raise OSError("ReportEventW failed")
    finally:
        advapi32.DeregisterEventSource(ctypes.c_void_p(source))
