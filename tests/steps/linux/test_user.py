"""The service's account: one that has more rights than it should is refused before anything is installed."""

from __future__ import annotations

import pytest

from tests.linux import parts
from tests.linux.fixtures import record, run, sandbox
from tests.linux.sandbox import Sandbox

__all__ = ["sandbox"]
NO_ENVIRONMENT = "LOCK_MARK=/opt/nbserver/env-00000000/nbserver.lock"  # of the step packages, which is not among these
INSTALLED = "step packages 'something is installed'\npackages_test() { [[ -e /opt/installed ]] || differs packages packages '' all; }\npackages_apply() { printf '' >/opt/installed; }\n"
STEPS = [NO_ENVIRONMENT, parts.step("preflight"), INSTALLED, parts.step("user")]
MAKE = "useradd --system --user-group --home-dir /var/lib/nbserver/work --no-create-home --shell /usr/sbin/nologin nbserver"


@pytest.fixture
def host(sandbox: Sandbox) -> Sandbox:
    sandbox.run("mkdir", "-p", "/run/systemd/system")
    return sandbox


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (
            f"groupadd docker; {MAKE}; usermod --append --groups docker,sudo nbserver",
            ("is in the group sudo", "gpasswd --delete nbserver sudo"),
        ),
        (MAKE.replace("--system ", ""), ("has the user ID 100", "a system user must have an ID from 1 to 999")),
        (MAKE.replace("--system", "--system --uid 0 --non-unique"), ("has the user ID 0",)),
        (MAKE.replace("--system", "--system --uid 1 --non-unique"), ("the users nbserver and daemon have the same user ID (1)",)),
        (MAKE.replace("/usr/sbin/nologin", "/bin/bash"), ("the user nbserver has the login shell /bin/bash",)),
        (
            MAKE.replace("--home-dir /var/lib/nbserver/work", "--home-dir /root"),
            ("the user nbserver has the home folder /root, expected /var/lib/nbserver/work",),
        ),
        (
            MAKE.replace("--user-group", "--no-user-group --gid games"),
            ("the user nbserver has the primary group games, expected nbserver",),
        ),
        (f"{MAKE}; echo nbserver:x | chpasswd", ("the account nbserver must be locked", "Run passwd --lock nbserver")),
        (f"{MAKE}; sed -i /^nbserver:/d /etc/shadow", ("the account nbserver has no entry in /etc/shadow", "Run pwconv")),
        (f"{MAKE}; useradd anna; usermod --append --groups nbserver anna", ("these users are in the group nbserver", "server: anna.")),
        (f"{MAKE}; useradd --gid nbserver anna", ("the primary group of the user anna is nbserver", "usermod --gid OTHER_GROUP anna")),
        ("groupadd nbserver", ("the group nbserver exists, but the user nbserver does not", "groupdel nbserver")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_account_with_other_rights_is_refused(host: Sandbox, made: str, words: tuple[str, ...]) -> None:
    host.run("bash", "-ec", made)
    before = host.read("/etc/group"), host.read("/etc/shadow")
    for mode in ("test", "apply"):
        done = run(host, mode, STEPS)
        (failed,) = done.of("failed")
        assert done.outcome == "failed" and failed["step"] == "preflight"
        assert all(word in failed["text"] for word in words), failed["text"]
    assert not host.exists("/opt/installed") and (host.read("/etc/group"), host.read("/etc/shadow")) == before


def test_what_it_starts_without_a_login_is_ended(host: Sandbox) -> None:
    """As code in a notebook could do with loginctl enable-linger, before the unit had no access to the bus."""
    host.run("bash", "-ec", f"{MAKE}; mkdir -p /var/lib/systemd/linger; touch /var/lib/systemd/linger/nbserver")
    steps = [*STEPS, "SYSTEMCTL=(bash -c 'echo \"$@\" >>/tmp/asked' systemctl)"]
    assert [event["code"] for event in run(host, "test", steps).of("difference")][-1] == "user-lingers"
    assert run(host, "apply", steps).outcome == "ok" and not host.exists("/var/lib/systemd/linger/nbserver")
    assert host.read("/tmp/asked").decode().startswith("stop -- user@")
    assert "user-lingers" not in str(run(host, "test", steps).events)


def test_an_account_as_it_should_be_is_used_and_stays(host: Sandbox) -> None:
    host.run("bash", "-c", MAKE)
    assert run(host, "apply", STEPS).outcome == "ok"
    assert run(host, "undo", STEPS).outcome == "ok" and host.run("getent", "passwd", "nbserver").returncode == 0


def test_an_account_that_got_further_rights_is_refused_by_the_next_run(host: Sandbox) -> None:
    assert run(host, "apply", STEPS).outcome == "ok" and [line["key"] for line in record(host)] == ["nbserver"]
    assert run(host, "test", STEPS).code == 0
    host.run("bash", "-c", "groupadd docker; usermod --append --groups docker nbserver")
    for mode in ("test", "apply"):
        (failed,) = run(host, mode, STEPS).of("failed")
        assert failed["code"] == "account-in-group" and "gpasswd --delete nbserver docker" in failed["text"]
    assert run(host, "undo", STEPS).outcome == "ok", "undo takes it away all the same"
    assert host.run("getent", "passwd", "nbserver", check=False).returncode == 2


def test_an_account_whose_making_was_cut_off_is_made(host: Sandbox) -> None:
    """The record names it, and its group is there."""
    cut = parts.step("user").replace('add_user "$SERVICE_USER"', 'run_program() { groupadd nbserver; exit 0; }; add_user "$SERVICE_USER"')
    assert run(host, "apply", [*STEPS[:-1], cut]).outcome == "failed"
    assert host.run("getent", "group", "nbserver").returncode == 0
    assert run(host, "apply", STEPS).outcome == "ok"
    assert run(host, "undo", STEPS).outcome == "ok"
    assert host.run("getent", "group", "nbserver", check=False).returncode == 2


DIRECTORY = """#!/bin/bash
if [[ $* == passwd && $(</proc/$PPID/comm) == timeout ]]; then exit 124; fi   # as if it took too long
exec /usr/bin/getent.real "$@"
"""


def test_a_host_that_lists_a_large_directory_is_not_waited_for(host: Sandbox) -> None:
    host.run("bash", "-ec", MAKE)
    host.run("mv", "/usr/bin/getent", "/usr/bin/getent.real")
    host.write("/usr/bin/getent", DIRECTORY)
    host.run("chmod", "755", "/usr/bin/getent")
    done = run(host, "test", STEPS)
    (failed,) = done.of("failed")
    assert (failed["step"], failed["code"]) == ("preflight", "users-not-listed")
    assert "enumerate = false in sssd.conf" in failed["text"]
