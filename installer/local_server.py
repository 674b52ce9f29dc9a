"""The notebook server of this machine: whether it runs, and ending it. Starting it is the script's work."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import ssl
import subprocess
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import click

from installer.errors import HostError
from installer.local_places import UNIT, LocalPlaces, places, url

if TYPE_CHECKING:
    from installer.linux_settings import LocalHost

STOP_SECONDS = 30.0
ANSWER_SECONDS = 10.0


@dataclass(frozen=True)
class Status:
    """`by` is systemd, background, or none where nothing is set up; `fingerprint` is what the port shows, `since` ISO 8601, UTC."""

    host: str
    ok: bool
    words: str
    by: str
    url: str
    port: int
    fingerprint: str = ""
    since: str = ""


def status(host: LocalHost, *, as_json: bool) -> int:
    """Tells it; 0 when the server runs and shows its certificate, else 4."""
    found = look(host)
    if as_json:
        click.echo(json.dumps({"event": "status", **asdict(found)}))
    else:
        click.echo(f"{found.host}  {click.style(found.words, fg='green' if found.ok else 'red')}")
        for name, value in (("address", found.url), ("certificate", found.fingerprint), ("since", found.since), ("run by", found.by)):
            if value and found.by != "none":
                click.echo(f"    {name:<12} {value}")
    return 0 if found.ok else 4


def look(host: LocalHost) -> Status:
    """What there is, as the service and the port tell it."""
    where = places(host)
    port = host.notebook.port
    address = url(host)
    by = "systemd" if _is_there(where.unit) else "background" if _is_there(where.process) else "none"
    if by == "none":
        return Status(host.name, False, "no notebook server is set up here (nbserver up does)", by, address, port)
    since = _unit_since(where) if by == "systemd" else _process_since(where)
    if not since:
        return Status(host.name, False, "the notebook server does not run (nbserver apply local starts it)", by, address, port)
    ip = "127.0.0.1" if host.notebook.ip == "*" else host.notebook.ip
    shown, expected = _shown(ip, port), _expected(where)
    began = datetime.fromtimestamp(since, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    if not shown:
        return Status(host.name, False, f"the notebook server runs, and port {port} does not answer", by, address, port, "", began)
    if expected and shown != expected:
        return Status(host.name, False, f"port {port} shows another certificate than {where.certificate}", by, address, port, shown, began)
    return Status(host.name, True, "the notebook server runs", by, address, port, shown, began)


def stop(host: LocalHost) -> int:
    """Ends the server, where it runs. Raises HostError."""
    where = places(host)
    if _is_there(where.unit):
        done = _systemctl(where, "stop", UNIT)
        if done.returncode not in (0, 5):  # 5: it is not loaded
            raise HostError(f"systemd could not stop it: {' '.join(done.stderr.split())}", host=host.name, todo="Run this as the user who set it up")
    elif pid := _running(where.process):
        _end(pid, where.process, host.name)
    else:
        click.echo(f"{host.name}  no notebook server runs here")
        return 0
    click.echo(f"{host.name}  stopped; nbserver apply local starts it again")
    return 0


def _end(pid: int, file: Path, name: str) -> None:
    """Asks it to end, and makes it in the end. Each time it is looked at whether this is still the same process."""
    until = time.monotonic() + STOP_SECONDS
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    while _running(file):
        if time.monotonic() > until:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            until += STOP_SECONDS
        if time.monotonic() > until + STOP_SECONDS:
            raise HostError(f"process {pid} does not end", host=name, todo="Look at it: ps -p " + str(pid))
        time.sleep(0.1)


def _is_there(path: Path) -> bool:
    """Whether it is there, as far as this user may see."""
    try:
        return path.exists()
    except PermissionError:
        return True


def _systemctl(where: LocalPlaces, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C", "XDG_RUNTIME_DIR": f"/run/user/{os.geteuid()}"}
    return subprocess.run([*where.systemctl, *arguments], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def _unit_since(where: LocalPlaces) -> float:
    """When the unit became active, in seconds of the epoch; 0 where it is not."""
    try:
        shown = _systemctl(where, "show", "--property=ActiveState,ActiveEnterTimestampMonotonic", UNIT).stdout
    except OSError:
        return 0
    found = dict(line.partition("=")[::2] for line in shown.splitlines())
    if found.get("ActiveState") != "active":
        return 0
    return time.time() - time.monotonic() + int(found.get("ActiveEnterTimestampMonotonic") or 0) / 1e6


def _process_since(where: LocalPlaces) -> float:
    """The same of the process in the background."""
    pid = _running(where.process)
    if not pid:
        return 0
    ticks = int(_start(pid).split()[0])
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / os.sysconf("SC_CLK_TCK")


def _running(file: Path) -> int:
    """The process that the file names, if it is that one and runs; else 0."""
    try:
        first = file.read_text("utf-8").split("\n", 1)[0]
    except OSError:
        return 0
    pid, _, start = first.partition(" ")
    return int(pid) if re.fullmatch("[1-9][0-9]*", pid) and start and start == _start(int(pid)) else 0


def _start(pid: int) -> str:
    """`TICKS BOOT`: what linux_scripts/prelude/processes.sh writes about a process; nothing where it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(") ")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else f"{fields[19]} {boot}"


def _shown(ip: str, port: int) -> str:
    """The fingerprint of the certificate that the port shows; nothing is sent to it."""
    import socket

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with socket.create_connection((ip, port), ANSWER_SECONDS) as line, context.wrap_socket(line) as secure:
            return _fingerprint(secure.getpeercert(True) or b"")
    except OSError:
        return ""


def _expected(where: LocalPlaces) -> str:
    try:
        return _fingerprint(ssl.PEM_cert_to_DER_cert(where.certificate.read_text("ascii")))
    except (OSError, ValueError):
        return ""


def _fingerprint(der: bytes) -> str:
    return "SHA256:" + hashlib.sha256(der).hexdigest()
