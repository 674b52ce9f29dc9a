"""What an earlier run installed is removed when the new server has answered: the step cleanup, with real virtual environments."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.linux import parts
from tests.linux.fixtures import Run, record, run, sandbox, template
from tests.linux.sandbox import Sandbox
from tests.steps.linux import powers

__all__ = ["sandbox", "template"]
PLACES = "LOCK=(); PYTHON=/usr/bin/python3"  # an empty lock: an environment with pip only
GOOD = "step check 'the server answers'; check_test() { :; }"
BAD = "step check 'the server answers'; check_test() { differs port port '' open; }; check_apply() { fail no-answer 'nothing answers'; }"
QUICK = """
create_environment() {
    run_program cp -a /srv/template "$ENVIRONMENT"
    : >"$ENVIRONMENT/lock.txt"
}
"""
OLD, NEW = "/opt/nbserver/env-aaaaaaaa", "/opt/nbserver/env-bbbbbbbb"


def steps(check: str, scope: str = "machine") -> list[str]:
    return [PLACES, parts.step("packages", scope), QUICK, check, parts.step("cleanup")]


def go(host: Sandbox, mode: str, lock: str, check: str = GOOD, source: str = "wheels") -> Run:
    return run(host, mode, steps(check), packages={"index_url": None, "installer": "pip", "lock_sha256": lock * 64, "source": source})


def environments(host: Sandbox) -> list[str]:
    return host.run("bash", "-c", "shopt -s nullglob; echo /opt/nbserver/env-*").stdout.decode().split()


def recorded(host: Sandbox) -> list[str]:
    return [line["key"] for line in record(host) if "/env-" in line["key"]]


@pytest.fixture
def host(sandbox: Sandbox, template: Path) -> Sandbox:
    """With the environment of the lock `a`, and one that is not on the record."""
    sandbox.lay(template, "/srv/template")
    sandbox.run("bash", "-c", "rm -rf /opt/nbserver /var/lib/nbserver")
    first = go(sandbox, "apply", "a")
    assert first.outcome == "ok", first.errors
    assert first.steps == [("packages", "difference"), ("packages", "changed"), ("check", "unchanged"), ("cleanup", "unchanged")]
    sandbox.run("mkdir", "/opt/nbserver/env-cccccccc")
    return sandbox


def test_a_plan_tells_it_and_an_apply_removes_it_last(host: Sandbox) -> None:
    planned = go(host, "test", "b")
    assert [(event["step"], event["what"]) for event in planned.of("difference")] == [("packages", "packages"), ("cleanup", OLD)]
    assert OLD in environments(host)
    done = go(host, "apply", "b")
    assert done.outcome == "ok" and [step for step, event in done.steps if event == "changed"] == ["packages", "cleanup"]
    assert [event["what"] for event in done.of("restored")] == [OLD]
    assert environments(host) == [NEW, "/opt/nbserver/env-cccccccc"] and recorded(host) == [NEW], "what is not on the record stays"
    again = go(host, "apply", "b")
    assert again.outcome == "ok" and {event for _, event in again.steps} == {"unchanged"}
    host.run("rmdir", "/opt/nbserver/env-cccccccc")
    assert go(host, "undo", "b").outcome == "ok" and record(host) == [] and not host.exists("/opt/nbserver")


def test_a_server_that_does_not_answer_leaves_what_was_there(host: Sandbox) -> None:
    assert go(host, "apply", "b", BAD).outcome == "failed"
    assert {OLD, NEW} <= set(environments(host)) and recorded(host) == [OLD, NEW]
    back = go(host, "apply", "a")
    assert back.outcome == "ok" and [event["what"] for event in back.of("restored")] == [NEW], "back to the old lock: the new one goes"


def test_a_removal_that_is_cut_off_goes_on(host: Sandbox) -> None:
    """Cut off before the first of its files goes, it is not taken for whole afterwards."""
    name = OLD.rpartition("/")[2]
    cut = f'rm() {{ if [[ $1 == -rf && $4 == */{name} ]]; then return 1; fi; command rm "$@"; }}; {GOOD}'
    done = go(host, "apply", "b", cut)
    (failed,) = done.of("failed")
    assert (
        failed["step"] == "cleanup"
        and f"could not remove {OLD}, which is no longer used: could not remove some files in {OLD}" in failed["text"]
    )
    assert recorded(host) == [OLD, NEW] and not host.exists(f"{OLD}/nbserver.lock")
    assert ("packages", "difference") in go(host, "test", "a").steps
    assert go(host, "apply", "b").outcome == "ok" and OLD not in environments(host) and recorded(host) == [NEW]


def test_in_user_scope_too(sandbox: Sandbox, template: Path) -> None:
    sandbox.lay(template, "/srv/template")
    programs = f"{Path.home()}/.local/share/nbserver"
    sandbox.run("bash", "-c", 'mkdir -p "$HOME" && cd && rm -rf .local/share/nbserver .local/state/nbserver .config/nbserver')
    for lock in "ab":
        packages = {"index_url": None, "installer": "pip", "lock_sha256": lock * 64, "source": "auto"}
        done = run(sandbox, "apply", steps(GOOD, "user"), packages=packages, scope="user")
        assert done.outcome == "ok", done.events
    assert [event["what"] for event in done.of("restored")] == [f"{programs}/env-aaaaaaaa"]
    assert sandbox.run("ls", programs).stdout == b"env-bbbbbbbb\n"


def test_with_the_distributions_packages_no_environment_is_wanted(host: Sandbox) -> None:
    there = 'read_packages() { local name; for name in "$@"; do PACKAGES[$name]=1.0; done; }; PACKAGE_MANAGER=apt'
    done = run(
        host,
        "apply",
        [PLACES, there, *steps(GOOD)[1:]],
        packages={"index_url": None, "installer": "pip", "lock_sha256": "a" * 64, "source": "distribution"},
    )
    assert done.outcome == "ok" and [event["what"] for event in done.of("restored")] == [OLD], done.errors


PEOPLE = "/srv/people"


def test_an_earlier_folder_for_notebooks_is_given_back(sandbox: Sandbox) -> None:
    """One that was there, one that apply created and that is empty by now, and one with files of the service, which is told."""
    sandbox.run("bash", "-ec", "mkdir -p /run/systemd/system /srv/theirs; chmod 750 /srv/theirs")
    steps_of_all = [*powers.STEPS, parts.step("cleanup")]

    def apply(directory: str, mode: str = "apply") -> Run:
        done = powers.apply(sandbox, steps_of_all, directory, mode)
        assert done.outcome == "ok", done.of("failed")
        return done

    apply("/srv/theirs")
    assert sandbox.access("/srv/theirs") == "root:nbserver 770"
    planned = apply(f"{PEOPLE}/one", "test")
    assert [event["what"] for event in planned.of("difference")][
        -1
    ] == "earlier change that the inventory no longer requires (access /srv/theirs)"
    apply(f"{PEOPLE}/one")
    assert sandbox.access("/srv/theirs") == "root:root 750"
    assert apply(f"{PEOPLE}/one/deeper", "test").steps[-1] == ("cleanup", "unchanged"), "what is in it is needed"

    apply("/srv/other/two")
    assert not sandbox.exists(PEOPLE) and sandbox.exists("/srv/other/two")
    sandbox.write("/srv/other/two/a.ipynb", "x")
    done = apply("/srv/three")
    assert [event["values"] for event in done.of("warning") if event["code"] == "earlier-notebook-folder"] == [{"path": "/srv/other/two"}]
    assert sandbox.exists("/srv/other/two/a.ipynb")
    assert {event for _, event in apply("/srv/three").steps} == {"unchanged"}


def test_a_rule_of_a_firewall_that_is_left_out_now_is_removed(host: Sandbox) -> None:
    opened = """
step firewall 'the rule is on the record'
firewall_test() { has_record firewall_port 'ufw 9999 Any' || differs rule rule '' open; }
firewall_apply() { save_before firewall_port 'ufw 9999 Any' ''; }
"""
    host.run("bash", "-c", "rm -f /usr/sbin/ufw")

    def go_on(mode: str, *skip: str) -> Run:
        packages = {"index_url": None, "installer": "pip", "lock_sha256": "a" * 64, "source": "wheels"}
        return run(host, mode, [*steps(GOOD)[:2], opened, GOOD, parts.step("cleanup")], packages=packages, skip=list(skip))

    assert go_on("apply").outcome == "ok" and record(host)[-1]["kind"] == "firewall_port"
    assert go_on("test").of("difference") == []
    assert [event["what"] for event in go_on("test", "firewall").of("difference")] == [
        "earlier change that the inventory no longer requires (firewall_port ufw 9999 Any)"
    ]
    done = go_on("apply", "firewall")
    assert done.outcome == "ok" and [event["what"] for event in done.of("restored")] == ["ufw 9999 Any"]
