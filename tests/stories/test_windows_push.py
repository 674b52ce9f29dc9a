"""A Windows host that gets all its downloads from the workstation, and draws the plot: nothing is asked of any other server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.boxes.mirror import Mirror
from tests.boxes.windows import WindowsBox
from tests.ports import free_port
from tests.site import Site, steps

DOWNLOADS = r"C:\ProgramData\nbserver\downloads"


@pytest.mark.second_tier("installs all wheels of the shipped lock on a Windows host")
def test_a_windows_host_without_any_network(windows_host: WindowsBox, mirror: Mirror, tmp_path: Path) -> None:
    with windows_host.endpoint(auth=["negotiate"], https=True, password="Tr0ub4dor") as endpoint:
        site = Site(tmp_path, endpoint, mirror, port=free_port(), windows_password="Tr0ub4dor", notebook_password="correct horse")
        done = site.run("download", "win1", "-o", "bundle")
        assert done.returncode == 0, done.stdout + done.stderr
        site.settings |= {"downloads.source": "push", "downloads.bundle": "bundle"}
        site.write(packages__index_url=None)
        asked = len(mirror.requests)
        done = site.run("plan", "win1")
        assert done.returncode == 4 and "apply would send" in done.stdout, done.stdout + done.stderr
        assert not windows_host.path(DOWNLOADS).exists()
        done = site.run("apply", "win1", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        assert {"python", "openssl", "packages"} <= {*steps(site.last_events(), "changed")}
        done = site.run("verify", "win1", "--png", ".")
        assert done.returncode == 0, done.stdout + done.stderr
        assert list(tmp_path.glob("*.png"))
        before = modes(site)
        assert before.count("deliver") > 1, "what is sent is divided"
        assert site.run("apply", "win1").returncode == 0
        assert modes(site)[len(before) :] == ["missing", "apply"], "everything is there"
        assert len(mirror.requests) == asked
        assert site.run("undo", "win1").returncode == 0
        assert not windows_host.path(DOWNLOADS).exists()


def modes(site: Site) -> list[str]:
    """The modes of the runs so far."""
    return [json.loads((run / "run.json").read_text("utf-8"))["mode"] for run in site.runs()]
