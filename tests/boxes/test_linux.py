"""The Linux hosts themselves: what the tests that use them rely on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.boxes.artifacts import cache_folder
from tests.boxes.linux import base, control_groups, folders
from tests.boxes.linux.base import PASSWORD, Recipe
from tests.boxes.linux.carry import NAMESPACES
from tests.boxes.linux.host import LinuxBox
from tests.boxes.linux.lab import LinuxLab, lacks
from tests.boxes.linux.snapshot import differences
from tests.checkout import CHECKOUT

Fresh = Callable[[], LinuxBox]
QUIET = "DEBIAN_FRONTEND=noninteractive apt-get -qq"
ZYPPER = "zypper --non-interactive"
ROOT = CHECKOUT


@pytest.fixture(scope="module")
def debian(debian_host: Fresh) -> Iterator[LinuxBox]:
    """One host for the tests that leave it as it was."""
    with debian_host() as host:
        yield host


def banner(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), 10) as line:
        return line.recv(4)


def test_root_and_every_user_get_in(debian: LinuxBox) -> None:
    assert debian.ssh("id -un").stdout == "root\n"
    assert debian.ssh("sudo -n id -un", user="admin").stdout == "root\n"
    assert debian.ssh("sudo -n id -un", user="sudoer", check=False).returncode == 1
    assert debian.ssh("sudo -S -p '' id -un", user="sudoer", text=f"{PASSWORD}\n").stdout == "root\n"
    assert debian.ssh("sudo -S -p '' id -un", user="visitor", text=f"{PASSWORD}\n", check=False).returncode == 1


def test_a_user_gets_in_with_the_password(debian: LinuxBox, tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    answer.write_text('#!/bin/sh\nprintf "%s\\n" "$ANSWER"\n')
    answer.chmod(0o700)
    options = ["-F", "none", "-o", "PubkeyAuthentication=no", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]
    command = ["ssh", *options, "-p", str(debian.ssh_port), "visitor@127.0.0.1", "id -un"]
    environment = {**os.environ, "SSH_ASKPASS": str(answer), "SSH_ASKPASS_REQUIRE": "force", "ANSWER": PASSWORD}
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
    assert done.stdout == "visitor\n", done.stderr


def test_its_port_outside_leads_to_its_own_host_key(debian: LinuxBox, tmp_path: Path) -> None:
    scan = ["ssh-keyscan", "-t", "ed25519", "-p", str(debian.ssh_port), "127.0.0.1"]
    line = subprocess.run(scan, capture_output=True, text=True, check=True).stdout
    assert line.split()[1:3] == debian.host_key.split()
    (tmp_path / "key").write_text(debian.host_key)
    printed = subprocess.run(["ssh-keygen", "-l", "-f", tmp_path / "key"], capture_output=True, text=True, check=True).stdout
    assert printed.split()[1] == debian.fingerprint


def test_a_line_can_be_cut_and_the_next_one_is_carried(debian: LinuxBox) -> None:
    forward = debian.forward(22)
    with socket.create_connection(("127.0.0.1", forward.port), 10) as line:
        assert line.recv(4) == b"SSH-"
        carried = forward.carried
        forward.cut()
        with pytest.raises(ConnectionResetError):
            while line.recv(1000):
                pass
    assert banner(forward.port) == b"SSH-"
    assert forward.carried == carried + 1


def test_only_the_proxy_leads_out(debian: LinuxBox) -> None:
    reach = "timeout 5 bash -c 'exec 3<>/dev/tcp/{}'"
    assert debian.ssh(reach.format("198.51.100.1/8888"), check=False).returncode == 0
    refused = debian.ssh(reach.format("192.0.2.1/80"), check=False)
    assert "Network is unreachable" in refused.stderr
    debian.ssh("cd $(mktemp -d) && python3 -m venv v && v/bin/pip -q download --no-deps iniconfig && ls iniconfig-*.whl && rm -r $PWD")


def test_a_snapshot_sees_what_changed_and_nothing_else(debian_host: Fresh) -> None:
    with debian_host() as host:
        before = host.snapshot()
        assert differences(before, host.snapshot()) == []
        host.ssh(
            "useradd --system stranger; mkdir -p /opt/x/y; echo 1 >/opt/x/y/z; chmod 600 /etc/hosts; nft add table inet strange;"
            "printf '[Service]\\nExecStart=sleep 1000\\n[Install]\\nWantedBy=multi-user.target\\n' >/etc/systemd/system/strange.service;"
            "systemctl enable -q --now strange"
        )
        found = {line.rpartition(": ")[0] for line in differences(before, host.snapshot())}
    assert found == {
        "active_units: strange.service",
        "files: etc/group",
        "files: etc/gshadow",
        "files: etc/passwd",
        "files: etc/shadow",
        "files: etc/hosts",
        "files: opt/x",
        "files: etc/systemd/system/multi-user.target.wants/strange.service",
        "files: etc/systemd/system/strange.service",
        "groups: stranger",
        "nft: 1",
        "nft: 2",
        "unit_files: strange.service",
        "users: stranger",
    }


def test_apt_installs_through_the_proxy_and_the_next_host_has_the_file(debian_host: Fresh) -> None:
    with debian_host() as host:
        host.ssh(f"{QUIET} update")
        before = host.snapshot()
        host.ssh(f"{QUIET} install --no-install-recommends tree")
        assert [line.partition(" ->")[0] for line in differences(before, host.snapshot())] == [
            "apt_manual: tree: absent",
            "dpkg: tree: absent",
        ]
        host.ssh(f"{QUIET} purge tree")
        assert differences(before, host.snapshot()) == []
    with debian_host() as host:
        assert "tree_" in host.ssh("ls /var/cache/apt/archives").stdout
        assert host.ssh("command -v tree", check=False).returncode == 1


def test_a_host_reboots_and_comes_back_by_itself(debian_host: Fresh) -> None:
    with debian_host() as host:
        host.ssh("echo kept >/root/kept; echo gone >/run/gone")
        before = host.snapshot()
        host.reboot()
        assert host.boots == 2
        assert differences(before, host.snapshot()) == ["names: run/gone:  -> absent"]
        host.stop()
        assert not host.is_running
        assert not control_groups.processes(host.machine)
        host.boot()
        assert host.ssh("cat /root/kept").stdout == "kept\n"
        host.cut_power()
        host.boot()
        assert banner(host.ssh_port) == b"SSH-"


def test_two_clones_do_not_meet(debian_host: Fresh) -> None:
    with debian_host() as one, debian_host() as other:
        assert one.host_key != other.host_key
        assert one.ssh("cat /etc/machine-id").stdout != other.ssh("cat /etc/machine-id").stdout
        one.ssh("touch /etc/mine; systemctl stop systemd-logind")
        assert other.ssh("test -e /etc/mine; echo $?; systemctl is-active systemd-logind").stdout == "1\nactive\n"
        assert one.ssh(f"bash -c 'exec 3<>/dev/tcp/{other.address}/22; head -c4 <&3'").stdout == "SSH-"


CRASH = """
import os, sys
from pathlib import Path
from tests.boxes.linux.base import DEBIAN, build
from tests.boxes.linux.lab import LinuxLab
cache = Path(sys.argv[1])
lab = LinuxLab(cache)
host = lab.clone(build(cache, DEBIAN)).booted()
print(lab.name, host.machine, flush=True)
sys.stdin.read()
"""


def test_what_a_killed_run_left_is_removed_and_a_living_one_is_not(debian: LinuxBox) -> None:
    crashed = subprocess.Popen(
        [sys.executable, "-c", CRASH, str(cache_folder())], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert crashed.stdout and crashed.stdin
    lab, machine = crashed.stdout.readline().split()
    folder = debian.lab.folder.with_name(lab)

    with LinuxLab(cache_folder()):
        assert folders.mounts_below(folder), "the other run lives: nothing of it is removed"
        assert control_groups.processes(machine)
    crashed.send_signal(signal.SIGKILL)
    crashed.wait()
    with LinuxLab(cache_folder()) as next_one:
        assert not folder.exists()
        assert not folders.mounts_below(folder)
        assert not [path for name in (lab, machine) for path in control_groups.folders(name) if path.exists()]
        assert {path.name for path in NAMESPACES.iterdir()}.isdisjoint({lab, machine})
        name = next_one.name
    assert not (NAMESPACES / name).exists()
    assert debian.ssh("echo here").stdout == "here\n"
    crashed.stdin.close()
    crashed.stdout.close()


def test_a_base_that_was_not_finished_is_never_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if words := lacks():
        pytest.skip(words)
    recipe = Recipe("unfinished")

    def cut_off(folder: Path, _: Recipe) -> None:
        (folder / "root").mkdir()
        raise KeyboardInterrupt

    monkeypatch.setattr(base, "_make", cut_off)
    with pytest.raises(KeyboardInterrupt):
        base.build(tmp_path, recipe)
    monkeypatch.setattr(base, "_make", lambda folder, _: (folder / "root" / "etc").mkdir(parents=True))
    assert (base.build(tmp_path, recipe).root / "etc").is_dir()
    left = {path.name for path in (tmp_path / "linux" / "bases").iterdir()}
    assert left == {f"unfinished-{recipe.digest()}", "unfinished.lock"}


def test_the_suse_host_shows_itself_as_leap(suse_host: Fresh) -> None:
    with suse_host() as host:
        assert 'ID="opensuse-leap"\n' in host.ssh("cat /etc/os-release").stdout
        hidden = "apt apt-get dpkg dpkg-query adduser python3 python3.11 openssl"
        assert host.ssh(f"command -v {hidden}", check=False).stdout == ""
        before = host.snapshot()
        host.ssh(f"{ZYPPER} refresh && {ZYPPER} install --no-recommends --name python311")
        assert host.ssh("rpm -q --qf '%{NAME} ' python311 openssl").stdout == "python311 openssl "
        host.ssh("python3.11 -m venv /opt/v && /opt/v/bin/pip -q install iniconfig && /opt/v/bin/python -c 'import iniconfig, ssl'")
        assert host.ssh("/opt/v/bin/python -c 'import sys; print(sys.base_prefix)'").stdout == "/usr\n"
        host.ssh("openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout /dev/null -out /dev/null")
        host.reboot()
        host.ssh(f"rm -r /opt/v && {ZYPPER} remove python311 openssl")
        assert differences(before, host.snapshot()) == []


def add(repository: str) -> str:
    return f"{ZYPPER} addrepo --refresh dir:/srv/repositories/{repository} {repository}"


INSTALL = f"{ZYPPER} install --no-recommends"
EXIT_CODES = {
    "done, and done again": ((f"{INSTALL} --name tree", 0), (f"{INSTALL} --name tree", 0), (f"{ZYPPER} remove tree", 0)),
    "no such package": ((f"{INSTALL} --name no-such-package", 104),),
    "something it needs is missing": ((f"{INSTALL} --name needs-missing", 4),),
    "%post fails": ((add("post-fails"), 0), (f"{INSTALL} --name python311", 107), ("rpm -q python311", 0), ("python3.11 -V", 0)),
    "a patch asks for a reboot": ((f"{INSTALL} --name tree", 0), (add("patches"), 0), (f"{INSTALL} -t patch stand-in-reboot", 102)),
    "a patch asks for zypper to be run again": (
        (f"{INSTALL} --name python311-pip", 0),
        (add("patches"), 0),
        (f"{INSTALL} -t patch stand-in-restart", 103),
    ),
    "a package asks for a reboot": (
        (add("reboot-needed"), 0),
        (f"{ZYPPER} needs-rebooting", 0),
        (f"{INSTALL} --name python311", 0),
        (f"{ZYPPER} needs-rebooting", 102),
    ),
    "a repository is skipped": ((add("not-there"), 0), (f"{INSTALL} --name tree", 106), ("rpm -q tree", 0)),
    "another holds the lock": (
        (
            "(zypper --non-interactive shell < <(until [[ -e /run/go ]]; do sleep 0.1; done)) >/dev/null 2>&1 &"
            "until [[ -s /run/zypp.pid ]]; do sleep 0.1; done",
            0,
        ),
        (f"{INSTALL} --name tree", 7),
        (f"(sleep 2; touch /run/go) >/dev/null 2>&1 & ZYPP_LOCK_TIMEOUT=300 {INSTALL} --name tree", 0),
    ),
    "a key nobody has imported": (("rpm -e --allmatches gpg-pubkey", 0), (f"{add('slow')}; {ZYPPER} refresh slow", 4)),
}


@pytest.mark.parametrize("case", EXIT_CODES)
def test_zypper_ends_with_its_own_exit_codes(suse_host: Fresh, case: str) -> None:
    with suse_host() as host:
        for command, code in EXIT_CODES[case]:
            done = host.ssh(command, check=False)
            assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
