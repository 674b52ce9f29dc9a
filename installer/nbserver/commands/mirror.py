"""`nbserver mirror`: serve a bundle over HTTPS until Ctrl-C."""

from __future__ import annotations

import ipaddress
import json
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nbserver.base.errors import UsageError
from nbserver.base.message import counted, phrase
from nbserver.base.pinned_tls import fingerprint_of
from nbserver.bundle import approval, check, mirror_certificate
from nbserver.bundle.approval import Demand
from nbserver.bundle.mirror_server import MirrorServer, Served, served

ALL = "*"


@dataclass(frozen=True)
class Wanted:
    """What the person asked for. Without `certificate`, the mirror creates one for `names`; without `demand`, only the site's rules count."""

    bundle: Path
    address: str
    port: int
    certificate: Path | None
    key: Path | None
    names: tuple[str, ...]
    demand: Demand | None = None


@dataclass(frozen=True)
class Mirror:
    """A mirror that listens. `authority` is the file that hosts must trust, or None if the person's own certificate is used."""

    server: MirrorServer
    url: str
    fingerprint: str
    authority: Path | None
    files: int

    def as_json(self) -> dict[str, Any]:
        authority = str(self.authority) if self.authority else None
        return {"event": "serving", "url": self.url, "fingerprint": self.fingerprint, "authority": authority, "files": self.files}

    def lines(self) -> list[str]:
        """Return what a person reads: the settings for the inventory, and what the hosts must trust."""
        trusted = [phrase("Hosts must trust the authority in {file}", file=self.authority)] if self.authority else []
        return [
            counted("Serving {count} file. In the inventory:", "Serving {count} files. In the inventory:", self.files),
            '  downloads.source = "mirror"',
            f'  downloads.mirror = "{self.url}"',
            phrase("Certificate {fingerprint}", fingerprint=self.fingerprint),
            *trusted,
            phrase("Press Ctrl-C to stop."),
        ]


def opened(wanted: Wanted, log: Callable[[str], object]) -> Mirror:
    """Return the mirror of a bundle that was checked, which listens. Raises ApprovalError, UsageError, and OutputError."""
    files = _checked(wanted)
    names = wanted.names or _own_names(wanted.address)
    if wanted.certificate:
        authority, context = None, _context(wanted.certificate, wanted.key)
        leaf = wanted.certificate
    else:
        bundle = wanted.bundle.resolve()  # the folder is next to it, and not in it, also for . and ..
        folder = bundle.with_name(f"{bundle.name}.mirror")
        authority, leaf = mirror_certificate.require(folder, names, datetime.now(UTC))
        context = _context(leaf, None)
    try:
        server = MirrorServer(wanted.address, wanted.port, files, context, log)
    except (OSError, OverflowError) as error:
        raise UsageError(
            "mirror-address-unusable",
            "could not listen on {address}, port {port} ({reason})",
            todo="Choose another address with --bind, or another port with --port",
            address=wanted.address,
            port=wanted.port,
            reason=getattr(error, "strerror", None) or str(error),
        ) from None
    host = f"[{names[0]}]" if ":" in names[0] else names[0]
    return Mirror(server, f"https://{host}:{server.port}", _fingerprint(leaf), authority, len(files))


def answer(mirror: Mirror, *, as_json: bool) -> list[str]:
    return [json.dumps(mirror.as_json())] if as_json else mirror.lines()


def _checked(wanted: Wanted) -> dict[str, Served]:
    listed = check.require(wanted.bundle)
    approval.require(wanted.bundle, listed.sha256, wanted.demand or approval.BY_SITE)
    return served(wanted.bundle, listed.files)


def _own_names(address: str) -> tuple[str, ...]:
    """Return the names of this machine that hosts may use, the one for the URL first."""
    if address != ALL and not ipaddress.ip_address(address).is_unspecified:
        return (address,)
    found: list[str] = []
    for name in (socket.getfqdn(), socket.gethostname(), "localhost"):
        with suppress(UsageError):  # Windows allows names that a certificate cannot have
            found += names_of([name])
    return tuple(dict.fromkeys(found))


def _context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        raise UsageError(
            "mirror-certificate-unusable",
            "could not use the certificate and its key ({reason})",
            where=str(certificate),
            todo="Specify PEM files with --certificate and --key; the key must not be encrypted",
            reason=getattr(error, "strerror", None) or str(error) or type(error).__name__,
        ) from None
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _fingerprint(file: Path) -> str:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    text = file.read_text("ascii", "replace")
    return fingerprint_of(ssl.PEM_cert_to_DER_cert(begin + text.partition(begin)[2].partition(end)[0] + end))


def address_of(text: str) -> str:
    """Return the address to listen on, or ALL. Raises UsageError."""
    if text == ALL:
        return ALL
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise UsageError(
            "mirror-address-invalid",
            '"{address}" is not an IP address',
            address=text,
            todo="Specify an IP address of this workstation with --bind",
        ) from None


def names_of(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the names for the certificate in their canonical form. Raises UsageError."""
    from nbserver.settings.host_name import host_name

    found = []
    for text in texts:
        try:
            found.append(host_name(text).lower())
        except ValueError:
            raise UsageError(
                "mirror-name-invalid",
                '"{name}" is neither a DNS name nor an IP address',
                name=text,
                todo="Specify a DNS name or an IP address with --name",
            ) from None
    return tuple(dict.fromkeys(found))
