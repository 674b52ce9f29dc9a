"""A Debian host that reaches nothing but a mirror, or nothing at all: `nbserver download`, `nbserver mirror`, and what apply installs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import tier
from tests.boxes.linux.host import LinuxBox
from tests.boxes.linux.lab import GATEWAY, LinuxLab
from tests.boxes.mirror import Mirror
from tests.checkout import PYTHON_PATH
from tests.faults.small_packages import write_index
from tests.linux.small_lock import SmallSite
from tests.served import served
from tests.site import LinuxSite, steps

Fresh = Callable[[], LinuxBox]


@contextmanager
def mirrored(bundle: Path, lab: LinuxLab) -> Iterator[dict[str, Any]]:
    """What `nbserver mirror` says, which runs inside the lab's network."""
    line = lab.command(sys.executable, "-m", "nbserver", "mirror", str(bundle), "--bind", GATEWAY, "--port", "0", "--json")
    with subprocess.Popen(line, env={**os.environ, "PYTHONPATH": PYTHON_PATH}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0


def trust(host: LinuxBox, authority: str) -> None:
    (host.root / "usr/local/share/ca-certificates/mirror.crt").write_bytes(Path(authority).read_bytes())
    host.ssh("update-ca-certificates")


def install(site: LinuxSite, bundle: Path, lab: LinuxLab) -> list[str]:
    """Download, serve, and apply with uv. Returns the steps that changed something."""
    done = site.run("download", "lin1", "-o", str(bundle))
    assert done.returncode == 0, done.stdout + done.stderr
    del site.settings["packages.index_url"], site.settings["downloads.proxy"]
    with mirrored(bundle, lab) as said:
        trust(site.host, said["authority"])
        site.settings |= {"downloads.source": "mirror", "downloads.mirror": said["url"]}
        site.write()
        for command in ("check", "apply"):
            done = site.run(command, "lin1", "--json")
            assert done.returncode == 0, done.stdout + done.stderr
        found = steps(site.events(site.runs()[-1]), "changed")
    return found


def install_by_push(site: LinuxSite, bundle: Path) -> list[str]:
    """Apply with what the workstation sends. Returns the steps that changed something."""
    site.settings.pop("packages.index_url", None)
    site.settings.pop("downloads.mirror", None)
    site.settings |= {"downloads.source": "push", "downloads.bundle": str(bundle)}
    site.write()
    before = pending(site)
    assert before["files"] and before["bytes"]
    done = site.run("apply", "lin1", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = steps(site.events(site.runs()[-1]), "changed")
    assert pending(site) == {"event": "delivery", "host": "lin1", "files": 0, "bytes": 0}
    return found


def repaired_by_push(site: LinuxSite) -> str:
    """What becomes of a damaged module that a plan cannot see, on a host that has none of its files any more."""
    (module,) = site.host.root.glob("opt/nbserver/env-*/lib/python3.*/site-packages/jupyter_core/paths.py")
    at, text = module.stat(), module.read_bytes()
    module.write_bytes(text.swapcase())
    os.utime(module, ns=(at.st_atime_ns, at.st_mtime_ns))
    shutil.rmtree(site.host.root / "var/lib/nbserver/state/downloads")
    assert pending(site)["files"] == 0, "nothing differs"
    done = site.run("apply", "lin1", "--repair", "--thorough", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "packages" in steps(site.events(site.runs()[-1]), "changed")
    return "intact" if module.read_bytes() == text else "damaged"


def pending(site: LinuxSite) -> dict[str, Any]:
    """What `plan` says an apply would send."""
    done = site.run("plan", "lin1", "--json")
    assert done.returncode in (0, 4), done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-2])
    return found


@pytest.fixture(scope="module")
def host(debian_host: Fresh) -> Iterator[LinuxBox]:
    with debian_host() as fresh:
        yield fresh


def test_small_wheels_come_from_a_mirror(host: LinuxBox, linux_lab: LinuxLab, linux_mirror: Mirror, tmp_path: Path) -> None:
    lines = write_index(tmp_path / "index", linux_mirror)
    with served(tmp_path / "index") as index:
        site = SmallSite(tmp_path, host, linux_mirror, notebook_password="correct horse")
        (tmp_path / "small.lock.txt").write_text("\n".join(lines))
        site.settings["packages.index_url"] = index
        site.write()
        changed = install(site, tmp_path / "bundle", linux_lab)
        assert "packages" in changed
    assert site.run("undo", "lin1").returncode == 0
    assert "packages" in install_by_push(site, tmp_path / "bundle")
    if tier.FULL:
        assert repaired_by_push(site) == "intact"
    assert site.run("undo", "lin1").returncode == 0
    assert not (host.root / "var/lib/nbserver/state/downloads").exists()


@pytest.mark.second_tier("installs all wheels of the shipped lock")
def test_a_plot_is_drawn_with_all_wheels_from_a_mirror(host: LinuxBox, linux_lab: LinuxLab, linux_mirror: Mirror, tmp_path: Path) -> None:
    site = LinuxSite(tmp_path, host, linux_mirror, notebook_password="correct horse")
    site.settings["python.version"] = "3.11.2"  # that of the host, whose wheels the index has
    site.write()
    assert "packages" in install(site, tmp_path / "bundle", linux_lab)
    done = site.run("verify", "lin1", "--png", str(tmp_path / "pictures"), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "pictures").glob("*.png"))
    assert site.run("undo", "lin1").returncode == 0
    assert "packages" in install_by_push(site, tmp_path / "bundle")
    done = site.run("verify", "lin1", "--png", str(tmp_path / "pushed"), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert list((tmp_path / "pushed").glob("*.png"))
    assert site.run("undo", "lin1").returncode == 0
