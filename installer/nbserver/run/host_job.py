"""Collect what one host's run needs from the workstation, before any host is contacted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.certificate import workstation
from nbserver.inventory.by_kind import ByKind
from nbserver.run import notebook_password
from nbserver.settings.secret import Ask, confirmed, resolve
from nbserver.transports.transport import LogonSecrets

if TYPE_CHECKING:
    from nbserver.base.message import Message
    from nbserver.inventory.hosts import AnyHost
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.windows_host import WindowsHost
    from nbserver.render.script import Script
    from nbserver.run.envelope import Mode
    from nbserver.run.options import Options


@dataclass(frozen=True)
class HostJob:
    """What one host's run needs.

    `certificate` contains secrets for the envelope: the workstation's certificate, or one that was signed for the host's
    request. `password` is the plain notebook password, of which the host receives the hash; None keeps the host's password.
    """

    host: AnyHost
    script: Script = field(repr=False)
    logon: LogonSecrets
    certificate: Mapping[str, str] = field(default_factory=dict, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def secrets(self) -> tuple[str | None, ...]:
        """All values that must not be shown."""
        return (
            self.logon.password,
            self.logon.key_password,
            self.logon.sudo_password,
            self.certificate.get("certificate.key"),
            self.password,
        )


def prepare(host: AnyHost, script: Script, mode: Mode, options: Options, ask: Ask | None) -> HostJob:
    """Return the job of one host. Raises SecretError, InventoryError, and UsageError for what can be rejected without the host."""
    _check_logon(host)
    logon = _logon(host, ask)
    certificate = _sent_certificate(host, mode, ask)
    password = _password(host, mode, ask, options.passwords.get(host.name))
    if host.name in options.chains:
        certificate["certificate.chain"] = options.chains[host.name]
    return HostJob(host, script, logon, certificate, password)


def _check_kerberos(host: WindowsHost) -> None:
    if host.auth == "kerberos":
        from nbserver.transports.wsman.kerberos import require_kerberos

        require_kerberos(host)


def _nothing_to_check(host: AnyHost) -> None:
    pass


_check_logon = ByKind(windows=_check_kerberos, linux=_nothing_to_check, local_windows=_nothing_to_check, local_linux=_nothing_to_check)


def _logon(host: AnyHost, ask: Ask | None) -> LogonSecrets:
    """Return the secrets for the connection. An unusable key file is reported before any host is contacted. Raises SecretError."""
    names = ("password", "key_password", "sudo_password")
    references = {name: getattr(host, name, None) for name in names}
    found = {name: resolve(reference, what=name, host=host.name, ask=ask) for name, reference in references.items() if reference}
    key_file: Path | None = getattr(host, "key_file", None)
    if key_file is not None:
        from nbserver.transports.ssh.keys import load_key

        load_key(key_file, found.get("key_password"), host=host.name)
    return LogonSecrets(**found)


def _known_hosts(host: LinuxHost) -> list[Message]:
    from nbserver.transports.ssh import known_hosts

    return known_hosts.warnings(host)


def _no_warning(host: AnyHost) -> list[Message]:
    return []


_warnings = ByKind(windows=_no_warning, linux=_known_hosts, local_windows=_no_warning, local_linux=_no_warning)


def warnings(hosts: Iterable[AnyHost]) -> list[Message]:
    """Return what to say about files on the workstation, each once."""
    return list(dict.fromkeys(said for host in hosts for said in _warnings(host)))


def _certificate(host: WindowsHost, mode: Mode, ask: Ask | None) -> dict[str, str]:
    """Return the workstation's certificate for the envelope. Raises SecretError and InventoryError."""
    if mode not in ("test", "apply", "rotate") or host.certificate.source != "workstation":
        return {}
    certificate = workstation.read(host, ask)
    return {"certificate.chain": certificate.chain, "certificate.key": certificate.key}


def _no_certificate(host: AnyHost, mode: Mode, ask: Ask | None) -> dict[str, str]:
    return {}


_sent_certificate = ByKind(windows=_certificate, linux=_no_certificate, local_windows=_no_certificate, local_linux=_no_certificate)


def _password(host: AnyHost, mode: Mode, ask: Ask | None, given: str | None) -> str | None:
    """Return the plain password whose hash the envelope contains, or None to keep the host's password. Raises SecretError."""
    if mode not in ("test", "apply", "rotate") or (given is None and host.notebook.password is None):
        return None
    plain = given if given is not None else notebook_password.plain(host, ask if mode == "test" else confirmed(ask))
    notebook_password.check_password(plain, host=host.name, minimum=host.notebook.password_minimum)
    return plain
