"""`nbserver init`: write a first inventory, and the script that enables PowerShell remoting on a fresh Windows host."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nbserver.base import atomic_file, pinned_tls, writing
from nbserver.base.errors import CertificateError, ConnectError, InventoryError, UsageError
from nbserver.base.message import message, phrase
from nbserver.base.standard_streams import say
from nbserver.commands.init_questions import Dialog
from nbserver.inventory import reader
from nbserver.inventory.new_inventory import NewHost, SecretPlace, text_of
from nbserver.render.step_files import read_part

WINRM_PORT = 5986
TIMEOUT = 15.0  # seconds for a host to show its certificate
_OTHER = message(
    "compare-fingerprints",
    "This may be an attack. Run enable-remoting.ps1 on the host, at its console or over RDP, and compare the fingerprint that it prints",
)


@dataclass(frozen=True)
class Wanted:
    """What to write. `pins` maps a Windows host to the fingerprint that its listener must show; None asks the person."""

    output: Path
    hosts: Sequence[NewHost]
    secrets: SecretPlace
    pins: dict[str, str | None]
    remoting_script: Path | None = None
    force: bool = False


def init(wanted: Wanted, dialog: Dialog | None, *, as_json: bool) -> int:
    """Write the files, and say what to do next. `dialog` is None without a terminal. Raises NbserverError before anything is written."""
    paths = [path for path in (wanted.output if wanted.hosts else None, wanted.remoting_script) if path is not None]
    for path in paths:
        if str(path) == "-":
            raise UsageError("init-to-standard-output", "init cannot write to standard output", todo="Specify a file name instead of -")
        if not wanted.force and os.path.lexists(path):
            raise UsageError(
                "init-file-exists", "the file already exists", where=str(path), todo="Choose another file, or replace it with --force"
            )
    if len(set(map(os.path.realpath, paths))) < len(paths):
        raise UsageError(
            "init-one-file",
            "the inventory and the script cannot be the same file",
            where=str(paths[0]),
            todo="Specify different files with -o and --enable-remoting",
        )
    if wanted.hosts:
        _checked(text_of(wanted.hosts, wanted.secrets), wanted.output)  # before a host is contacted
    hosts = [_pinned(host, wanted.pins, dialog) for host in wanted.hosts]
    text = _checked(text_of(hosts, wanted.secrets), wanted.output) if hosts else None
    if wanted.remoting_script is not None:
        _write(wanted.remoting_script, read_part("ps_scripts", "enable-remoting"))
    if text is not None:
        _write(wanted.output, text)
    _report(wanted, hosts, as_json)
    return 0


def _pinned(host: NewHost, pins: dict[str, str | None], dialog: Dialog | None) -> NewHost:
    """Return the host with the fingerprint of the certificate that its listener shows, if it is to be pinned."""
    if host.name not in pins:
        return host
    expected = pins[host.name]
    try:
        shown = pinned_tls.fingerprint_of(pinned_tls.certificate_at(host.address, WINRM_PORT, timeout=TIMEOUT))
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if expected is None and dialog is not None:
            dialog.tell(
                phrase(
                    "{name}: {place} did not present a certificate ({reason}). Run enable-remoting.ps1 on the host first",
                    name=host.name,
                    place=f"{host.address}:{WINRM_PORT}",
                    reason=reason,
                )
            )
            return host
        raise ConnectError(
            "init-no-certificate",
            "{place} did not present a certificate: {reason}",
            host=host.name,
            todo="Run enable-remoting.ps1 on the host, and check that its firewall allows connections from this workstation",
            place=f"{host.address}:{WINRM_PORT}",
            reason=reason,
        ) from None
    if expected is None:
        assert dialog is not None
        return replace(host, fingerprint=shown) if dialog.is_same(host.name, shown) else host
    if shown != expected:
        raise CertificateError(
            "init-other-certificate",
            "the listener presented a different certificate: expected {expected}, got {actual}",
            host=host.name,
            todo="{advice}",
            expected=expected,
            actual=shown,
            advice=_OTHER,
        )
    return replace(host, fingerprint=shown)


def _checked(text: str, path: Path) -> str:
    """Return the text of an inventory after reading it as every command will."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "nbserver.toml"
        file.write_text(text, "utf-8", errors="surrogateescape")  # an argument may have bytes that are not UTF-8: they are refused
        try:
            reader.load(file)
        except InventoryError as error:
            raise UsageError(
                "init-not-valid",
                "these options would create an invalid inventory: {reason}",
                where=str(path),
                todo="Change the options, then run the command again",
                reason=error.what.replace(f"{file}:", "line ").replace(f"{file}", str(path)),
            ) from None
    return text


def _write(path: Path, text: str) -> None:
    with writing.refused(
        "init-not-written", "could not write the file ({reason})", where=path, todo="Specify a file that you can write to"
    ):
        atomic_file.write_text(path, text)


def _report(wanted: Wanted, hosts: Sequence[NewHost], as_json: bool) -> None:
    script = wanted.remoting_script
    if as_json:
        found = [{"name": host.name, "fingerprint": host.fingerprint} for host in hosts]
        files = {"inventory": str(wanted.output) if hosts else None, "remoting_script": str(script) if script else None}
        say(json.dumps({"event": "initialized", **files, "hosts": found}))
        return
    if script:
        say(phrase("written: {file}", file=script))
        say(phrase("  Read it, copy it to each Windows host, and run it there as administrator. Name the address of this workstation:"))
        say(f"    powershell -ExecutionPolicy Bypass -File {script.name} -RemoteAddress ADDRESS")
    if not hosts:
        return
    say(phrase("written: {file}", file=wanted.output))
    inventory = "" if wanted.output == Path("nbserver.toml") else f" -i {wanted.output}"
    remote = " ".join(host.name for host in hosts if host.is_remote)
    if any(host.has_winrm and not host.fingerprint for host in hosts):
        say(
            phrase("  Write the fingerprint of each Windows host into it, unless an authority signed the certificate of its WinRM listener")
        )
        if not script:
            say(phrase("  On a fresh host, this script enables WinRM: nbserver init --enable-remoting enable-remoting.ps1"))
    say(phrase("Next:"))
    commands = [
        (f"nbserver {command} {target}{inventory}", what)
        for command, target, what in (
            ("check", remote, phrase("checks the connection and the host; changes nothing")),
            ("plan", remote or "local", phrase("shows what differs; changes nothing")),
            ("apply", remote or "local", phrase("changes it")),
        )
        if target
    ]
    width = max(len(line) for line, _ in commands)
    for line, what in commands:
        say(phrase("{command} # {what}", command=f"  {line:<{width}} ", what=what))
