"""`nbserver certificate request` and `install`: the host creates the key and the request, a certificate authority signs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base import atomic_file, writing
from nbserver.base.errors import InventoryError, ScriptError, UsageError
from nbserver.base.message import cause
from nbserver.base.writable_folder import require_writable
from nbserver.certificate import chain as certificate_chain
from nbserver.certificate.chain import LONGEST, ChainFault
from nbserver.certificate.names import subject_alternative_names
from nbserver.events.reader import EventError, parse
from nbserver.inventory.by_kind import ByKind
from nbserver.run.journal import FOLDER
from nbserver.run.operation import operate
from nbserver.run.options import Options
from nbserver.run.result import exit_code
from nbserver.settings.secret import Ask

if TYPE_CHECKING:
    from cryptography import x509

    from nbserver.inventory.hosts import AnyHost, Inventory
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.local_linux_host import LocalLinuxHost
    from nbserver.inventory.local_windows_host import LocalWindowsHost
    from nbserver.inventory.windows_host import WindowsHost
    from nbserver.run.view import View


def request(
    inventory: Inventory, hosts: Sequence[AnyHost], folder: Path, options: Options, ask: Ask | None, view: View, say: Callable[[str], None]
) -> int:
    """Have each host create a request or return the one it has; write FOLDER/HOST.csr. Return the exit code.

    Raises NbserverError before any host is contacted, ScriptError if a request does not have the names of its host.
    """
    for host in hosts:
        _require_source(host)
    with writing.refused(
        "request-folder-not-created", "could not write to the folder ({reason})", where=folder, todo="Choose another folder with -o"
    ):
        require_writable(folder)
    results = operate("request", inventory, hosts, options, ask, view)
    broken: list[ScriptError | UsageError] = []
    for host in hosts:
        if results[host.name].outcome != "ok":
            continue
        try:
            _check_request(host, results[host.name].csr)
            say(str(_write(folder / f"{host.name}.csr", results[host.name].csr)))
        except (ScriptError, UsageError) as error:  # the requests of the other hosts remain valid
            broken.append(error)
    if broken:
        raise broken[0]
    return exit_code(results)


def install(
    inventory: Inventory,
    host: AnyHost,
    file: Path,
    csr_file: Path | None,
    options: Options,
    ask: Ask | None,
    view: View,
    now: datetime | None = None,
) -> int:
    """Check the signed certificate in `file` against the request and names of the host, and apply it. Return the exit code.

    The request is `csr_file`, or the newest one in the runs. Raises UsageError for a file that does not match.
    """
    sent = replace(options, chains={host.name: signed_chain(inventory, host, file, csr_file, options, now)})
    return exit_code(operate("apply", inventory, [host], sent, ask, view))


def signed_chain(
    inventory: Inventory, host: AnyHost, file: Path, csr_file: Path | None, options: Options, now: datetime | None = None
) -> str:
    """Return the certificate in `file` with its chain, in PEM, for the request of the host. Raises UsageError, InventoryError."""
    _require_source(host)
    csr = (
        _load_request(_read(csr_file), str(csr_file)) if csr_file else _newest_request(options.runs or inventory.path.parent / FOLDER, host)
    )
    now = now or datetime.now(UTC)
    try:
        chain = certificate_chain.order(certificate_chain.read_pem(_read(file)), certificate_chain.spki(csr.public_key()), now)
        certificate_chain.check(chain, subject_alternative_names(host), now)
    except ChainFault as fault:
        raise UsageError.of(fault, where=str(file)) from None
    return certificate_chain.to_pem(chain)


def _refuse_linux(host: LinuxHost | LocalLinuxHost) -> None:
    raise InventoryError(
        "request-on-linux",
        "only Windows hosts can request certificates, but this host runs Linux",
        where=host.name,
        todo="Select only Windows hosts",
    )


def _require_request(host: WindowsHost | LocalWindowsHost) -> None:
    if host.certificate.source != "request":
        raise InventoryError(
            "request-not-set",
            "certificate.request is not set for this host",
            where=host.name,
            todo="Set certificate.request = true in the inventory",
        )


_require_source = ByKind(windows=_require_request, linux=_refuse_linux, local_windows=_require_request, local_linux=_refuse_linux)


def _check_request(host: AnyHost, pem: str) -> None:
    """Check the request from the host before anyone signs it."""
    try:
        csr = _load_request(pem.encode("utf-8", "replace"), host.name)
        certificate_chain.check_key_type(csr.public_key())
        certificate_chain.check_names(certificate_chain.san_names(csr), subject_alternative_names(host))
    except Exception as error:  # also an error of a library: the host controls the request, and those of the other hosts remain valid
        raise ScriptError(
            "request-does-not-match",
            "the host returned a certificate request that is not valid for this host: {reason}",
            host=host.name,
            todo="Run the command again. If it fails again, check the host's log in the run directory",
            reason=cause(error, 4000),
        ) from None


def _write(path: Path, pem: str) -> Path:
    with writing.refused("request-not-written", "could not write the file ({reason})", where=path, todo="Choose another folder with -o"):
        atomic_file.write_text(path, pem)
    return path


def _newest_request(runs: Path, host: AnyHost) -> x509.CertificateSigningRequest:
    """Return the request of this host from the newest run that has one."""
    for run in sorted((path for path in runs.glob("*") if path.is_dir()), key=lambda path: path.name, reverse=True):
        try:
            lines = (run / host.name / "events.jsonl").read_text(encoding="ascii", errors="replace").split("\n")
        except OSError:
            continue
        for line in lines:
            try:
                event = parse(line)
            except EventError:
                continue
            if event.event == "request":
                return _load_request(event.data["csr"].encode("ascii"), str(run / host.name))
    raise UsageError(
        "no-request",
        "no run in {folder} contains a certificate request from this host",
        where=host.name,
        todo="Specify the request with --csr, or run nbserver certificate request again, which returns the same request",
        folder=runs,
    )


def _load_request(pem: bytes, where: str) -> x509.CertificateSigningRequest:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        csr = x509.load_pem_x509_csr(pem)
        valid = csr.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        valid = False
    if not valid:
        raise UsageError(
            "request-not-pem",
            "expected a certificate signing request in PEM format",
            where=where,
            todo="Specify the file that nbserver certificate request wrote",
        )
    return csr


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LONGEST + 1)
    except OSError as error:
        raise UsageError(
            "file-unreadable-path",
            "could not read the file ({reason})",
            where=str(path),
            todo="Check that the file exists and that you can read it",
            reason=error.strerror,
        ) from None
