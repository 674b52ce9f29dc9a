"""The tables of a Windows host, such as [hosts.NAME.notebook]. Some of them are also those of Linux hosts and of this machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from nbserver.base.message import Message, message
from nbserver.inventory import collaboration, idle_kernels
from nbserver.inventory.idle_kernels import IdleTime
from nbserver.inventory.package_choice import REFERENCE, PackageChoice
from nbserver.inventory.ssh_server import is_server, of_text
from nbserver.settings.secret import SecretReference
from nbserver.settings.types import (
    PASSWORD_MINIMUM,
    Array,
    FilePath,
    HostName,
    ListenAddress,
    MirrorUrl,
    ProxyUrl,
    PublicUrl,
    RemoteAddress,
    Settings,
    Thumbprint,
    VersionPrefix,
    WebAddress,
    WindowsFolder,
    WindowsPath,
    one_firewall_rule,
    unlike,
)

PORT = "a whole number from 1 to 65535"
PROXY = "a URL such as http://proxy.example.com:3128"
JUMP = "the name of a Linux host in the inventory, or user@address:port"
JUMP_TITLE = "The SSH server through which nbserver reaches the host"


def _jump(text: str) -> str:
    if is_server(text):
        of_text(text)
    return text


Jump = Annotated[str, AfterValidator(_jump)]


class PythonSettings(Settings):
    version: VersionPrefix | None = Field(
        default=None,
        title="The version of Python (default: the catalog's)",
        description='a version or version prefix in the catalog, such as "3.13"',
    )
    kind: Literal["zip", "exe"] | None = Field(
        default=None,
        title="How Python is distributed: exe is the publisher's installer, for the whole machine",
        description="zip or exe (default: the kind of the newest version, zip if it has both)",
    )


class OpensslSettings(Settings):
    version: VersionPrefix | None = Field(
        default=None,
        title="The version of OpenSSL (default: the catalog's)",
        description='a version or version prefix in the catalog, such as "3.5"',
    )
    kind: Literal["zip", "msi", "exe"] | None = Field(
        default=None,
        title="How OpenSSL is distributed",
        description="zip, msi, or exe (default: exe only if the catalog has no zip or msi)",
    )


class PackagesSettings(PackageChoice):
    index_url: WebAddress | None = Field(
        default=None,
        title="Where packages come from (default: the index of pip and uv)",
        description="the URL of a package index, without credentials",
    )
    installer: Literal["auto", "uv", "pip"] = Field(
        default="auto",
        title="What installs packages; auto is uv on Windows 10, Server 2016, and newer, and pip on older releases",
        description="auto, uv, or pip",
    )


class DownloadsSettings(Settings):
    source: Literal["direct", "mirror", "push"] = Field(
        default="direct",
        title="Where files and packages come from: the publishers and the package index, downloads.mirror, or downloads.bundle on the "
        "workstation, from which nbserver sends them to the host",
        description='"direct", "mirror", or "push"',
    )
    mirror: MirrorUrl | None = Field(
        default=None,
        title='The URL of a bundle on a web server, for source = "mirror"; packages.index_url is then for the workstation only',
        description="an https URL, without credentials",
    )
    bundle: FilePath | None = Field(
        default=None,
        title='A folder of nbserver download, for source = "push"; packages.index_url is then for the workstation only',
        description="the path of a folder, relative to the inventory",
    )
    ca_file: FilePath | None = Field(
        default=None,
        title="Authorities that nbserver download trusts in addition to those of the workstation; the host trusts its own",
        description="the path of a PEM file, relative to the inventory",
    )
    proxy: ProxyUrl | None = Field(
        default=None, title="The proxy of the host for downloads and packages", description=f"{PROXY}, without credentials"
    )
    proxy_user: str | None = Field(
        default=None, title="Who logs in to the proxy; requires proxy and proxy_password", description="a user name"
    )
    proxy_password: SecretReference | None = Field(default=None, title="The password of proxy_user", description=REFERENCE)


def download_rules(downloads: Any) -> list[tuple[bool, Message]]:
    """Return whether each rule between the keys of a table [downloads] is violated, and the reason."""
    table = dict(downloads) if isinstance(downloads, (Mapping, DownloadsSettings)) else {}
    user, password = table.get("proxy_user"), table.get("proxy_password")
    return [
        (
            table.get("source") == "mirror" and not table.get("mirror"),
            message("mirror-missing", 'downloads.source = "mirror" requires downloads.mirror'),
        ),
        (
            table.get("source") == "push" and not table.get("bundle"),
            message("bundle-not-set", 'downloads.source = "push" requires downloads.bundle'),
        ),
        (bool(user) != bool(password), message("proxy-login-incomplete", "proxy_user and proxy_password must be set together")),
        (bool(user) and not table.get("proxy"), message("proxy-login-without-proxy", "downloads.proxy_user requires downloads.proxy")),
    ]


class PathSettings(Settings):
    entries: Annotated[tuple[WindowsPath, ...], AfterValidator(unlike), Array] | None = Field(
        default=None,
        title="What to add to the PATH of the machine (default: the folders of the environment, Python, and OpenSSL)",
        description="an array of Windows paths that are absolute or begin with %Variable%, without semicolons",
    )


class HostCertificateSettings(Settings):
    """A certificate that the host creates itself."""

    names: Annotated[tuple[HostName, ...], AfterValidator(unlike), Array] = Field(
        default=(),
        title="Names in the certificate, in addition to address and the host of notebook.public_url",
        description="an array of DNS names and IP addresses",
    )
    days: int = Field(
        default=397,
        ge=1,
        le=397,
        title="How many days a certificate is valid that the host creates itself",
        description="a whole number from 1 to 397",
    )


class CertificateSettings(HostCertificateSettings):
    """A certificate from one of the four sources of a Windows host."""

    pasted_with_mark = frozenset({"thumbprint"})

    file: FilePath | None = Field(
        default=None,
        title="The certificate of the notebook server; requires key",
        description="the path of a PEM or .p7b file with the certificate and its chain, relative to the inventory",
    )
    key: SecretReference | None = Field(
        default=None, title="The private key of file, in PEM (PKCS#8, PKCS#1, or SEC1)", description=REFERENCE
    )
    pfx: FilePath | None = Field(
        default=None,
        title="The certificate of the notebook server and its key; without password, the file has an empty one or none",
        description="the path of a PFX file with the certificate and its key, relative to the inventory",
    )
    password: SecretReference | None = Field(default=None, title="The password of pfx, or of an encrypted key", description=REFERENCE)
    thumbprint: Thumbprint | None = Field(
        default=None,
        title="A certificate in the store of the host, with an exportable key",
        description="the thumbprint (40 hex digits) of a certificate in Cert:\\LocalMachine\\My on the host",
    )
    request: bool = Field(
        default=False,
        title="Whether the host creates a key and a request, which is signed elsewhere",
        description="true or false (whether the host creates a certificate request for your CA to sign)",
    )

    @property
    def source(self) -> Literal["host", "workstation", "store", "request"]:
        """Return where the certificate comes from; "host" means that the host creates it."""
        if self.file or self.pfx:
            return "workstation"
        if self.thumbprint:
            return "store"
        return "request" if self.request else "host"


class NotebookSettings(Settings):
    port: int = Field(default=9999, ge=1, le=65535, title="The port of the notebook server", description=PORT)
    ip: ListenAddress = Field(
        default="*",
        title="The address on which the notebook server listens",
        description='"*" for all addresses of the host, or one IP address',
    )
    directory: WindowsFolder = Field(
        default="%ProgramData%\\nbserver\\notebooks",
        title="The folder of the notebooks; variables are expanded on the host",
        description="the path of a Windows folder that is absolute or begins with %Variable%",
    )
    interface: Literal["lab", "notebook"] = Field(
        default="notebook",
        title="The page after login: JupyterLab, or the simpler Jupyter Notebook; the other one is at /lab or /tree",
        description='"lab" or "notebook" (default: "notebook")',
    )
    language: Literal["en", "fr", "ja", "none"] = Field(
        default="en",
        title="The language of the first page, Welcome.ipynb in the folder of the notebooks; none leaves it out",
        description='"en", "fr", "ja", or "none" (default: "en")',
    )
    public_url: PublicUrl | None = Field(
        default=None,
        title="Where browsers and verify connect (default: https://ADDRESS:PORT)",
        description="a URL such as https://notebooks.example.com, without a path",
    )
    password: SecretReference = Field(title="What people enter in the browser", description=REFERENCE)
    password_minimum: int = Field(
        default=PASSWORD_MINIMUM,
        ge=8,
        le=128,
        title="The minimum length of the notebook password; a shorter one is refused before a host is contacted",
        description="a whole number from 8 to 128 (minimum length of the password; default: 12)",
    )
    session: int = Field(
        default=12,
        ge=1,
        le=744,
        title="How many hours a login lasts",
        description="a whole number of hours from 1 to 744 (how long a login lasts; default: 12)",
    )
    collaboration: bool = Field(default=False, title=collaboration.TITLE, description=collaboration.DESCRIPTION)
    cull_idle: IdleTime = Field(default=idle_kernels.OFF, title=idle_kernels.TITLE, description=idle_kernels.DESCRIPTION)

    @property
    def cull_idle_seconds(self) -> int:
        """After how many seconds an idle kernel is stopped; 0 means never."""
        return idle_kernels.seconds(self.cull_idle)


class FirewallSettings(Settings):
    remote_addresses: Annotated[tuple[RemoteAddress, ...], AfterValidator(one_firewall_rule), Array] = Field(
        default=("Any",),
        title="Who may connect to the port of the notebook server",
        description='an array of IP addresses, networks such as 192.0.2.0/24, and "LocalSubnet", or "Any"',
    )
