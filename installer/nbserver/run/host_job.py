"""Collect what one host's run needs from the workstation, before any host is contacted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from nbserver.certificate import workstation
from nbserver.inventory.by_kind import ByKind
from nbserver.inventory.ssh_server import of_host
from nbserver.run import download_logins, notebook_password
from nbserver.settings.secret_store import Need, SecretStore
from nbserver.transports.transport import LogonSecrets

if TYPE_CHECKING:
    from nbserver.base.message import Message
    from nbserver.base.modes import Mode
    from nbserver.inventory.hosts import AnyHost
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.ssh_server import SshServer
    from nbserver.inventory.windows_host import WindowsHost
    from nbserver.render.script import Script
    from nbserver.run.options import Options
    from nbserver.settings.secret import Ask, SecretReference

SENDS_CERTIFICATE: tuple[Mode, ...] = ("test", "apply", "rotate")
SETS_PASSWORD: tuple[Mode, ...] = ("apply", "rotate", "set-password")
SENDS_PASSWORD: tuple[Mode, ...] = ("test", *SETS_PASSWORD)  # the modes whose envelope has a password hash


@dataclass(frozen=True)
class HostJob:
    """What one host's run needs.

    `downloads` contains the logins for the index and the proxy, and `certificate` contains secrets for the envelope: the workstation's certificate, or one that was signed for the host's
    request. `password` is the plain notebook password, of which the host receives the hash; None keeps the host's password.
    """

    host: AnyHost
    script: Script = field(repr=False)
    logon: LogonSecrets
    certificate: Mapping[str, str] = field(default_factory=dict, repr=False)
    password: str | None = field(default=None, repr=False)
    downloads: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def sent(self) -> dict[str, str]:
        """Return the secrets of the envelope, apart from the hash of the password."""
        return {**self.certificate, **self.downloads}

    @property
    def secrets(self) -> tuple[str | None, ...]:
        """All values that must not be shown."""
        return (
            *self.logon.values,
            self.certificate.get("certificate.key"),
            self.password,
            *(form for login in self.downloads.values() for form in (login, unquote(login.partition(":")[2]))),
        )


def prepare_all(
    hosts: Sequence[AnyHost], scripts: Mapping[str, Script], mode: Mode, options: Options, ask: Ask | None
) -> dict[str, HostJob]:
    """Return the job of each host by its name. Raises SecretError, InventoryError, and UsageError for what can be rejected without a host.

    A secret that hosts share is asked for or fetched once. All that are missing are in one SecretError. A host to which nothing is
    sent needs no secrets.
    """
    reached = [host for host in hosts if host.name not in options.undelivered]
    for host in reached:
        _check_logon(host)
    secrets = SecretStore(ask)
    secrets.fetch(need for host in reached for need in _needs(host, mode, options))
    jobs = {host.name: _job(host, scripts[host.name], mode, options, secrets) for host in reached}
    return {host.name: jobs.get(host.name) or HostJob(host, scripts[host.name], LogonSecrets()) for host in hosts}


def _job(host: AnyHost, script: Script, mode: Mode, options: Options, secrets: SecretStore) -> HostJob:
    logon = _logon(host, secrets)
    certificate = _sent_certificate(host, mode, secrets)
    password = _password(host, mode, secrets, options.passwords.get(host.name))
    if host.name in options.chains:
        certificate["certificate.chain"] = options.chains[host.name]
    if host.name in options.keys:
        restored = options.keys[host.name]
        certificate = {"certificate.chain": restored.chain, "certificate.key": restored.key}
    return HostJob(host, script, logon, certificate, password, download_logins.sent(host, mode, secrets))


def _needs(host: AnyHost, mode: Mode, options: Options) -> Iterator[Need]:
    """Yield each reference that the job of this host resolves."""
    yield from logon_needs([host, *hops_of(host)])
    for name, reference in _certificate_references(host, mode).items():
        yield Need(reference, f"certificate.{name}", host.name)
    yield from download_logins.needs(host, mode)
    if mode in SENDS_PASSWORD and host.name not in options.passwords and host.notebook.password is not None:
        yield notebook_password.need(host, confirm=mode != "test")


def _check_kerberos(host: WindowsHost) -> None:
    if host.auth == "kerberos":
        from nbserver.transports.wsman.kerberos import require_kerberos

        require_kerberos(host)


def _nothing_to_check(host: AnyHost) -> None:
    pass


_check_logon = ByKind(windows=_check_kerberos, linux=_nothing_to_check, local_windows=_nothing_to_check, local_linux=_nothing_to_check)


def hops_of(host: AnyHost) -> Sequence[SshServer]:
    """Return the jump hosts on the way to a host."""
    return getattr(host, "hops", ())


def logon_needs(servers: Iterable[AnyHost | SshServer]) -> Iterator[Need]:
    """Yield each reference that logging on to these hosts and jump hosts resolves."""
    for server in servers:
        for name, reference in _logon_references(server).items():
            yield Need(reference, name, server.name)


def _logon_references(host: AnyHost | SshServer) -> dict[str, SecretReference]:
    references = {name: getattr(host, name, None) for name in ("password", "key_password", "sudo_password")}
    return {name: reference for name, reference in references.items() if reference is not None}


def _logon(host: AnyHost, secrets: SecretStore) -> LogonSecrets:
    """Return the secrets for the connection. An unusable key file is reported before any host is contacted. Raises SecretError."""
    return replace(_own_logon(host, secrets), hops=logons(hops_of(host), secrets))


def logons(hops: Iterable[SshServer], secrets: SecretStore) -> tuple[LogonSecrets, ...]:
    """Return the secrets of jump hosts, in their order. Raises SecretError."""
    return tuple(_own_logon(hop, secrets) for hop in hops)


def _own_logon(host: AnyHost | SshServer, secrets: SecretStore) -> LogonSecrets:
    found = {name: secrets.get(Need(reference, name, host.name)) for name, reference in _logon_references(host).items()}
    key_file: Path | None = getattr(host, "key_file", None)
    if key_file is not None:
        from nbserver.transports.ssh.keys import load_key

        load_key(key_file, found.get("key_password"), host=host.name)
    return LogonSecrets(found.get("password"), found.get("key_password"), found.get("sudo_password"))


def _windows_way(host: WindowsHost) -> list[Message]:
    return _known_hosts((*host.hops, of_host(host)) if host.transport == "ssh" else host.hops)


def _linux_way(host: LinuxHost) -> list[Message]:
    return _known_hosts((*host.hops, host))


def _known_hosts(servers: Sequence[LinuxHost | SshServer]) -> list[Message]:
    if not servers:
        return []
    from nbserver.transports.ssh import known_hosts

    return [said for server in servers for said in known_hosts.warnings(server)]


def _no_warning(host: AnyHost) -> list[Message]:
    return []


_warnings = ByKind(windows=_windows_way, linux=_linux_way, local_windows=_no_warning, local_linux=_no_warning)


def warnings(hosts: Iterable[AnyHost]) -> list[Message]:
    """Return what to say about files on the workstation, each once."""
    return list(dict.fromkeys(said for host in hosts for said in _warnings(host)))


def _references_of_certificate(host: WindowsHost, mode: Mode) -> dict[str, SecretReference]:
    if mode not in SENDS_CERTIFICATE or host.certificate.source != "workstation":
        return {}
    return workstation.references(host)


def _no_references(host: AnyHost, mode: Mode) -> dict[str, SecretReference]:
    return {}


_certificate_references = ByKind(
    windows=_references_of_certificate, linux=_no_references, local_windows=_no_references, local_linux=_no_references
)


def _certificate(host: WindowsHost, mode: Mode, secrets: SecretStore) -> dict[str, str]:
    """Return the workstation's certificate for the envelope. Raises SecretError and InventoryError."""
    if mode not in SENDS_CERTIFICATE or host.certificate.source != "workstation":
        return {}
    certificate = workstation.read(host, secrets)
    return {"certificate.chain": certificate.chain, "certificate.key": certificate.key}


def _no_certificate(host: AnyHost, mode: Mode, secrets: SecretStore) -> dict[str, str]:
    return {}


_sent_certificate = ByKind(windows=_certificate, linux=_no_certificate, local_windows=_no_certificate, local_linux=_no_certificate)


def _password(host: AnyHost, mode: Mode, secrets: SecretStore, given: str | None) -> str | None:
    """Return the plain password whose hash the envelope contains, or None to keep the host's password. Raises SecretError."""
    if mode not in SENDS_PASSWORD or (given is None and host.notebook.password is None):
        return None
    plain = given if given is not None else notebook_password.plain(host, secrets)
    notebook_password.check_password(plain, host=host.name, minimum=host.notebook.password_minimum)
    return plain
