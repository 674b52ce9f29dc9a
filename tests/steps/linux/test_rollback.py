"""A rollback of a unit of systemd: what systemd is asked for, and that the server is not older than its files afterwards."""

from __future__ import annotations

from tests.linux.fixtures import run, sandbox
from tests.linux.sandbox import Sandbox
from tests.steps.linux.small_steps import host
from tests.steps.linux.test_server_life import ALL, UNIT, deployed, differences, history

__all__ = ["deployed", "host", "sandbox"]
PREVIOUS = "/opt/nbserver/env-aaaaaaaa"
ANSWERS = """
has_answered() { [[ -e /tmp/systemd/active ]]; }
is_refused() { return 0; }
read_shown() { SHOWN=$RUN_FINGERPRINT; }
check_login() { if [[ -e /tmp/refuse ]]; then fail login-broken broken; fi; }
check_apply() { return 0; }
"""
KEEP = f"""
    mkdir -p {PREVIOUS}/bin /opt/nbserver/env-00000000/bin /var/lib/nbserver/state/previous
    ln -s /usr/bin/python3 {PREVIOUS}/bin/python; ln -sf /usr/bin/python3 /opt/nbserver/env-00000000/bin/python
    cp -a /etc/nbserver/jupyter_config.json /etc/nbserver/serve.py /var/lib/nbserver/state/previous
    sed s/env-00000000/env-aaaaaaaa/ {UNIT} >/var/lib/nbserver/state/previous/nbserver.service
    echo {PREVIOUS}/bin/python >/var/lib/nbserver/state/previous/python
"""


def test_the_unit_of_the_previous_environment_runs_and_then_the_present_one_again(deployed: Sandbox) -> None:
    deployed.run("bash", "-c", KEEP)
    before = deployed.read(UNIT)
    steps = [*ALL, ANSWERS]
    done = run(deployed, "rollback", steps)
    assert done.outcome == "ok" and history(deployed) == ["stop", "enable", "restart"], done.events
    assert f"ExecStart={PREVIOUS}/bin/python ".encode() in deployed.read(UNIT)
    assert differences(deployed) == ["server-other-environment", "file-differs"]
    deployed.write("/tmp/refuse", "")
    failed = run(deployed, "rollback", steps)
    assert [event["code"] for event in failed.of("failed")] == ["login-broken", "rollback-switched-back"]
    assert f"ExecStart={PREVIOUS}/bin/python ".encode() in deployed.read(UNIT)
    deployed.run("rm", "/tmp/refuse")
    deployed.run("touch", "/etc/nbserver/certificate.pem")
    assert run(deployed, "rollback", steps).outcome == "ok"
    assert deployed.read(UNIT).partition(b"Started=")[0] == before.partition(b"Started=")[0]
    assert differences(deployed) == [], "the unit knows for which files it was started"


def test_the_unit_of_then_gets_the_rights_that_the_port_of_now_needs(deployed: Sandbox) -> None:
    """A rollback keeps the port, and a unit without a capability could not open one below 1024."""
    before = deployed.read(UNIT)
    assert b"\nAmbientCapabilities=" not in before
    deployed.run("bash", "-c", KEEP)
    deployed.run("sed", "-i", "s/9999/443/", "/etc/nbserver/jupyter_config.json")
    assert run(deployed, "rollback", [*ALL, ANSWERS]).outcome == "ok"
    now = deployed.read(UNIT)
    assert b"\nCapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n" in now
    assert b"PrivateUsers" not in now and f"ExecStart={PREVIOUS}/bin/python ".encode() in now
    deployed.run("sed", "-i", "s/443/9999/", "/etc/nbserver/jupyter_config.json")
    deployed.run("bash", "-c", f"sed s/env-aaaaaaaa/env-00000000/ {UNIT} >/var/lib/nbserver/state/previous/nbserver.service")
    assert run(deployed, "rollback", [*ALL, ANSWERS]).outcome == "ok"
    assert deployed.read(UNIT).partition(b"Started=")[0] == before.partition(b"Started=")[0]
