"""A Windows host as a new user sets it up, by the commands of the page: init, check, plan, apply, plan again, report."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nbserver.base import folding
from tests.boxes.mirror import Mirror
from tests.boxes.windows import WindowsBox
from tests.faults.small_packages import use_lock, write_index
from tests.ports import free_port
from tests.served import served
from tests.site import Site
from tests.stories.newcomer import Newcomer

PASSWORD = "Canary-Windows-Tr0ub4dor"


@pytest.mark.second_tier("installs a Windows host")
def test_a_new_user_sets_up_a_windows_host(windows_host: WindowsBox, mirror: Mirror, tmp_path: Path) -> None:
    mirror.behave()
    lines = write_index(tmp_path / "index", mirror)
    service = windows_host.endpoint(auth=["negotiate"], https=True, port=5986, password=PASSWORD)
    with served(tmp_path / "index") as url, service as endpoint:
        assert endpoint.certificate
        site = Site(tmp_path, endpoint, mirror, port=free_port(), windows_password=PASSWORD, notebook_password="")
        use_lock(tmp_path, mirror, lines)
        person = Newcomer(site)
        (tmp_path / "nbserver.toml").unlink()
        hosts = ("--windows", "win1=127.0.0.1", "--user", endpoint.user, "--pin", f"win1={endpoint.certificate.fingerprint}")
        code, said = person.types("init", *hosts, "--enable-remoting", "enable-remoting.ps1")
        assert code == 0 and (tmp_path / "enable-remoting.ps1").exists()
        assert "  nbserver check win1  # checks the connection and the host; changes nothing\r\n" in said, (
            "a command and its comment fit in a line"
        )
        with (tmp_path / "nbserver.toml").open("a") as inventory:  # of the table [hosts.win1], which is the last
            inventory.write(f'catalog = "site-catalog.toml"\npackages.index_url = "{url}"\nnotebook.port = {site.port}\n')
        secrets = {"notebook.password": "correct horse battery", "same password": "correct horse battery", "password for": PASSWORD}
        for command, expected in (("check", 0), ("plan", 4), ("apply", 0), ("plan", 0), ("status", 0)):
            code, said = person.types(command, "win1", answers=secrets)
            assert code == expected, said
        (run,) = (path.name for path in site.runs() if '"apply"' in (path / "run.json").read_text())
        code, said = person.types("report", run, "-o", "report.html")
        assert code == 0 and (tmp_path / "report.html").exists(), said
        assert person.types("undo", "win1", answers=secrets)[0] == 0
        for command, shown in person.seen:
            assert "Traceback" not in shown and PASSWORD not in shown and "correct horse" not in shown, command
            assert [line for line in re.split("[\r\n]+", shown) if folding.width(line) > 80 and " " in line.strip()] == [], command
