"""Exported files on a Windows host: Ansible runs the play over PSRP, and the agent of Azure the script of the template."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.azure_deployment import AZURE, Agent, Deployment
from tests.boxes import windows_powershell
from tests.boxes.artifacts import cache_folder
from tests.boxes.mirror import Mirror
from tests.boxes.windows import WindowsBox
from tests.boxes.windows_ansible import ansible, module_utils, reference_assemblies_on
from tests.boxes.windows_powershell import PROGRAM, powershell_on
from tests.boxes.wine import WINE, environment
from tests.faults.small_packages import use_lock, write_index
from tests.ports import free_port
from tests.served import served
from tests.site import Site
from tests.stories.test_export import HASH, deployed_and_removed, recap

PASSWORD = "Canary-Windows-Tr0ub4dor"
CONFIGURATION = r"C:\ProgramData\nbserver\service\jupyter_server_config.json"


class Plays:
    """The exported play of the site's host, with an inventory of Ansible as a site has one."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder = site, folder
        self.ansible = ansible(cache_folder())
        self.module_utils = module_utils(self.ansible, folder / "module_utils")
        done = site.run("export", "ansible", "win1", "-o", "exported")
        assert done.returncode == 0, done.stderr
        (folder / "group_vars").mkdir()
        (folder / "group_vars/all.yml").write_text(f"ansible_password: {PASSWORD}\nnbserver_password_hash: {HASH}\n")
        (folder / "hosts.ini").write_text(
            f"win1 ansible_connection=psrp ansible_host=127.0.0.1 ansible_port={site.endpoint.port} ansible_user={site.endpoint.user} "
            "ansible_psrp_protocol=http ansible_psrp_auth=negotiate\n"
        )

    def play(self, *options: str, succeeds: bool = True) -> tuple[int, str]:
        """How many tasks have changed something, and all that Ansible says."""
        own = {
            "PYTHONPATH": str(self.ansible),
            "ANSIBLE_MODULE_UTILS": str(self.module_utils),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
        }
        files = ("-i", "hosts.ini", "-i", "exported/hosts.json", "exported/nbserver-windows.yml", "-v")
        done = subprocess.run(
            [sys.executable, "-m", "ansible", "playbook", *files, *options],
            cwd=self.folder,
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            timeout=900,
        )
        said = done.stdout + done.stderr
        assert HASH not in said and PASSWORD not in said
        found = recap(done, "win1")
        assert (done.returncode == 0) == (found["failed"] == 0) == succeeds, said
        return found["changed"], said


@pytest.mark.second_tier("installs a Windows host with Ansible, which it downloads")
def test_ansible_sets_up_a_host(windows_host: WindowsBox, mirror: Mirror, tmp_path: Path) -> None:
    if words := windows_powershell.missing():
        pytest.skip(words)
    mirror.behave()
    lines = write_index(tmp_path / "index", mirror)
    changed = (reference_assemblies_on(windows_host), powershell_on(windows_host))
    with (
        changed[0],
        changed[1],
        served(tmp_path / "index") as url,
        windows_host.endpoint(auth=["negotiate"], password=PASSWORD) as endpoint,
    ):
        site = Site(tmp_path, endpoint, mirror, port=free_port(), windows_password=PASSWORD, notebook_password="")
        use_lock(tmp_path, mirror, lines)
        site.settings["packages.index_url"] = url
        site.write()
        _ansible(windows_host, Plays(site, tmp_path))


def _ansible(host: WindowsBox, plays: Plays) -> None:
    changed, said = plays.play("--check")
    assert changed == 1 and "Exit code 2." in said, "the run would change something"
    assert not host.path(CONFIGURATION).exists(), "and nothing was changed"
    changed, said = plays.play()
    assert changed == 1 and "Exit code 0." in said and '\\"outcome\\":\\"ok\\"' in said
    assert HASH in host.path(CONFIGURATION).read_text("utf-8")
    changed, said = plays.play()
    assert changed == 0 and "Exit code 0." in said, "a second run finds nothing to do"
    changed, said = plays.play("-e", "nbserver_mode=wrong", succeeds=False)
    assert changed == 0
    assert plays.play("-e", "nbserver_mode=undo")[0] == 1
    assert not host.path(CONFIGURATION).exists()
    script = plays.folder / "exported/files/win1.ps1"
    script.write_bytes(script.read_bytes() + b"\n")
    changed, said = plays.play(succeeds=False)
    assert changed == 0 and not host.path(CONFIGURATION).exists(), "another script than that of the export does not run"
    assert not [path for path in host.path(r"C:\users").glob("*/*emp/*") if path.name.startswith(("nbserver-", "ansible"))], (
        "nothing is left"
    )


@pytest.mark.second_tier("installs the packages of a release on a Windows host")
def test_a_deployment_to_azure_draws_its_plot(windows_host: WindowsBox, mirror: Mirror, tmp_path: Path) -> None:
    """The agent runs the script of the template, and a person reaches the server by the public name."""
    if words := windows_powershell.missing():
        pytest.skip(words)
    mirror.behave()
    with powershell_on(windows_host), windows_host.endpoint(auth=["negotiate"], password=PASSWORD) as endpoint:
        site = Site(tmp_path, endpoint, mirror, port=free_port(), windows_password=PASSWORD, notebook_password="Canary-Notebook-\u00e9")
        site.settings |= AZURE
        site.write()

        def run(agent: Agent) -> tuple[int, str]:
            """As Azure's page describes it: a file, and parameters by their names. Where the agent keeps them is not known."""
            file = windows_host.path("C:\\") / "script.ps1"
            file.write_bytes(agent.script)
            parameters = [text for name, value in agent.parameters.items() for text in (f"-{name}", value)]
            out = tmp_path / "output"  # not a pipe: a program of Windows that was started meanwhile keeps it open
            with out.open("wb") as written:
                done = subprocess.run(
                    [WINE, PROGRAM, "-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Bypass", "-File", r"C:\script.ps1", *parameters],
                    env=environment(windows_host.prefix),
                    stdin=subprocess.DEVNULL,
                    stdout=written,
                    stderr=subprocess.DEVNULL,
                    timeout=1800,
                    check=False,
                )
            return done.returncode, out.read_text("ascii")

        deployed_and_removed(Deployment(site, run), site.port)
        assert not windows_host.path(CONFIGURATION).exists()
        assert endpoint.stats["http"] == 0, "nobody logged on to the host"
