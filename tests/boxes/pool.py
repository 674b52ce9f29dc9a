"""Scripts by PSRP on a host in a box, without nbserver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan

from tests.boxes.windows import WindowsBox

Run = Callable[[str], list[str]]


@contextmanager
def pool(host: WindowsBox, whole: Callable[[str], str]) -> Iterator[Run]:
    """Runs `whole(script)`, in one pool of runspaces, and returns its output as text. A script may not leave an error."""
    with host.endpoint() as service:
        wsman = WSMan(
            "127.0.0.1",
            port=service.port,
            ssl=False,
            auth="basic",
            encryption="never",
            no_proxy=True,
            username=service.user,
            password=service.password,
            operation_timeout=60,
            read_timeout=90,
        )
        with wsman, RunspacePool(wsman) as runspaces:

            def run(script: str) -> list[str]:
                shell = PowerShell(runspaces).add_script(whole(script))
                output = shell.invoke()
                assert not shell.streams.error, [str(error) for error in shell.streams.error]
                return [str(item) for item in output]

            yield run
