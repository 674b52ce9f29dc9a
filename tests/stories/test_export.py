"""An exported play on a Debian host: Ansible runs it over SSH."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nbserver.run.notebook_password import hash_password
from tests.boxes.linux.host import LinuxBox
from tests.boxes.mirror import Mirror
from tests.faults.small_packages import write_index
from tests.linux.small_lock import SmallSite
from tests.served import served

HASH = hash_password("correct horse battery", bytes(16))
PLAY = "ansible-playbook -i /root/own.ini -i /root/exported/hosts.json /root/exported/nbserver-linux.yml"


def exported(site: SmallSite, *arguments: str) -> Path:
    """The folder that the command has written."""
    done = site.run("export", *arguments, "-o", "exported", "--json")
    assert done.returncode == 0, done.stderr
    return site.folder / "exported"


def recap(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """What Ansible counted for the host."""
    line = next((line for line in reversed(done.stdout.splitlines()) if line.startswith("lin1 ")), "")
    assert line, done.stdout + done.stderr
    return {word.partition("=")[0]: int(word.partition("=")[2]) for word in line.split() if "=" in word}


def play(host: LinuxBox, *options: str, succeeds: bool = True) -> dict[str, int]:
    done = host.ssh(" ".join([PLAY, *options]), check=False)
    assert HASH not in done.stdout + done.stderr
    found = recap(done)
    assert (done.returncode == 0) == (found["failed"] == 0) == succeeds, done.stdout
    return found


@contextmanager
def site_with(package: str, debian_host: Callable[[], LinuxBox], mirror: Mirror, folder: Path) -> Iterator[SmallSite]:
    """A site whose host has a package of Debian, and gets two small wheels."""
    index = folder / "index"
    index.mkdir()
    (folder / "small.lock.txt").write_text("\n".join(write_index(index, mirror)) + "\n", encoding="utf-8")
    with debian_host() as host, served(index) as url:
        site = SmallSite(folder, host, mirror, notebook_password="")
        site.settings["packages.index_url"] = url
        site.write()
        host.ssh(f"apt-get -qq update && apt-get -qq install -y --no-install-recommends {package}", timeout=1200)
        yield site


@pytest.mark.second_tier("installs Ansible on a Debian host")
def test_ansible_sets_up_a_host(debian_host: Callable[[], LinuxBox], linux_mirror: Mirror, tmp_path: Path) -> None:
    with site_with("ansible-core", debian_host, linux_mirror, tmp_path) as site:
        _ansible(site.host, site)


def _ansible(host: LinuxBox, site: SmallSite) -> None:
    shutil.copytree(exported(site, "ansible", "lin1"), host.root / "root/exported")
    shutil.copy(host.key, host.root / "root/key")
    (host.root / "root/own.ini").write_text(
        "lin1 ansible_host=127.0.0.1 ansible_user=admin ansible_ssh_private_key_file=/root/key "
        f"ansible_ssh_common_args='-o StrictHostKeyChecking=no'\n[all:vars]\nnbserver_password_hash='{HASH}'\n",
        encoding="utf-8",
    )
    assert play(host, "--check")["changed"] == 1, "the run would change something"
    assert host.ssh("ls /etc/nbserver", check=False).returncode != 0, "and nothing was changed"
    assert play(host)["changed"] == 1
    assert HASH in (host.root / "etc/nbserver/jupyter_config.json").read_text("utf-8")
    assert play(host)["changed"] == 0, "a second run finds nothing to do"
    assert play(host, "-e", "nbserver_mode=undo")["changed"] == 1
    script = host.root / "root/exported/files/lin1.sh"
    script.write_bytes(script.read_bytes() + b"\n")
    assert play(host, succeeds=False)["changed"] == 0, "another script than that of the export does not run"
    assert host.ssh("systemctl is-active nbserver", check=False).returncode != 0
    assert host.ssh("ls -d /tmp/nbserver-* /root/.ansible/tmp/* /home/admin/.ansible/tmp/*", check=False).stdout == "", "nothing is left"
