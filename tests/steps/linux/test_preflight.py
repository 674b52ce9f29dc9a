"""What preflight refuses and warns of, and what it reads of the system."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.linux import parts
from tests.linux.fixtures import run, sandbox
from tests.linux.sandbox import Sandbox
from tests.ports import free_port
from tests.steps.linux.small_steps import SECRETS, STEPS, host

__all__ = ["host", "sandbox"]
NOTEBOOK = parts.SETTINGS["notebook"]
MOUNT = "mount -t tmpfs"
READ_ONLY = "/srv/my people/n cannot be used: the file system at /srv/my people is read-only"


@pytest.mark.parametrize(
    ("change", "settings", "words"),
    [
        ("", {"architecture": "arm64"}, 'but nbserver expected arm64. Set architecture = "x64" in the inventory'),
        ("rmdir /run/systemd/system", {}, "this host does not run systemd"),
        (
            "rm /etc/os-release; printf 'ID=gentoo\\nPRETTY_NAME=\"Gentoo Linux\"\\n' >/etc/os-release",
            {},
            "this host runs Gentoo Linux, but only Debian",
        ),
        ("rm /etc/os-release /usr/lib/os-release", {}, "this host runs an unknown system, but only Debian"),
        ("rm /usr/bin/flock", {}, "the program flock is not installed"),
        ("", {"notebook": {**NOTEBOOK, "ip": "192.0.2.99"}}, "notebook.ip is 192.0.2.99, but this host does not have this address"),
        ("", {"notebook": {**NOTEBOOK, "ip": "2001:db8::99"}}, "notebook.ip is 2001:db8::99, but this host does not have this address"),
        (f"mkdir -p /opt && {MOUNT} -o noexec tmpfs /opt", {}, "programs cannot run from /opt/nbserver: the file system at /opt is"),
        (
            f"mkdir '/srv/my people' && {MOUNT} -o ro tmpfs '/srv/my people'",
            {"notebook": {**NOTEBOOK, "directory": "/srv/my people/n"}},
            READ_ONLY,
        ),
        ("mkdir -p /etc/nbserver/key.pem", {}, "/etc/nbserver/key.pem is a folder, but"),
        (
            f"mkdir -p /opt && {MOUNT} -o nr_inodes=9001 tmpfs /opt",
            {},
            "the file system that contains /opt has 9000 free inodes, but 30,000",
        ),
        (
            "",
            {"packages": {**parts.SETTINGS["packages"], "index_url": "https://index.invalid/simple/"}},
            "this host cannot resolve the name index.invalid. Check the name servers",
        ),
        ("mount --bind /usr /usr && mount -o remount,bind,ro /usr", {}, "is a transactional or read-only system"),
    ],
)
def test_preflight_refuses(host: Sandbox, change: str, settings: dict[str, object], words: str) -> None:
    host.run("bash", "-c", change)
    done = run(host, "test", STEPS, **settings)
    assert done.outcome == "failed" and words in done.of("failed")[0]["text"]


@pytest.mark.parametrize(
    ("text", "manager"),
    [
        ('ID=ubuntu\nID_LIKE=debian\nPRETTY_NAME="Ubuntu 24.04"\n', "apt"),
        ('NAME="Debian GNU/Linux"\nID=debian', "apt"),
        ('ID="opensuse-leap"\nID_LIKE="suse opensuse"\n', "zypper"),
        ('ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\n', "zypper"),
        ("ID='sles'\nID_LIKE='suse'\n", "zypper"),
        ('ID="sles"\nVERSION_ID="16.0"\n', "zypper"),
        ('ID=debian\r\nVERSION_ID="12"\r\n', "apt"),
        ('ID="opensuse-leap"\r\nID_LIKE="suse opensuse"', "zypper"),
        ("ID=fedora\nBAD LINE\n$(touch /tmp/x)\n", ""),
    ],
)
def test_the_system_is_read_as_data(sandbox: Sandbox, text: str, manager: str) -> None:
    sandbox.run("rm", "/etc/os-release")
    sandbox.write("/etc/os-release", text)
    sandbox.write("/tmp/ask.sh", parts.settings_block(parts.SETTINGS) + parts.prelude() + '\nread_system\nprintf %s "$PACKAGE_MANAGER"\n')
    assert sandbox.run("bash", "/tmp/ask.sh").stdout.decode() == manager
    assert not sandbox.exists("/tmp/x")


def test_a_system_without_the_files_that_every_system_has(host: Sandbox) -> None:
    """/etc/os-release is usually a link to the file that is read here; nothing has been installed in /opt."""
    host.run("bash", "-c", "rm /etc/os-release; rm -rf /opt; printf 'ID=debian\\n' >/usr/lib/os-release")
    done = run(host, "test", STEPS)
    assert done.outcome == "ok" and not done.of("failed"), done.of("failed")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_who_listens_on_a_port(address: str) -> None:
    ask = parts.step("preflight") + '\nif is_listening "$1"; then echo yes; else echo no; fi'
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as server:
        try:
            server.bind((address, free_port()))
        except OSError:
            pytest.skip(f"this machine has no {address}")
        port = str(server.getsockname()[1])
        assert parts.run(ask, port).stdout == b"no\n"
        server.listen()
        assert parts.run(ask, port).stdout == b"yes\n"


def test_preflight_names_configuration_of_others(host: Sandbox) -> None:
    """In user scope that of pip and uv is used, to install packages."""
    paths = ["/etc/jupyter/jupyter_server_config.d/x.json", "/usr/share/jupyter/kernels/ir", "/etc/pip.conf", "/etc/uv/uv.toml"]
    for path in paths:
        host.run("mkdir", "-p", str(Path(path).parent))
        host.write(path, "")
    (warning,) = run(host, "apply", STEPS, secrets=SECRETS).of("warning")
    words, _, named = warning["text"].partition(": ")
    assert words == "nbserver ignores configuration that it did not install" and set(paths) <= set(named.split(", "))


def test_preflight_asks_for_room_for_a_new_environment(host: Sandbox) -> None:
    """Also where an environment for another lock is there already, on a disk of its own."""
    host.run(
        "bash", "-c", "mkdir -p /opt/nbserver && mount -t tmpfs -o size=100m tmpfs /opt/nbserver && mkdir /opt/nbserver/env-{0,1}0000000"
    )
    host.write("/opt/nbserver/env-10000000/nbserver.lock", "x")
    (failed,) = run(host, "test", STEPS).of("failed")
    assert "the disk that contains /opt/nbserver has " in failed["text"] and "MB of free space, but 2000 MB is required" in failed["text"]
    host.write("/opt/nbserver/env-00000000/nbserver.lock", "x")
    assert run(host, "test", STEPS).outcome == "ok", "what is made already needs no room"


def test_preflight_asks_for_room_for_the_distributions_packages_once(host: Sandbox) -> None:
    packages = {**parts.SETTINGS["packages"], "source": "distribution"}
    host.run(
        "bash",
        "-c",
        "rm -f /usr/bin/jupyter-notebook; mkdir /tmp/disk && mount -t tmpfs -o size=100m tmpfs /tmp/disk && mkdir /tmp/disk/{up,work}",
    )
    host.run("mount", "-t", "overlay", "-o", "lowerdir=/usr,upperdir=/tmp/disk/up,workdir=/tmp/disk/work", "overlay", "/usr")
    (failed,) = run(host, "test", STEPS, packages=packages).of("failed")
    assert "the disk that contains /usr has " in failed["text"] and "but 2000 MB is required" in failed["text"]
    host.write("/usr/bin/jupyter-notebook", "x")
    assert run(host, "test", STEPS, packages=packages).outcome == "ok"


@pytest.mark.parametrize(
    ("sources", "warned"),
    [
        ("deb http://packages.invalid/debian stable main\\ndeb [arch=amd64] https://user:x@more.invalid:8443/x y z", "more.invalid"),
        ("deb http://packages.invalid/debian stable main\\ndeb http://127.0.0.1/debian stable main", ""),
        ("# deb http://packages.invalid/debian stable main\\ndeb file:/srv/mirror stable main", ""),
    ],
)
def test_a_host_without_name_resolution_is_told_at_once(host: Sandbox, sources: str, warned: str) -> None:
    """A warning, because pip may be configured to use an address."""
    host.run("bash", "-c", f"rm -rf /etc/apt/sources.list.d /etc/zypp/repos.d; printf '{sources}\\n' >/etc/apt/sources.list")
    done = run(host, "test", STEPS, packages={**parts.SETTINGS["packages"], "index_url": None})
    found = [event["values"]["name"] for event in done.of("warning") if event["code"] == "names-not-resolved"]
    assert done.outcome != "failed" and found == ([warned] if warned else [])
