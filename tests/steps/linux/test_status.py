"""Mode status: what a host reports about its server and its last run, while nothing on it changes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from tests.linux.fixtures import Run, run, sandbox
from tests.linux.parts import run as run_parts
from tests.linux.sandbox import Sandbox
from tests.steps.linux.small_steps import SECRETS, STEPS, host

__all__ = ["host", "sandbox"]
# Stand-ins for systemd and the service. What systemd says is in /tmp/unit; without this file, nothing is set up.
SYSTEMD = """
step service 'The server runs'
service_test() { if [[ ! -e /etc/systemd/system/nbserver.service ]]; then differs unit-not-active server stopped active; fi; }
service_apply() {
    mkdir -p /etc/systemd/system
    echo 'ExecStart=/usr/bin/python3 -I serve.py' >/etc/systemd/system/nbserver.service
}
read_unit() {
    local name value
    UNIT=()
    while IFS='=' read -r name value; do UNIT[$name]=$value; done < <(cat /tmp/unit 2>/dev/null || true)
}
"""
ALL = [*STEPS, SYSTEMD]
RUNNING = "ActiveState=active\nSubState=running\nUnitFileState=enabled\nMainPID=1\n"


def status(host: Sandbox, *more: str, **settings: Any) -> Run:
    return run(host, "status", [*ALL, *more], **settings)


def of(done: Run) -> dict[str, Any]:
    (found,) = done.of("status")
    return found


def files(host: Sandbox) -> bytes:
    command = "find /etc/nbserver /var/lib/nbserver /opt/nbserver /srv -printf '%p %T@ %s %m %u\\n' 2>/dev/null | sort"
    return host.run("bash", "-c", command, check=False).stdout


@pytest.fixture
def deployed(host: Sandbox) -> Sandbox:
    host.write("/tmp/unit", RUNNING)
    assert run(host, "apply", ALL, name="first", secrets=SECRETS).outcome == "ok"
    return host


def test_a_host_that_was_never_set_up(host: Sandbox) -> None:
    before = files(host)
    done = status(host)
    assert files(host) == before and done.outcome == "ok" and done.code == 2 and done.events[0]["mode"] == "status"
    found = of(done)
    assert found["service"] == {"state": "absent", "by": "none", "start": "none", "since": ""}
    assert (found["certificate"], found["record"], found["last"]) == (None, 0, None)
    assert done.of("difference") and done.events[-1]["differs"]


def test_what_runs_and_which_run_was_the_last(deployed: Sandbox) -> None:
    before = files(deployed)
    done = status(deployed)
    assert files(deployed) == before and done.outcome == "ok" and done.code == 0, done.events
    found = of(done)
    service = found["service"]
    assert (service["state"], service["by"], service["start"]) == ("running", "systemd", "automatic") and service["since"] > "2000"
    assert found["versions"]["python"].startswith("3.") and found["versions"]["openssl"][0].isdigit()
    certificate = found["certificate"]
    assert certificate["subject"] == "CN=lin1" and certificate["fingerprint"] == done.events[-1]["fingerprint"]
    assert found["record"] > 5
    last = found["last"]
    assert (last["run"], last["mode"], last["outcome"], last["release"]) == ("first", "apply", "ok", "0.1.0")
    assert last["started"] < last["finished"]
    assert last["script_sha256"] == hashlib.sha256(deployed.read("/tmp/lin1.sh")).hexdigest() == done.events[0]["script_sha256"]


def test_the_newest_of_several_runs_and_one_that_was_cut_off(deployed: Sandbox) -> None:
    assert run(deployed, "undo", ALL, name="a-second").outcome == "ok"
    last = of(status(deployed))["last"]
    assert (last["run"], last["mode"], last["outcome"]) == ("a-second", "undo", "ok")
    cut = 'eval "plain_$(declare -f write_event)"\nwrite_event() { if ((RUN_EVENTS == 3)); then kill -KILL $$; fi; plain_write_event "$@"; }\n'
    operator = "operator eCJ9LCJydW4iOiJ5In0iLA==\n"  # x"},"run":"y"}",
    assert len(run(deployed, "apply", [*ALL, cut], name="cut", secrets=SECRETS + operator).events) == 3
    last = of(status(deployed))["last"]
    assert (last["run"], last["outcome"], last["finished"]) == ("cut", "interrupted", "")
    assert last["operator"] == 'x"},"run":"y"}",'


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("ActiveState=inactive\nSubState=dead\nUnitFileState=disabled\nMainPID=0\n", ("stopped", "manual")),
        ("ActiveState=failed\nSubState=failed\nUnitFileState=enabled\nMainPID=0\n", ("failed", "automatic")),
        ("ActiveState=activating\nSubState=auto-restart\nUnitFileState=enabled\nMainPID=0\n", ("failed", "automatic")),
        ("ActiveState=activating\nSubState=start\nUnitFileState=enabled\nMainPID=0\n", ("starting", "automatic")),
        ("ActiveState=inactive\nSubState=dead\nUnitFileState=masked\n", ("stopped", "disabled")),
        ("", ("stopped", "manual")),
    ],
)
def test_the_state_of_the_service(deployed: Sandbox, unit: str, expected: tuple[str, str]) -> None:
    deployed.write("/tmp/unit", unit)
    service = of(status(deployed))["service"]
    assert (service["state"], service["start"], service["since"]) == (*expected, "")


def test_drift_is_counted_as_in_a_plan(deployed: Sandbox) -> None:
    deployed.run("chmod", "666", "/etc/nbserver/serve.py")
    done = status(deployed)
    assert [event["step"] for event in done.of("difference")] == ["notebook"] and done.code == 2
    plan = run(deployed, "test", ALL)
    assert [(event["step"], event["what"]) for event in plan.of("difference")] == [
        (event["step"], event["what"]) for event in done.of("difference")
    ]


def test_a_test_that_fails_leaves_the_status(deployed: Sandbox) -> None:
    done = status(deployed, "preflight_test() { fail needs-root 'no'; }")
    assert of(done)["service"]["state"] == "running" and done.outcome == "failed" and done.code == 3


def test_a_program_of_the_unit_that_nbserver_never_installs_is_not_started() -> None:
    """Who could write the unit of a user could name any program; root runs only what root alone can write."""
    code = 'UNIT_FOLDER=$1 PROGRAMS=/opt/nbserver; for text in "${@:2}"; do echo "$text" >$1/nbserver.service; read_server_python; echo $REPLY; done'
    good = ["ExecStart=/opt/nbserver/env-01ab/bin/python -I x", "ExecStart=/usr/bin/python3.11 -I x"]
    bad = ["ExecStart=/tmp/python x", "ExecStart=/usr/bin/python3/../../tmp/x y", "ExecStart=/opt/nbserver/env-a/../../x/bin/python"]
    done = run_parts(f'mkdir -p /tmp/unit-$$; set -- /tmp/unit-$$ "$@"; {code}; rm -r /tmp/unit-$$', *good, *bad)
    assert done.stdout.decode().split() == [
        "/opt/nbserver/env-01ab/bin/python", "/usr/bin/python3.11", *["/opt/nbserver/env-00000000/bin/python"] * 3
    ]  # fmt: skip


def test_limits_as_asked_and_as_enforced(deployed: Sandbox) -> None:
    deployed.write("/tmp/unit", RUNNING + "MemoryMax=1932735283\nTasksMax=4915\nCPUQuotaPerSecUSec=infinity\n")
    assert of(status(deployed))["limits"] == {
        "memory_max": {"asked": "90%", "now": "1932735283"},
        "tasks_max": {"asked": "15%", "now": "4915"},
        "cpu_quota": {"asked": "infinity", "now": "infinity"},
    }
    deployed.write("/tmp/unit", RUNNING + 'MemoryMax="},{"\n')
    assert {limit["now"] for limit in of(status(deployed))["limits"].values()} == {""}, "what systemd did not say"


def test_a_run_that_was_interrupted_before_its_first_event(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").touch()
    done = run_parts("""read_run "$1/events.jsonl"; printf '%s' "$REPLY" """, str(tmp_path))
    assert (done.returncode, done.stdout) == (0, b"null"), done.stderr
