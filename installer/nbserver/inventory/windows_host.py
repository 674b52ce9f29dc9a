"""The settings of a Windows host: names, types, valid values and defaults.

The title of a field says what it sets; docs/inventory.md and the JSON Schema have it. The description follows "expected" in error
messages, and is also in both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, PrivateAttr, model_validator
from pydantic.json_schema import WithJsonSchema

from nbserver.base.message import Message, message
from nbserver.inventory import authorities, package_choice, time_limits, windows_transport
from nbserver.inventory.azure import AzureSettings
from nbserver.inventory.host_key import HOST_KEY, HostKey
from nbserver.inventory.package_choice import REFERENCE
from nbserver.inventory.ssh_server import SshServer
from nbserver.inventory.windows_tables import (
    JUMP,
    JUMP_TITLE,
    PORT,
    PROXY,
    CertificateSettings,
    DownloadsSettings,
    FirewallSettings,
    Jump,
    NotebookSettings,
    OpensslSettings,
    PackagesSettings,
    PathSettings,
    PythonSettings,
    download_rules,
)
from nbserver.settings.refusal import contradiction, refuse
from nbserver.settings.secret import SecretReference
from nbserver.settings.types import Array, ConfigurationName, ExistingFile, FilePath, Fingerprint, HostName, ProxyUrl, Settings, unlike

_CONFIGURATION_NAME = "Microsoft.PowerShell"


def _known_architecture(value: Any) -> Any:
    if isinstance(value, str) and value.lower() in ("x86", "win32", "32-bit", "32bit", "i386", "i686"):
        raise refuse(
            "architecture-32-bit",
            '32-bit Windows is not supported: the catalog has neither a Python release nor packages for it. For 64-bit Windows on Intel or AMD, set architecture = "x64"',
        )
    return value


def _known_windows(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        raise refuse("windows-not-text", "must be text, not a number: put the value in quotes")
    return value


def user_name(text: str) -> str:
    """Return the name of an account: `anna`, `HOST\\anna`, `anna@example.com`."""
    if '"' in text or text.count("\\") > 1 or text.endswith("\\"):
        raise refuse(
            "windows-user-name",
            "must be a user name or DOMAIN\\USER, without double quotes and with at most one backslash (in single "
            "quotes, write the backslash only once)",
        )
    return text


class WindowsHostSettings(Settings):
    """The keys of [defaults], [groups.NAME] and [hosts.NAME] for Windows hosts."""

    system: Literal["windows"] = Field(title="The operating system of the host", description='"windows" or "linux"')
    address: HostName = Field(
        title="Where the host is; also a name in the certificate of the notebook server",
        description="a DNS name or an IP address, without a scheme or port",
    )
    transport: Literal["psrp", "winrm", "ssh"] = Field(
        default="psrp",
        title="How nbserver reaches the host: over PowerShell remoting (psrp), through a WinRM command shell (winrm), or over SSH (ssh)",
        description='"psrp", "winrm", or "ssh"',
    )
    tls: bool = Field(
        default=True, title="Whether WinRM uses HTTPS; false means message encryption inside HTTP", description="true or false"
    )
    port: int = Field(
        default_factory=windows_transport.default_port,
        ge=1,
        le=65535,
        title="The port of the WinRM listener, or of the SSH server",
        description=f"{PORT} (default: 5986 with tls = true, else 5985; 22 over SSH)",
    )
    auth: Literal["negotiate", "kerberos", "ntlm", "basic"] = Field(
        default="negotiate",
        title="How nbserver logs on; basic requires tls, user, and password",
        description="negotiate, kerberos, ntlm, or basic",
    )
    ca_file: ExistingFile | None = Field(
        default=None,
        title="The authorities of the WinRM listener's certificate (default: the trust store of the system)",
        description="the path of a PEM file with certificate authorities, relative to the inventory",
    )
    fingerprint: Annotated[Fingerprint, WithJsonSchema({"type": "string", "pattern": "^[Ss][Hh][Aa]256:([0-9A-Fa-f]:?){64}$"})] | None = (
        Field(
            default=None,
            title="The only certificate that the WinRM listener may show; cannot be combined with ca_file",
            description="the SHA-256 fingerprint of the WinRM listener's certificate (SHA256: and 64 hex digits)",
        )
    )
    configuration_name: ConfigurationName = Field(
        default=_CONFIGURATION_NAME,
        title='The session configuration that runs the script; requires transport = "psrp"',
        description="the name of a PowerShell session configuration",
    )
    proxy: ProxyUrl | None = Field(
        default=None,
        title="The proxy between the workstation and the host; the one in the environment is not used",
        description=f"{PROXY}, without credentials",
    )
    key_file: FilePath | None = Field(
        default=None,
        title='The private key for the login; requires transport = "ssh"',
        description="the path of a private key file, relative to the inventory",
    )
    key_password: SecretReference | None = Field(default=None, title="The password that opens key_file", description=REFERENCE)
    agent: bool = Field(
        default=True,
        title='Whether to try the keys of the SSH agent, with transport = "ssh"',
        description="true or false (whether to try the keys of the SSH agent)",
    )
    host_key: HostKey | None = Field(
        default=None,
        title="The only key that the SSH server may show; cannot be combined with known_hosts",
        description=HOST_KEY,
    )
    known_hosts: FilePath | None = Field(
        default=None,
        title='Where the keys of hosts are looked up, with transport = "ssh"',
        description="the path of a known_hosts file (default: ~/.ssh/known_hosts)",
    )
    keepalive: int = Field(
        default=windows_transport.KEEPALIVE,
        ge=1,
        le=600,
        title='After how many seconds of silence nbserver sends a request to the host, with transport = "ssh"',
        description=f"a number of seconds from 1 to 600 (default: {windows_transport.KEEPALIVE})",
    )
    jump: Jump | None = Field(default=None, title=JUMP_TITLE, description=JUMP)
    connect_timeout: int = Field(
        default=75,
        ge=1,
        le=600,
        title="How many seconds the host may take to answer when nbserver connects; an address, at most 30",
        description="a number of seconds from 1 to 600 (default: 75)",
    )
    connect_retries: int | None = time_limits.connect_retries()
    step_timeout: int | None = time_limits.step_timeout()
    timeout: int = time_limits.timeout()
    user: Annotated[str, AfterValidator(user_name)] | None = Field(
        default=None,
        title="Who logs on; with psrp and winrm, requires password",
        description="a user name (default: the current Windows logon, if password is not set either)",
    )
    password: SecretReference | None = Field(default=None, title="The password of user", description=REFERENCE)
    architecture: Annotated[Literal["x64", "arm64"], BeforeValidator(_known_architecture)] = Field(
        default="x64", title="The processor architecture of the host; 32-bit systems are not supported", description="x64 or arm64"
    )
    windows: Annotated[Literal["2012", "2012r2", "2016", "2019", "2022", "2025", "10", "11"], BeforeValidator(_known_windows)] | None = (
        Field(
            default=None,
            title="The release of Windows on the host, or an older one",
            description='"2012", "2012r2", "2016", "2019", "2022", "2025", "10", or "11" (default: Windows 10, Server 2016, or newer)',
        )
    )
    accept_end_of_life: bool = Field(
        default=False, title="Whether to allow programs whose publishers no longer fix vulnerabilities", description="true or false"
    )
    catalog: ExistingFile | None = Field(
        default=None,
        title="A site catalog, which takes precedence over the shipped one",
        description="the path of a site catalog, relative to the inventory",
    )
    skip: Annotated[tuple[Literal["ie_esc", "path", "firewall"], ...], AfterValidator(unlike), Array] = Field(
        default=(), title="Steps to leave out", description='an array with any of "ie_esc", "path", and "firewall"'
    )
    adopt: bool = Field(default=False, title="Whether to adopt what is in the way on the host", description="true or false")
    reboot: Literal["never", "if-needed"] = Field(
        default="never",
        title="Whether nbserver may restart Windows",
        description='"never" or "if-needed" (whether to restart Windows if an installer requires it)',
    )
    python: PythonSettings = PythonSettings()
    openssl: OpensslSettings = OpensslSettings()
    packages: PackagesSettings = PackagesSettings()
    downloads: DownloadsSettings = DownloadsSettings()
    path: PathSettings = PathSettings()
    certificate: CertificateSettings = CertificateSettings()
    notebook: NotebookSettings
    firewall: FirewallSettings = FirewallSettings()
    azure: AzureSettings = AzureSettings()


class WindowsHost(WindowsHostSettings):
    """One host with all settings, validated. Paths are absolute; the port is set."""

    kind: ClassVar = "windows"

    name: str = Field(description="the name of the host in the inventory")
    hops: tuple[SshServer, ...] = Field(default=(), description="the jump hosts, the nearest to the workstation first")
    _authorities: bytes | None = PrivateAttr(None)

    @property
    def authorities(self) -> bytes | None:
        """The contents of `ca_file`, as they were when the inventory was read."""
        return self._authorities

    @model_validator(mode="after")
    def _fit_together(self) -> WindowsHost:
        broken = contradictions(dict(self))
        if broken:
            raise contradiction(broken)
        if self.ca_file is not None:
            self._authorities = authorities.read(self.ca_file, self.name)
        return self


def contradictions(settings: Mapping[str, Any]) -> list[tuple[str, Message]]:
    """Return (key, reason) for every rule between settings that a host violates. Missing keys have their defaults."""
    tls = settings.get("tls", True) is not False
    basic = settings.get("auth") == "basic"
    has = {key for key in ("user", "password", "ca_file", "fingerprint") if settings.get(key) is not None}
    winrm, ssh = (settings.get("transport") == name for name in ("winrm", "ssh"))
    kerberos = settings.get("auth") == "kerberos"
    configuration_name = settings.get("configuration_name", _CONFIGURATION_NAME)
    only_with_tls = message("only-with-tls", "requires tls = true")
    rules = [
        (
            "windows",
            settings.get("windows") == "2012" and settings.get("accept_end_of_life") is not True,
            message(
                "windows-2012-without-python",
                "no supported Python version runs on Windows Server 2012; upgrade the host, or set accept_end_of_life = true to use the last Python release that runs on it",
            ),
        ),
        (
            "auth",
            basic and not tls,
            message("basic-without-tls", '"basic" sends the password unencrypted and therefore requires tls = true'),
        ),
        ("auth", basic and "user" not in has, message("basic-without-user", '"basic" requires user and password')),
        (
            "user",
            "user" in has and "password" not in has and not ssh,
            message("user-without-password", "requires password; set password as well, or remove user to use the current Windows logon"),
        ),
        (
            "password",
            "password" in has and "user" not in has,
            message("password-without-user", "requires user; set user as well, or remove password to use the current Windows logon"),
        ),
        (
            "fingerprint",
            has >= {"fingerprint", "ca_file"},
            message("fingerprint-with-ca-file", "cannot be combined with ca_file; use one or the other"),
        ),
        (
            "proxy",
            settings.get("proxy") is not None and settings.get("jump") is not None,
            message("proxy-with-jump", "cannot be combined with jump; use one or the other"),
        ),
        ("fingerprint", "fingerprint" in has and not tls, only_with_tls),
        ("ca_file", "ca_file" in has and not tls, only_with_tls),
        (
            "transport",
            winrm and not kerberos and "user" not in has,
            message(
                "winrm-without-user",
                '"winrm" requires the keys user and password; to use the current Windows logon, set auth = "kerberos" or transport = "psrp"',
            ),
        ),
        (
            "user",
            winrm and kerberos and "user" in has,
            message(
                "user-with-kerberos",
                'cannot be combined with transport = "winrm" and auth = "kerberos", which use the ticket of the current logon; remove user and password',
            ),
        ),
        (
            "configuration_name",
            (winrm or ssh) and configuration_name != _CONFIGURATION_NAME,
            message("only-with-psrp", 'requires transport = "psrp"'),
        ),
        *windows_transport.rules(settings),
    ]
    rules += [("packages", is_broken, reason) for is_broken, reason in package_choice.rules(settings.get("packages"))]
    rules += [("downloads", is_broken, reason) for is_broken, reason in download_rules(settings.get("downloads"))]
    rules += [("certificate", is_broken, reason) for is_broken, reason in _certificate_rules(settings.get("certificate"))]
    return [(key, reason) for key, is_broken, reason in rules if is_broken]


def _certificate_rules(certificate: Any) -> list[tuple[bool, Message]]:
    table = dict(certificate) if isinstance(certificate, (Mapping, CertificateSettings)) else {}
    has = {key for key, value in table.items() if value is not None and value is not False}
    sources = has & {"file", "pfx", "thumbprint", "request"}
    return [
        (
            len(sources) > 1,
            message(
                "certificate-sources",
                "{sources} cannot be combined; use at most one of file, pfx, thumbprint, and request",
                sources=", ".join(sorted(sources)),
            ),
        ),
        (
            "file" in has and "key" not in has,
            message("certificate-without-key", 'a certificate file also requires its private key; add key = { file = "PATH" }'),
        ),
        (
            "key" in has and "file" not in has,
            message("key-without-certificate", "certificate.key requires certificate.file, the certificate that the key belongs to"),
        ),
        (
            "password" in has and not has & {"file", "pfx"},
            message("password-without-certificate", "certificate.password requires certificate.file or certificate.pfx"),
        ),
    ]
