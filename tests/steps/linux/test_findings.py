"""Mode check: every requirement of the step preflight is a finding, the run continues, and nothing stays on the host."""

from __future__ import annotations

from nbserver.base.message import CODE
from tests.linux import parts
from tests.linux.fixtures import run, sandbox
from tests.linux.sandbox import Sandbox
from tests.steps.linux.small_steps import STEPS, host

__all__ = ["host", "sandbox"]
NO_DOWNLOADS = {**parts.SETTINGS["packages"], "source": "distribution"}


def test_every_requirement_is_reported_although_some_are_not_met(host: Sandbox) -> None:
    host.run("bash", "-c", "mkdir -p /etc/nbserver/key.pem /etc/jupyter && touch /etc/jupyter/jupyter_server_config.json")
    done = run(host, "check", STEPS, packages=NO_DOWNLOADS, notebook={**parts.SETTINGS["notebook"], "ip": "192.0.2.99"})
    assert (done.code, done.outcome) == (3, "failed")
    found = {event["name"]: event for event in done.of("finding")}
    states = {name: event["state"] for name, event in found.items()}
    assert list(found)[:3] == ["rotation", "architecture", "rights"] and list(found)[-1] == "other_configuration"
    assert {name for name in states if states[name] == "failed"} == {"files", "address"}
    assert states["other_configuration"] == "warning" and states["disk_space"] == "ok"
    assert found["address"]["text"] == "notebook.ip is 192.0.2.99, but this host does not have this address"
    assert (
        found["address"]["todo"].startswith("Set notebook.ip to an address listed by") and found["address"]["code"] == "address-not-local"
    )
    assert found["disk_space"]["code"] in ("folder-space", "already-installed") and not found["disk_space"]["todo"]
    assert all(CODE.fullmatch(event["code"]) and event["text"] for event in found.values())
    assert not done.of("failed") and not done.of("warning")


def test_a_check_leaves_nothing_on_the_host(host: Sandbox) -> None:
    done = run(host, "check", STEPS, packages=NO_DOWNLOADS)
    assert (done.code, done.outcome) == (0, "ok"), [event for event in done.of("finding") if event["state"] != "ok"]
    assert not any(map(host.exists, ("/var/lib/nbserver", "/etc/nbserver", "/opt/nbserver", "/srv/people")))
    assert host.run("ls", "-A", "/tmp").stdout == b"lin1.sh\n"
    assert not done.steps, "a check neither compares nor changes steps"


def test_a_check_that_breaks_is_unknown_and_the_others_continue(host: Sandbox) -> None:
    broken = "assert_clock() { date --utc --date=nonsense; }"
    done = run(host, "check", [*STEPS, broken], packages=NO_DOWNLOADS)
    states = {event["name"]: event for event in done.of("finding")}
    assert states["clock"]["state"] == "unknown" and states["clock"]["code"] == "not-checked", states["clock"]
    assert states["disk_space"]["state"] == "ok" and done.outcome == "ok"
