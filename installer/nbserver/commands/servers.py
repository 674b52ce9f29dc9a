"""restart, stop, rollback, set-password, and rotate-certificate: what happens to installed servers, without an apply."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nbserver.base.errors import NbserverError, UsageError
from nbserver.base.message import phrase
from nbserver.base.standard_streams import say
from nbserver.inventory.by_kind import ByKind
from nbserver.run import operation
from nbserver.run.result import exit_code

if TYPE_CHECKING:
    from nbserver.base.modes import Mode
    from nbserver.inventory.hosts import AnyHost, Inventory
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.local_linux_host import LocalLinuxHost
    from nbserver.inventory.local_windows_host import LocalWindowsHost
    from nbserver.inventory.windows_host import WindowsHost
    from nbserver.run.options import Options
    from nbserver.run.result import Result
    from nbserver.run.view import View
    from nbserver.settings.secret import Ask


def run(mode: Mode, inventory: Inventory, hosts: Sequence[AnyHost], options: Options, ask: Ask | None, view: View) -> int:
    """Run the scripts in a mode that needs no secret of the server. Return the exit code.

    Raises NbserverError before any host is contacted.
    """
    return exit_code(operation.operate(mode, inventory, hosts, options, ask, view))


@contextmanager
def hiding_arguments() -> Iterator[None]:
    """Replace the error for a pattern that matches nothing, and that may be a password by mistake."""
    try:
        yield
    except NbserverError as error:
        if error.code != "no-match":
            raise
        raise UsageError(
            "password-for-no-host",
            "one of the arguments matches no host or group; it is not shown because it may be a password",
            todo="Specify only hosts. nbserver reads the password from the inventory, or prompts for it",
        ) from None


def set_password(inventory: Inventory, hosts: Sequence[AnyHost], options: Options, ask: Ask | None, view: View, *, quiet: bool) -> int:
    """Set the notebook passwords of the inventory. Return the exit code. Raises NbserverError before any host is contacted."""
    without = [host.name for host in hosts if host.notebook.password is None]
    if without:
        raise UsageError(
            "set-password-without-reference",
            "the inventory does not say where to find the new notebook password",
            where=without[0],
            todo="Set notebook.password in the inventory. To change only the password of this machine, run nbserver set-password local",
        )
    results = operation.operate("set-password", inventory, hosts, options, ask, view)
    if not quiet:
        _say_next(results, lambda names: phrase("To test the new passwords, run nbserver verify {hosts}", hosts=names))
    return exit_code(results)


def rotate_certificate(
    inventory: Inventory, hosts: Sequence[AnyHost], options: Options, ask: Ask | None, view: View, *, quiet: bool
) -> int:
    """Replace the certificates that hosts create themselves. Return the exit code. Raises NbserverError before any host is contacted."""
    require_own_certificates(hosts)
    results = operation.operate("rotate-certificate", inventory, hosts, options, ask, view)
    if not quiet:
        _say_next(results, lambda names: phrase("To test the new certificates, run nbserver verify {hosts}", hosts=names))
    return exit_code(results)


def require_own_certificates(hosts: Sequence[AnyHost]) -> None:
    """Raise UsageError if the certificate of a host does not come from the host itself."""
    given = [host.name for host in hosts if not _is_own(host)]
    if given:
        raise UsageError(
            "certificate-not-own",
            "the host did not create this certificate itself, so nbserver cannot replace it",
            where=given[0],
            todo="Replace it at its source as described in docs/certificates.md, then run nbserver apply {name}",
            name=given[0],
        )


def rollback(inventory: Inventory, hosts: Sequence[AnyHost], options: Options, ask: Ask | None, view: View, *, quiet: bool) -> int:
    """Start servers from their previous environments. Return the exit code. Raises NbserverError before any host is contacted."""
    results = operation.operate("rollback", inventory, hosts, options, ask, view)
    done = [name for name, result in results.items() if result.outcome == "ok" and result.changed]
    if done and not quiet:
        names = " ".join(done)
        say(phrase("nbserver apply upgrades these hosts again, unless the inventory has the previous lock: {hosts}", hosts=names))
    return exit_code(results)


def _say_next(results: Mapping[str, Result], said: Callable[[str], str]) -> None:
    done = [name for name, result in results.items() if result.outcome == "ok" and result.changed]
    if done:
        say(said(" ".join(done)))


def _windows(host: WindowsHost | LocalWindowsHost) -> bool:
    return host.certificate.source == "host"


def _linux(host: LinuxHost | LocalLinuxHost) -> bool:
    return True


_is_own = ByKind(windows=_windows, linux=_linux, local_windows=_windows, local_linux=_linux)
