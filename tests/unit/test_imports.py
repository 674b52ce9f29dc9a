"""What each command imports: before the first byte goes to a host, only what the selected hosts need."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkout import SOURCE

LIBRARIES = (
    "pydantic",
    "pydantic_core",
    "asyncssh",
    "asyncio",
    "cryptography",
    "rich",
    "requests",
    "urllib3",
    "spnego",
    "psrp",
    "websocket",
)
WINDOWS = ("nbserver.inventory.windows_host", "nbserver.render.windows_host", "nbserver.transports.wsman")
LINUX = ("nbserver.inventory.linux_host", "nbserver.render.linux_host", "nbserver.transports.ssh")
LOCAL = ("nbserver.inventory.local_windows_host", "nbserver.inventory.local_linux_host", "nbserver.transports.local")

INVENTORY = """
[hosts.lin]
system = "linux"
address = "192.0.2.1"
user = "root"
host_key = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
notebook.password = { env = "SITE_PASSWORD" }
[hosts.win]
system = "windows"
address = "192.0.2.2"
user = "u"
password = { env = "SITE_PASSWORD" }
notebook.password = { env = "SITE_PASSWORD" }
"""

CODE = """
import json, os, sys
from nbserver.cli import program

def tell():
    with open("modules.json", "w") as file:  # other threads write to the output meanwhile
        json.dump(sorted(sys.modules), file)

def connecting(name):
    def told(*given):
        tell()
        os._exit(0)
    return told

if sys.argv[1] in ("plan", "apply"):
    # What a transport imports, it has imported when it begins to connect.
    if "lin" in sys.argv:
        import nbserver.run.operation
        from nbserver.transports import connect
        def linux(host, *given):
            import nbserver.transports.ssh.transport
            connecting("ssh")()
        connect.connect_to = linux
    else:
        from nbserver.transports import connect
        def windows(host, *given):
            import nbserver.transports.psrp.transport
            connecting("psrp")()
        connect.connect_to = windows
try:
    program.cli(sys.argv[1:], standalone_mode=False)
except SystemExit:
    pass
tell()
"""


def imported(folder: Path, *command: str) -> set[str]:
    """The modules that a command has imported at its end, or when it begins to connect to a host; also packages of which they are part."""
    (folder / "nbserver.toml").write_text(INVENTORY)
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "SITE_PASSWORD": "correct horse battery"}
    found = subprocess.run([sys.executable, "-c", CODE, *command], check=False, capture_output=True, cwd=folder, env=environment)
    assert found.returncode == 0, found.stderr.decode()
    return set(json.loads((folder / "modules.json").read_text()))


@pytest.mark.parametrize(
    ("command", "without"),
    [
        (["--version"], (*LIBRARIES, *WINDOWS, *LINUX, *LOCAL, "nbserver.run.operation", "nbserver.render", "nbserver.approval")),
        (["--help"], (*LIBRARIES, *WINDOWS, *LINUX, *LOCAL, "nbserver.run.operation", "nbserver.render", "nbserver.approval")),
        (["render", "lin", "-o", "out"], (*LIBRARIES[2:], *WINDOWS, *LOCAL, "nbserver.transports", "nbserver.run.operation")),
        (["render", "win", "-o", "out"], (*LIBRARIES[2:], *LINUX, "nbserver.transports", "nbserver.run.operation")),
        (["plan", "lin"], ("rich", "requests", "urllib3", "spnego", "psrp", "websocket", *WINDOWS, *LOCAL, "nbserver.verify")),
        (["apply", "win"], ("rich", "asyncssh", "websocket", *LINUX, "nbserver.verify")),
    ],
    ids=lambda value: value[0] + value[1] if isinstance(value, list) and len(value) > 1 else None,
)
def test_a_command_imports_only_what_it_needs(tmp_path: Path, command: list[str], without: tuple[str, ...]) -> None:
    found = imported(tmp_path, *command)
    wrong = sorted(name for name in found for other in without if name == other or name.startswith(f"{other}."))
    assert not wrong, f"{' '.join(command)} imports what it does not need: {', '.join(wrong)}"
