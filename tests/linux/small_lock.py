"""The real command line with another lock of Linux hosts: `python -m tests.linux.small_lock FILE ARGUMENTS...`."""

from __future__ import annotations

import sys
from pathlib import Path

from nbserver.catalog import linux_lock
from nbserver.cli.program import main
from tests.site import LinuxSite


class SmallSite(LinuxSite):
    """A site whose hosts get the packages of `small.lock.txt` in its folder."""

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "tests.linux.small_lock", "small.lock.txt", *arguments]


if __name__ == "__main__":
    _small = linux_lock.parse(Path(sys.argv.pop(1)).read_bytes())
    linux_lock.load = lambda: _small
    main()
