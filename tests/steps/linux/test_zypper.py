"""Packages by the real zypper and rpm of the openSUSE-like host's root folder, from its signed repositories, in a sandbox."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boxes.linux.base import LinuxBase
from tests.linux.fixtures import Run, record, run
from tests.linux.parts import run as run_parts
from tests.linux.sandbox import Sandbox

ZYPPER = ("zypper", "--non-interactive")


def step(apply: str, wanted: str = "python311") -> str:
    """A step that wants a package and does this to get it."""
    return f"""
step packages 'the packages are there'
packages_test() {{ read_system; read_packages {wanted}; [[ ${{PACKAGES[{wanted}]}} ]] || differs package {wanted} '' installed; }}
packages_apply() {{ {apply}; }}
"""


PYTHON = step("install_packages python311")


@pytest.fixture
def host(suse_base: LinuxBase, tmp_path: Path) -> Iterator[Sandbox]:
    with Sandbox(tmp_path / "sandbox", suse_base.root) as opened:
        yield opened


def add(host: Sandbox, repository: str) -> None:
    host.run(*ZYPPER, "addrepo", "--refresh", f"dir:/srv/repositories/{repository}", repository)


def installed(host: Sandbox) -> set[str]:
    return set(host.run("rpm", "--query", "--all", "--queryformat", "%{NAME}-%{VERSION}\\n").stdout.decode().split())


def words(done: Run) -> str:
    return "\n".join(f"{event['event']}: {event.get('text', '')}" for event in done.events)


def warnings(done: Run) -> list[str]:
    return [event["text"] for event in done.of("warning")]


def test_undo_removes_what_came_and_nothing_else(host: Sandbox) -> None:
    before = installed(host)
    done = run(host, "apply", [PYTHON])
    assert (done.outcome, done.code, warnings(done)) == ("ok", 0, []), words(done)
    assert installed(host) - before == {"python311-3.11.10", "openssl-3.1.4"}
    assert [(line["key"], line["before"]) for line in record(host)] == [("zypper openssl python311", None)]
    assert {event for _, event in run(host, "apply", [PYTHON]).steps} == {"unchanged"}
    assert run(host, "undo", [PYTHON]).outcome == "ok" and installed(host) == before


def test_a_repository_that_is_gone_is_skipped(host: Sandbox) -> None:
    before = installed(host)
    add(host, "not-there")
    done = run(host, "apply", [PYTHON])
    assert (done.outcome, done.code) == ("ok", 0), words(done)
    assert warnings(done) == [
        "zypper refresh exited with code 4, so nbserver uses the existing package lists. If a package cannot be installed, check the repositories with zypper repos",
        "zypper could not refresh a repository and skipped it. Run zypper refresh to see which repository failed",
    ]
    assert [line["key"] for line in record(host)] == ["zypper openssl python311"]
    assert run(host, "undo", [PYTHON]).outcome == "ok" and installed(host) == before


def test_without_any_repository_it_says_what_is_missing(host: Sandbox) -> None:
    host.run(*ZYPPER, "removerepo", "repo-oss")
    done = run(host, "apply", [PYTHON])
    assert warnings(done) == [
        "zypper refresh exited with code 6, so nbserver uses the existing package lists. If a package cannot be installed, check the repositories with zypper repos"
    ]
    (failed,) = done.of("failed")
    assert failed["text"] == (
        "the repositories on this host lack some of these packages: python311. Add a repository that provides them (zypper repos lists the current repositories), then run nbserver apply again"
    )


@pytest.mark.parametrize("name", ["sles", "sles_sap"])
def test_sles_15_has_its_python_in_a_module(host: Sandbox, name: str) -> None:
    host.write("/etc/os-release", f'ID="{name}"\nVERSION_ID="15.6"\nID_LIKE="suse"\nPRETTY_NAME="SUSE Linux Enterprise Server 15 SP6"\n')
    host.run(*ZYPPER, "removerepo", "repo-oss")
    (failed,) = run(host, "apply", [PYTHON]).of("failed")
    assert "SUSEConnect -p sle-module-python3/15.6/x86_64, then run nbserver apply again" in failed["text"]


def test_the_script_of_a_package_that_fails_is_a_warning(host: Sandbox) -> None:
    add(host, "post-fails")
    done = run(host, "apply", [PYTHON])
    assert (done.outcome, done.code) == ("ok", 0), words(done)
    assert warnings(done) == [
        "zypper finished, but a package script failed. Check the zypper output in the events of this run (nbserver events shows them)"
    ]
    assert "python311-3.11.11" in installed(host)


def test_a_package_that_asks_for_a_reboot(host: Sandbox) -> None:
    add(host, "reboot-needed")
    done = run(host, "apply", [PYTHON])
    assert (done.outcome, done.code, done.events[-1]["reboot"]) == ("ok", 102, True), words(done)


def test_a_patch_that_asks_for_a_reboot(host: Sandbox) -> None:
    host.run(*ZYPPER, "install", "tree")
    add(host, "patches")
    done = run(host, "apply", [step("run_zypper -- install -t patch stand-in-reboot; install_packages openssl", "openssl")])
    assert (done.outcome, done.code, done.events[-1]["reboot"]) == ("ok", 102, True), words(done)
    assert "tree-2.1.1" in installed(host)


def test_after_a_patch_of_itself_zypper_runs_again(host: Sandbox) -> None:
    host.run(*ZYPPER, "install", "python311-pip", "tree")
    add(host, "patches")
    done = run(host, "apply", [step("run_zypper -- install -t patch stand-in-restart; install_packages python3", "python3")])
    assert (done.outcome, done.code, done.events[-1]["reboot"]) == ("ok", 0, False), words(done)
    assert "python311-pip-22.3.2" in installed(host)
    said = [event["text"] for event in done.of("log")]
    assert any(text.startswith("Warning: One of the installed patches affects the package manager itself.") for text in said)
    assert "'patch:stand-in-restart' is already installed." in said, "the second one had nothing left to do"


def test_what_another_package_needs_meanwhile_stays_and_the_rest_goes(host: Sandbox) -> None:
    before = installed(host)
    both = step("install_packages python311 tree")
    assert run(host, "apply", [both]).outcome == "ok"
    assert set(record(host)[0]["key"].split()) == {"zypper", "openssl", "python311", "tree"}
    host.run(*ZYPPER, "install", "python311-pip")
    done = run(host, "undo", [both])
    assert done.outcome == "ok", words(done)
    assert installed(host) - before == {"python311-pip-22.3.1", "python311-3.11.10", "openssl-3.1.4"}
    assert warnings(done) == [
        "undo kept the packages openssl python311, because other packages that were installed later require some of them: python311-pip"
    ]
    assert record(host) == []


def test_what_somebody_removed_needs_no_removing(host: Sandbox) -> None:
    assert run(host, "apply", [PYTHON]).outcome == "ok"
    host.run(*ZYPPER, "remove", "python311")
    done = run(host, "undo", [PYTHON])
    assert done.outcome == "ok" and not {"python311-3.11.10", "openssl-3.1.4"} & installed(host), words(done)
    assert "python311" not in "\n".join(event["text"] for event in done.of("log"))


def test_a_new_key_is_not_trusted(host: Sandbox) -> None:
    host.run("rpm", "--erase", "--allmatches", "gpg-pubkey")
    add(host, "slow")
    before = installed(host)
    done = run(host, "apply", [PYTHON])
    assert done.outcome == "ok", words(done)
    assert warnings(done)[-1] == "zypper could not refresh a repository and skipped it. Run zypper refresh to see which repository failed"
    assert installed(host) - before == {"python311-3.11.10", "openssl-3.1.4"}, "of the repository that is trusted; no key came"


def test_another_zypper_is_awaited(host: Sandbox) -> None:
    other = host.start(*ZYPPER, "shell")
    assert other.stdin
    while not host.run("bash", "-c", "cat /run/zypp.pid /var/run/zypp.pid 2>/dev/null", check=False).stdout.strip(b"0\n"):
        assert other.poll() is None
        time.sleep(0.05)
    assert host.run(*ZYPPER, "install", "tree", check=False).returncode == 7, "without a word it is not awaited"
    threading.Timer(4, other.communicate).start()  # its end of input is its end
    done = run(host, "apply", [PYTHON])
    assert done.outcome == "ok", words(done)


def test_what_undo_could_not_remove_is_not_installed(host: Sandbox) -> None:
    before = installed(host)
    host.run("mv", "/usr/bin/zypper", "/usr/bin/zypper.real")
    host.write("/usr/bin/zypper", '#!/bin/sh\ncase "$*" in *--dry-run*) exit 4 ;; esac\nexec /usr/bin/zypper.real "$@"\n')
    host.run("chmod", "755", "/usr/bin/zypper")
    done = run(host, "apply", [PYTHON])
    (failed,) = done.of("failed")
    assert "zypper cannot determine what to install for python311 (exit code 4; see man zypper)" in failed["text"]
    assert installed(host) == before and not host.exists("/var/lib/nbserver/state/record.jsonl")


PLAN = """<?xml version='1.0'?>
<stream>
<install-summary download-size="1" space-usage-diff="1" packages-to-change="4">
<to-upgrade>
<solvable type="package" name="libone" edition="1.2-3" arch="x86_64" edition-old="1.1-2" arch-old="x86_64"/>
<solvable type="patch" name="a-patch" edition="2" arch="noarch"/>
<solvable type="package" name="two" edition="5" arch="noarch" edition-old="4" arch-old="noarch"/>
</to-upgrade>
<to-install>
<solvable type="package" name="python311" edition="3.11.10-1" arch="x86_64"/>
<solvable type="package" name="libtwo" edition="1" arch="x86_64"/>
</to-install>
<to-remove>
<solvable type="package" name="three" edition="1" arch="x86_64"/>
</to-remove>
</install-summary>
</stream>
"""


@pytest.mark.parametrize(("part", "names"), [("to-install", " python311 libtwo"), ("to-remove", " three")])
def test_a_plan_names_what_is_new_removed_and_upgraded(part: str, names: str) -> None:
    code = 'read_plan_of_zypper "$1"; printf "%s\\n" "$REPLY" "${UPGRADED[@]}"'
    done = run_parts(code, part, input=PLAN.encode())
    assert done.stdout.decode().splitlines() == [names, "libone (1.1-2 to 1.2-3)", "two (4 to 5)"]
