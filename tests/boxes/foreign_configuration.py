"""What other installations have left on a Windows host to configure a Jupyter, an IPython, pip and uv; most of it opens a server to everybody."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from tests.boxes.server_settings import ENVIRONMENT
from tests.boxes.windows import WindowsBox
from tests.boxes.wine import run
from tests.checkout import TESTS

FOLDER = TESTS / "foreign_configuration"
TOKEN = json.loads((FOLDER / "jupyter_server_config.json").read_text())["IdentityProvider"]["token"]
READ = r"C:\ProgramData\ipython\was read"
_MARK = f"open(r'{READ}', 'w').close()\n"
FILES = {
    r"C:\ProgramData\jupyter\jupyter_server_config.py": (FOLDER / "jupyter_server_config.py").read_text(),
    r"C:\ProgramData\jupyter\jupyter_server_config.json": (FOLDER / "jupyter_server_config.json").read_text(),
    r"C:\ProgramData\jupyter\kernels\foreign\kernel.json": json.dumps(
        {"argv": ["nothing.exe"], "display_name": "foreign", "language": "python"}
    ),
    r"C:\ProgramData\ipython\ipython_config.py": _MARK,
    r"C:\ProgramData\ipython\ipython_kernel_config.py": _MARK,
    r"C:\ProgramData\pip\pip.ini": "[global]\nno-index = true\nindex-url = https://foreign.invalid/simple\nrequire-virtualenv = true\nuser = true\ntarget = C:\\elsewhere\n",
    r"C:\ProgramData\uv\uv.toml": 'exclude-newer = "2000-01-01T00:00:00Z"\n',
}
VARIABLES = {"JUPYTER_USE_PROGRAMDATA": "1", "JUPYTER_CONFIG_PATH": r"C:\ProgramData\jupyter"}


@contextmanager
def foreign_configuration(host: WindowsBox) -> Iterator[None]:
    """Files and variables of the machine, which a program that is started then has."""
    key = ENVIRONMENT.replace("HKEY_LOCAL_MACHINE", "HKLM")
    try:
        for name, text in FILES.items():
            file = host.path(name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        for name, value in VARIABLES.items():
            run(host.prefix, "reg", "add", key, "/v", name, "/d", value, "/f")
        assert all(f"{name}={value}" in run(host.prefix, "cmd", "/c", "set") for name, value in VARIABLES.items())
        yield
    finally:
        for name in VARIABLES:
            run(host.prefix, "reg", "delete", key, "/v", name, "/f")
        for name in ("jupyter", "ipython", "pip", "uv"):
            shutil.rmtree(host.path(rf"C:\ProgramData\{name}"), ignore_errors=True)
