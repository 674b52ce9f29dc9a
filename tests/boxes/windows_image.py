"""The Windows of the hosts in a box as it is after its installation: made once, kept in the cache, and copied for each host."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import subprocess
from pathlib import Path

from tests.boxes import artifacts, registry_file
from tests.boxes.server_settings import SERVER, UNRELATED_RULE, UNRELATED_TASK
from tests.boxes.task_scheduler import TASKS
from tests.boxes.wine import VARIABLES, WINE, end_wine, environment, linux_path, pwsh_command, run, start_wine, windows_path


def put_windows(prefix: Path) -> None:
    """A fresh Windows Server at `prefix` (a WINEPREFIX), not started. Raises LookupError, CalledProcessError.

    One with a locale or user of its own (VARIABLES) is installed there; any other is a copy.
    """
    if (prefix / VARIABLES).exists():
        return install(prefix)
    subprocess.run(["cp", "-a", "--reflink=auto", "-T", image(), prefix], check=True)


def image() -> Path:
    """The Windows Server that hosts are copies of, made once. Raises LookupError, CalledProcessError."""
    return artifacts.once(artifacts.cache_folder(), f"windows-{_fingerprint()}", lambda work, target: install(target))


def scripts_windows() -> Path:
    """The Windows where scripts run without a host (WINEPREFIX): one for all tests, made once, and up from now on.

    If the first test that needs one had it made, all other tests would wait for that test's end: see `make`.
    """
    name = f"scripts-windows-{_fingerprint()}"
    prefix = artifacts.once(artifacts.cache_folder(), name, lambda work, target: make(target))
    start_wine(prefix)
    return prefix


def make(prefix: Path) -> None:
    """Makes the Windows (about 15 s). Raises LookupError, CalledProcessError."""
    subprocess.run(
        [pwsh_command(), "-NoLogo", "-NoProfile", "-Command", "exit"],
        env=environment(prefix),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=600,
        check=True,
    )
    # Wine's server has inherited the lock under which a Windows is made, and would keep it as long as it runs
    end_wine(prefix)


def install(prefix: Path) -> None:
    """Makes the Windows and sets it up as a server."""
    make(prefix)
    # Documents and the like lead to the home folder of whoever runs the tests, and PowerShell keeps settings there
    for folder in (prefix / "drive_c" / "users").glob("*/*"):
        if folder.is_symlink():
            folder.unlink()
            folder.mkdir()
    settings = prefix / "drive_c" / "server.reg"
    settings.write_bytes(registry_file.write(SERVER))
    run(prefix, "reg", "import", windows_path(settings))
    settings.unlink()
    linux_path(prefix, r"C:\windows\Installer").mkdir(exist_ok=True)  # Windows has it, Wine makes it with the first MSI
    rules, tasks = linux_path(prefix, r"C:\nbserver-test\firewall"), linux_path(prefix, TASKS)
    rules.mkdir(parents=True)
    (rules / f"{UNRELATED_RULE['Name']}.json").write_text(json.dumps(UNRELATED_RULE))
    tasks.mkdir(parents=True, exist_ok=True)
    (tasks / "Unrelated maintenance").write_bytes(UNRELATED_TASK.replace("\n", "\r\n").encode("utf-16"))
    end_wine(prefix)


def _fingerprint() -> str:
    """Of all that such a Windows is made from."""
    pwsh = Path(pwsh_command()).resolve()
    files = [Path(WINE), *sorted(path for path in pwsh.parent.rglob("*") if path.is_file())]
    parts = {
        "files": [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files],
        "program": pwsh.read_text("utf-8", "replace"),
        "installed": inspect.getsource(make) + inspect.getsource(install),
        "server": [SERVER, UNRELATED_RULE, UNRELATED_TASK],
        "variables": {name: os.environ.get(name) for name in ("HOME", "USER", "LOGNAME", "LANG", "PWSH_HOME")},
    }
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
