"""`nbserver rotate`: revoke the access of everybody who could log in to the notebook servers of some hosts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base.errors import UsageError
from nbserver.base.message import phrase
from nbserver.base.standard_streams import say
from nbserver.commands import certificate_request, up
from nbserver.inventory.by_kind import ByKind
from nbserver.run import operation
from nbserver.run.result import exit_code
from nbserver.settings.secret import Ask, confirmed

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost, Inventory
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.local_linux_host import LocalLinuxHost
    from nbserver.inventory.local_windows_host import LocalWindowsHost
    from nbserver.inventory.windows_host import WindowsHost
    from nbserver.run.options import Options
    from nbserver.run.view import View


def rotate(
    inventory: Inventory,
    hosts: Sequence[AnyHost],
    certificate: Path | None,
    csr_file: Path | None,
    options: Options,
    ask: Ask | None,
    view: View,
    *,
    quiet: bool,
) -> int:
    """Run the scripts in mode rotate. Return the exit code.

    `certificate` is a certificate that was signed for the newest request of a single host, or for the one in `csr_file`. This
    machine gets a password that is typed or generated if the inventory has none. Raises NbserverError before any host is contacted.
    """
    requesting = [host for host in hosts if _has_request(host)]
    if certificate is None and requesting:
        raise UsageError(
            "rotate-without-certificate",
            "a new key needs a new certificate, which must be issued for a request from this host",
            where=requesting[0].name,
            todo="Run nbserver certificate request {name} -o DIR, have the request signed, then run nbserver rotate {name} --certificate FILE",
            name=requesting[0].name,
        )
    if certificate is not None:
        options = replace(options, chains={hosts[0].name: _chain(inventory, hosts, certificate, csr_file, options)})
    given, made = _passwords(hosts, ask)
    with up.password_not_lost(made):
        results = operation.operate("rotate", inventory, hosts, replace(options, passwords=given), ask, view)
    up.show_password(made, results)
    done = [host.name for host in hosts if results[host.name].outcome == "ok"]
    if done and not quiet:
        say(phrase("To test the new passwords and certificates, run nbserver verify {hosts}", hosts=" ".join(done)))
    return exit_code(results)


def _requests(host: WindowsHost | LocalWindowsHost) -> bool:
    return host.certificate.source == "request"


def _never(host: LinuxHost | LocalLinuxHost) -> bool:
    return False


_has_request = ByKind(windows=_requests, linux=_never, local_windows=_requests, local_linux=_never)


def _chain(inventory: Inventory, hosts: Sequence[AnyHost], certificate: Path, csr_file: Path | None, options: Options) -> str:
    if len(hosts) != 1:
        raise UsageError(
            "rotate-certificate-for-one-host",
            "--certificate requires a single host, but {count} hosts are selected",
            todo="Specify a single host",
            count=len(hosts),
        )
    return certificate_request.signed_chain(inventory, hosts[0], certificate, csr_file, options)


def _passwords(hosts: Sequence[AnyHost], ask: Ask | None) -> tuple[dict[str, str], dict[str, str]]:
    """Return the typed or generated passwords of hosts whose inventory has none, and which of them were generated."""
    given: dict[str, str] = {}
    made: dict[str, str] = {}
    ask_twice = confirmed(ask)
    for host in hosts:
        if host.notebook.password is not None:
            continue
        question = phrase("New notebook password of {name} (leave empty to generate one): ", name=host.name)
        given[host.name] = ask_twice(question) if ask_twice else ""
        if not given[host.name]:
            given[host.name] = made[host.name] = up.make_password(host.notebook.password_minimum)
    return given, made
