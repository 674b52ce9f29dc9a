"""A package index of two wheels: uv, which installs them, and a `notebook` of the tests' own that refuses requests on its port with TLS."""

from __future__ import annotations

from pathlib import Path

from tests.hosts.mirror import Mirror
from tests.small_jupyter import write_wheel


def write_index(folder: Path, mirror: Mirror) -> list[str]:
    """Makes the index (PEP 503) in `folder`; uv's wheel is the mirror's. Returns the lines of its lock."""
    line = write_wheel(folder / "notebook")
    uv = next(mirror.wheels.glob("uv-*.whl"))
    (folder / "uv").mkdir()
    (folder / "uv" / uv.name).symlink_to(uv)
    for project in folder.iterdir():
        (project / "index.html").write_text("".join(f'<a href="{path.name}">{path.name}</a>\n' for path in project.glob("*.whl")))
    uv_line = next(line for line in mirror.lock_file.read_text(encoding="utf-8").splitlines() if line.startswith("uv=="))
    return [line, uv_line]
