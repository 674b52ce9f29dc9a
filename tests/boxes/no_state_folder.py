"""A Windows host in a box on which nbserver seems never to have been: its state folder would be elsewhere."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.boxes.windows import WindowsBox
from tests.boxes.wine import environment, pwsh_command

PROGRAM_DATA = (
    r"Set-ItemProperty -LiteralPath 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\ProfileList' -Name ProgramData -Type ExpandString"
)


@contextmanager
def no_state_folder(host: WindowsBox) -> Iterator[None]:
    """Without the stand-ins, a script needs a host without a state folder, and an earlier test may have left one."""
    powershell(host, f"{PROGRAM_DATA} -Value 'C:\\no state'")
    try:
        yield
    finally:
        powershell(host, f"{PROGRAM_DATA} -Value 'C:\\ProgramData'")


def powershell(host: WindowsBox, command: str) -> None:
    subprocess.run(
        [pwsh_command(), "-NoProfile", "-Command", command],
        env=environment(host.prefix),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        timeout=600,
        check=True,
    )
