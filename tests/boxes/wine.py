"""Debian's Wine: where it is, and the environment for its programs."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

WINE = "/usr/lib/wine/wine64"
WINESERVER = "/usr/lib/wine/wineserver64"
PWSH_VARIABLE = "NBSERVER_TEST_PWSH"
VARIABLES = "variables.json"  # in a WINEPREFIX: what else its programs see of this machine
LAST_WORDS = 5.0  # seconds for what a program wrote before it ended
IDLE = 900  # seconds after which a Windows that nobody ended, and where no program runs, ends by itself
# Programs that live for seconds: no counting of calls for a later, better compilation, few collections of garbage, no code
# mapped twice. A fifth less time of the processor in PowerShell. Source: "Runtime configuration options" on learn.microsoft.com.
DOTNET = {
    "DOTNET_EnableWriteXorExecute": "0",
    "DOTNET_TieredPGO": "0",
    "DOTNET_TC_CallCountingDelayMs": "2000",  # milliseconds without new methods before calls are counted
    "DOTNET_GCgen0size": "0x4000000",
    "DOTNET_gcConcurrent": "0",
}
# The driver of game controllers asks its devices every millisecond: 2 % of a CPU for each Windows that is up.
NO_CONTROLLERS = "winebus.sys=d"
PASSED_ON = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "PWSH_HOME")


def pwsh_command() -> str:
    """The program that runs PowerShell for Windows, named by NBSERVER_TEST_PWSH. Raises LookupError if it is not set."""
    command = os.environ.get(PWSH_VARIABLE, "")
    if not command:
        raise LookupError(f"{PWSH_VARIABLE} is not set: it names the program that runs PowerShell for Windows under Wine")
    return command


def environment(prefix: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a Windows program at `prefix` (a WINEPREFIX) sees of this machine: little, as on a host of its own.

    No proxy, pip setting or secret of the test's own environment gets in. A Windows with a locale or user of its own has
    them in the file VARIABLES.
    """
    own = prefix / VARIABLES
    return {
        **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
        "WINEPREFIX": str(prefix),
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": NO_CONTROLLERS,
        "POWERSHELL_TELEMETRY_OPTOUT": "1",
        "POWERSHELL_UPDATECHECK": "Off",
        **DOTNET,
        **(json.loads(own.read_text("utf-8")) if own.exists() else {}),
        **(extra or {}),
    }


def linux_path(prefix: Path, windows_path: str) -> Path:
    r"""`C:\a\b` as a path on this machine. Letter case is taken from what exists; the rest stays as given."""
    drive, _, rest = windows_path.partition(":")
    if len(drive) != 1 or not drive.isalpha():
        raise ValueError(f"not an absolute Windows path: {windows_path}")
    found = (prefix / "dosdevices" / f"{drive.lower()}:").resolve()
    for part in filter(None, rest.replace("\\", "/").split("/")):
        exact = found / part
        if not exact.exists() and found.is_dir():
            exact = next((child for child in found.iterdir() if child.name.lower() == part.lower()), exact)
        found = exact
    return found


def windows_path(path: Path) -> str:
    r"""A path of this machine as a Windows program sees it: `Z:\...`."""
    return "Z:" + str(path.absolute()).replace("/", "\\")


def run(prefix: Path, *arguments: str, timeout: float = 300) -> str:
    """Runs a Windows program and returns its output. Its standard streams are pipes, or console programs do not start.

    The output ends with the program: Wine's own services, which the first program starts, inherit the pipe and keep it open.
    Raises subprocess.CalledProcessError with the output, subprocess.TimeoutExpired.
    """
    command = [WINE, *arguments]
    process = subprocess.Popen(command, env=environment(prefix), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert process.stdin and process.stdout
    output = process.stdout
    said: list[bytes] = []
    reader = threading.Thread(target=lambda: said.extend(iter(lambda: os.read(output.fileno(), 65536), b"")), daemon=True)
    reader.start()
    try:
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(b"\n")
        process.wait(timeout)
    finally:
        process.kill()
    reader.join(LAST_WORDS)
    text = b"".join(said).decode("utf-8", "replace")
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(arguments), text)
    return text


def start_wine(prefix: Path) -> None:
    """From now on the Windows at `prefix` is up, also while no program runs there, until `end_wine`; made where there is none.

    Without it Wine ends with its last program, and the next one first waits for all of Wine's services. They are started here with
    no output of anybody's: whoever started them would wait for its end as long as they run.
    """
    settings = {"env": environment(prefix), "stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([WINESERVER, f"-p{IDLE}"], timeout=300, check=False, **settings)
    subprocess.run([WINE, "cmd", "/c", "exit"], timeout=600, check=True, **settings)


def end_wine(prefix: Path) -> None:
    """Ends every process of the Windows at `prefix` and writes its registry to disk."""
    for option in ("-k", "-w"):  # end, and wait for the end
        subprocess.run([WINESERVER, option], env=environment(prefix), timeout=300, check=False)
