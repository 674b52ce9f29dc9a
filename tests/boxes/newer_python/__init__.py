"""What Wine 8 lacks for Python 3.12 and newer, for `python.exe` only: kernel32's CopyFile2 and propsys's VariantToString."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.boxes.wine import run

COMPILER = "x86_64-w64-mingw32-gcc"
HERE = Path(__file__).parent
LIBRARIES = {"version": ("version.def",), "propsys": ("-loleaut32",)}  # with what each is linked


def put_libraries(prefix: Path) -> None:
    """Builds both into the Windows at `prefix`, where python.exe loads them instead of Wine's. Raises CalledProcessError."""
    system = prefix / "drive_c" / "windows" / "system32"
    for name, more in LIBRARIES.items():
        library = system / f"{name}.dll"
        library.unlink(missing_ok=True)  # it may be a link to Wine's own
        words = (COMPILER, "-O2", "-Wall", "-Wextra", "-Werror", "-D_WIN32_WINNT=0x0602", "-shared", "-s", "-o", str(library))
        subprocess.run([*words, f"{name}.c", *more], cwd=HERE, check=True)
        overrides = r"HKCU\Software\Wine\AppDefaults\python.exe\DllOverrides"
        run(prefix, "reg", "add", overrides, "/v", name, "/d", "native", "/f")
