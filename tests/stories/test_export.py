"""Exported files on a Debian host: Ansible runs the play over SSH, and cloud-init the user data at the first start."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nbserver.run.notebook_password import hash_password
from nbserver.verify.picture import check
from tests import authority
from tests.azure_deployment import AZURE, Agent, Deployment
from tests.boxes.linux.azure_identity import IDENTITY
from tests.boxes.linux.host import LinuxBox
from tests.boxes.linux.lab import ip
from tests.boxes.mirror import Mirror
from tests.checkout import CHECKOUT
from tests.faults.small_packages import write_index
from tests.linux.small_lock import SmallSite
from tests.served import served
from tests.site import LinuxSite
from tests.waiting import wait_until

HASH = hash_password("correct horse battery", bytes(16))
PLAY = "ansible-playbook -i /root/own.ini -i /root/exported/hosts.json /root/exported/nbserver-linux.yml"


def exported(site: SmallSite, *arguments: str) -> Path:
    """The folder that the command has written."""
    done = site.run("export", *arguments, "-o", "exported", "--json")
    assert done.returncode == 0, done.stderr
    return site.folder / "exported"


def recap(done: subprocess.CompletedProcess[str], host: str = "lin1") -> dict[str, int]:
    """What Ansible counted for the host."""
    line = next((line for line in reversed(done.stdout.splitlines()) if line.startswith(f"{host} ")), "")
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


# -- cloud-init

SAMPLE = "/usr/local/sbin/notebook-hash"
VAULT, VAULT_ADDRESS = "site-vault.vault.azure.net", "127.0.0.2"
# What an image for this box has, and a cloud does not need: nothing here is about the script.
IMAGE = """\
datasource_list: [NoCloud]
network: {config: disabled}
apt: {preserve_sources_list: true}
locale: C.UTF-8
ssh_deletekeys: false
disable_root: false
"""


def test_cloud_init_sets_up_a_host(debian_host: Callable[[], LinuxBox], linux_mirror: Mirror, tmp_path: Path) -> None:
    """With the sample of the page: the hash comes from a key vault, by the identity of the machine."""
    packages = "cloud-init curl ca-certificates"
    with site_with(packages, debian_host, linux_mirror, tmp_path) as site, azure_identity(site.host, tmp_path) as asked:
        host = site.host
        folder = exported(site, "cloud-init", "lin1", "--hash-command", SAMPLE, "--limit-bytes", "200000")
        sample = host.root / SAMPLE[1:]
        sample.write_text(sample_of_the_page(), "utf-8")
        sample.chmod(0o755)
        seed = host.root / "var/lib/cloud/seed/nocloud"
        seed.mkdir(parents=True)
        (seed / "meta-data").write_text("instance-id: first\nlocal-hostname: lin1\n")
        shutil.copy(folder / "lin1.user-data", seed / "user-data")
        (host.root / "etc/cloud/cloud.cfg.d/99-image.cfg").write_text(IMAGE)
        host.reboot()
        status = host.ssh("cloud-init status --wait --long", check=False)
        output = (host.root / "var/log/cloud-init-output.log").read_text("utf-8")
        assert status.returncode == 0 and "status: done" in status.stdout, status.stdout + output[-6000:]
        assert HASH not in output + (host.root / "var/log/cloud-init.log").read_text("utf-8")
        assert HASH in (host.root / "etc/nbserver/jupyter_config.json").read_text("utf-8")
        assert host.ssh("systemctl is-active nbserver").stdout.strip() == "active"
        assert asked.read_text().split("\n")[1:5] == [
            "Identity /metadata/identity/oauth2/token 200",
            "Vault /secrets/notebook-password-hash 403",
            "Vault /secrets/notebook-password-hash 403",
            "Vault /secrets/notebook-password-hash 200",
        ]
        host.reboot()
        assert host.ssh("systemctl is-active nbserver").stdout.strip() == "active"
        assert asked.read_text().count("Vault") == 3, "the script runs at the first start only"


def sample_of_the_page() -> str:
    """The script of docs/export.md, as a person copies it, with shorter pauses."""
    page = (CHECKOUT / "docs/export.md").read_text("utf-8")
    text = "".join(f"{line[4:]}\n" for line in re.findall(r"^    #!/bin/bash\n(?:    .*\n)+", page, re.M)[0].splitlines())
    assert "--retry-delay 30" in text
    return text.replace("--retry-delay 30", "--retry-delay 1")


@contextmanager
def azure_identity(host: LinuxBox, folder: Path) -> Iterator[Path]:
    """The log of the requests to the services, which the host reaches while this lasts."""
    above = authority.root()
    key = authority.ec_key()
    (folder / "vault.pem").write_text(authority.pem(above.sign(key.public_key(), [VAULT])))
    (folder / "vault.key").write_text(authority.key_pem(key))
    (host.root / "usr/local/share/ca-certificates/site.crt").write_text(authority.pem(above.certificate))
    host.ssh(f"update-ca-certificates && echo '{VAULT_ADDRESS} {VAULT}' >> /etc/hosts")
    ip("-n", host.machine, "addr", "add", f"{IDENTITY}/32", "dev", "lo")
    log = folder / "asked.txt"
    command = ["ip", "netns", "exec", host.machine, sys.executable, "-m", "tests.boxes.linux.azure_identity"]
    with log.open("w") as written:
        process = subprocess.Popen(
            [*command, VAULT_ADDRESS, str(folder / "vault.pem"), str(folder / "vault.key"), "notebook-password-hash"],
            cwd=CHECKOUT,
            env=os.environ,
            stdin=subprocess.PIPE,
            stdout=written,
            text=True,
        )
    try:
        assert process.stdin
        with process.stdin as given:
            given.write(HASH)
        assert wait_until(lambda: "ready" in log.read_text())
        yield log
    finally:
        process.kill()
        process.wait()


# -- Azure


@pytest.mark.second_tier("installs the packages of a release on a Debian host")
def test_a_deployment_to_azure_draws_its_plot(debian_host: Callable[[], LinuxBox], linux_mirror: Mirror, tmp_path: Path) -> None:
    """The agent runs the script of the template, and a person reaches the server by the public name."""
    with debian_host() as host:
        site = LinuxSite(tmp_path, host, linux_mirror, notebook_password="Canary-Notebook-\u00e9")
        site.settings |= AZURE
        site.write()

        def run(agent: Agent) -> tuple[int, str]:
            """As run-command-handler-linux does: a file that root can run, and parameters in the environment."""
            file = host.root / "var/lib/waagent/script.sh"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(agent.script)
            file.chmod(0o500)
            variables = " ".join(f"{name}={shlex.quote(value)}" for name, value in agent.parameters.items())
            done = host.ssh(f"env {variables} /bin/bash -c /var/lib/waagent/script.sh < /dev/null", check=False, timeout=1800)
            return done.returncode, done.stdout

        deployed_and_removed(Deployment(site, run), host.forward(site.port).port)
        assert host.ssh("ls /etc/nbserver", check=False).returncode != 0


def deployed_and_removed(deployment: Deployment, port: int) -> None:
    """Deploys, verifies by the public name of the host, whose notebook server is at that port of this machine, and undoes it."""
    last = deployment.create("azure-1")
    assert (last["event"], last["outcome"]) == ("finished", "ok")
    deployment.expect("azure-1", last["fingerprint"])
    with deployment.public(port):
        done = deployment.nbserver("verify", deployment.site.name, "--png", ".")
    assert done.returncode == 0, done.stdout + done.stderr
    assert AZURE["notebook.public_url"] in done.stdout
    (picture,) = deployment.site.folder.glob("*.png")
    assert check(picture.read_bytes())
    assert deployment.create("azure-2", mode="test")["differs"] is False, "a second run finds nothing to do"
    assert deployment.create("azure-3", mode="undo")["outcome"] == "ok"
