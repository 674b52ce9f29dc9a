"""Restart and stop: the installed server starts again as it is, stays stopped if it should, and nothing else is changed."""

from __future__ import annotations

import pytest

from tests.linux import parts
from tests.linux.fixtures import Run, run, sandbox
from tests.linux.parts import script
from tests.linux.sandbox import Sandbox
from tests.steps.linux.small_steps import SECRETS, STEPS, host
from tests.tier import FULL

__all__ = ["host", "sandbox"]
UNIT = "/etc/systemd/system/nbserver.service"
# A stand-in for systemd's program: what is enabled, active, and loaded are files, and each change is a line of the history.
SYSTEMCTL = """#!/bin/bash
state=/tmp/systemd; mkdir -p $state
case $1 in
    show)
        active=inactive enabled=disabled process=0
        if [[ -e $state/active ]]; then active=active process=1; fi
        if [[ -e $state/enabled ]]; then enabled=enabled; fi
        printf '%s\n' LoadState=loaded ActiveState=$active UnitFileState=$enabled NeedDaemonReload=no MainPID=$process SubState=x NRestarts=0
        exit ;;
    enable) touch $state/enabled ;;
    disable) rm -f $state/enabled ;;
    restart | start) if [[ -e $state/broken ]]; then exit 1; fi; cat /etc/nbserver/{certificate.pem,jupyter_config.json} >$state/active ;;
    stop) rm -f $state/active ;;
    *) exit 0 ;;
esac
echo $1 >>$state/history
"""
# The server shows the certificate that it was started with. Its port may be another test's on this machine.
CHECK = """
is_listening() { return 1; }
step check 'The server answers'
check_test() {
    if [[ ! -e /tmp/systemd/active || $(</tmp/systemd/active) != "$(<"$CERTIFICATE_FILE")"* ]]; then differs port-certificate port other 'its own'; fi
}
check_apply() { return 0; }
"""
ALL = [*STEPS, parts.step("service"), CHECK]
# The server answers as it should, whatever listens on its port.
ANSWERS = """
is_listening() { return 1; }
is_server_young() { return 1; }
assert_port_free() { return 0; }
read_shown() { SHOWN=$RUN_FINGERPRINT ANSWERS=(403 403); }
"""
# Ends the run as a power failure would, when it has written so many events.
CUT = """
eval "plain_$(declare -f write_event)"
write_event() { if ((RUN_EVENTS == %d)); then kill -KILL $$; fi; plain_write_event "$@"; }
"""


@pytest.fixture
def deployed(host: Sandbox) -> Sandbox:
    host.write("/usr/sbin/systemctl", SYSTEMCTL)
    host.run("chmod", "755", "/usr/sbin/systemctl")
    assert run(host, "apply", ALL, secrets=SECRETS).outcome == "ok"
    assert history(host) == ["stop", "enable", "restart"]
    return host


def history(host: Sandbox) -> list[str]:
    """What systemd was asked for since the last call."""
    found = host.read("/tmp/systemd/history").decode().split()
    host.write("/tmp/systemd/history", "")
    return found


def differences(host: Sandbox) -> list[str]:
    return [event["code"] for event in run(host, "test", ALL).of("difference")]


def code(done: Run) -> str:
    assert done.outcome == "failed" and done.code == 3
    return str(done.of("failed")[0]["code"])


def test_restart_starts_it_again_and_proves_its_certificate(deployed: Sandbox) -> None:
    before = deployed.read("/etc/nbserver/jupyter_config.json")
    done = run(deployed, "restart", ALL)
    assert done.outcome == "ok" and history(deployed) == ["enable", "restart"]
    assert done.steps == [("service", "difference"), ("service", "changed"), ("check", "difference"), ("check", "changed")]
    assert done.events[-1]["changed"] == 2 and done.events[-1]["fingerprint"].startswith("SHA256:")
    assert deployed.read("/etc/nbserver/jupyter_config.json") == before and differences(deployed) == []


def test_after_a_restart_it_is_no_longer_older_than_its_files(deployed: Sandbox) -> None:
    deployed.run("touch", "/etc/nbserver/jupyter_config.json")
    assert differences(deployed) == ["server-outdated"]
    assert run(deployed, "restart", ALL).outcome == "ok" and differences(deployed) == []


def test_what_differs_from_the_settings_is_left_to_an_apply(deployed: Sandbox) -> None:
    other = {"service": {"cpu_quota": "infinity", "memory_max": "10%", "tasks_max": "15%"}}
    assert run(deployed, "restart", ALL, **other).outcome == "ok"
    assert b"MemoryMax=90%" in deployed.read(UNIT)
    assert [event["code"] for event in run(deployed, "test", ALL, **other).of("difference")] == ["file-differs"]


def test_it_stays_stopped_until_a_restart(deployed: Sandbox) -> None:
    assert run(deployed, "stop", ALL).events[-1]["changed"] == 1 and history(deployed) == ["disable", "stop"]
    assert differences(deployed) == ["unit-not-enabled", "unit-not-active", "port-certificate"]
    again = run(deployed, "stop", ALL)
    assert again.steps == [("service", "unchanged")] and again.events[-1]["changed"] == 0 and history(deployed) == []
    started = run(deployed, "restart", ALL)
    assert started.of("difference")[0]["code"] == "server-starts" and history(deployed) == ["enable", "restart"]
    assert differences(deployed) == []


def test_an_undo_of_a_stopped_server_leaves_nothing(deployed: Sandbox) -> None:
    assert run(deployed, "stop", ALL).outcome == "ok" and run(deployed, "undo", ALL).outcome == "ok"
    assert not deployed.exists(UNIT) and not deployed.exists("/tmp/systemd/enabled")


def test_a_server_that_does_not_start_fails(deployed: Sandbox) -> None:
    deployed.write("/tmp/systemd/broken", "")
    assert code(run(deployed, "restart", ALL)) == "unit-not-started"


def test_what_cannot_start_is_not_touched(deployed: Sandbox) -> None:
    history(deployed)
    deployed.write("/var/lib/nbserver/state/rotation", '{"v":1,"run":"r9","password":"%s","key":null}\n' % ("0" * 64))
    assert code(run(deployed, "restart", ALL)) == "rotation-incomplete-start" and history(deployed) == []
    deployed.run("rm", "/var/lib/nbserver/state/rotation")
    deployed.run("mv", "/etc/nbserver/key.pem", "/tmp/key.pem")
    assert code(run(deployed, "restart", ALL)) == "server-without-certificate" and history(deployed) == []
    assert run(deployed, "stop", ALL).outcome == "ok", "a server can always be stopped"


def test_a_server_can_be_restarted_although_an_upgrade_was_interrupted(deployed: Sandbox) -> None:
    """The next apply completes the upgrade; until then, plan says that it is open."""
    steps = [*STEPS, parts.step("service"), parts.step("check"), ANSWERS]
    deployed.run("mkdir", "/var/lib/nbserver/state/switch")
    done = run(deployed, "restart", steps)
    assert done.outcome == "ok", done.of("failed")
    assert "switch-open" in [event["code"] for event in run(deployed, "test", steps).of("difference")]


@pytest.mark.parametrize("mode", ["restart", "stop"])
def test_a_host_that_was_never_set_up_is_refused(host: Sandbox, mode: str) -> None:
    assert code(run(host, mode, ALL)) == "server-not-installed"


@pytest.mark.parametrize("mode", ["restart", "stop"])
def test_whatever_cuts_it_off_the_next_run_completes_it(deployed: Sandbox, mode: str) -> None:
    deployed.run("touch", "/etc/nbserver/jupyter_config.json")
    whole = len(run(deployed, mode, ALL).events)
    for number in range(1, whole, 1 if FULL else 2):
        assert run(deployed, "restart", ALL).outcome == "ok"
        deployed.run("touch", "/etc/nbserver/jupyter_config.json")
        deployed.write("/tmp/lin1.sh", script([*ALL, CUT % number]))
        envelope = f"mode {mode}\nrun cut{number}\n"
        assert deployed.run("bash", "/tmp/lin1.sh", "envelope", input=envelope.encode(), check=False).returncode != 0
        assert run(deployed, mode, ALL).outcome == "ok"
        assert run(deployed, "restart", ALL).outcome == "ok" and differences(deployed) == [], number


OLD_FILES = """
read_server_process() {{ REPLY=$(</tmp/process); }}
step old 'a server that has run for long'
old_test() {{
    cp "$(ldd /bin/sleep | grep -o '/[^ ]*libc[.]so[^ ]*')" {0}
    LD_PRELOAD={0} sleep 600 &
    echo $! >/tmp/process
    until grep -q '{0}$' /proc/$!/maps; do kill -0 $!; done
    {1}
    warn_of_old_files
    warn_of_old_files
    kill $!
}}
old_apply() {{ return 0; }}
"""


@pytest.mark.parametrize(
    ("file", "meanwhile", "warned"),
    [
        ("/usr/lib/libnb.so.3", "rm {0}", True),
        ("/usr/lib/libnb.so.3", "cp {0} {0}.new; mv {0}.new {0}", True),
        ("/usr/lib/libnb.so.3", "true", False),
        ("/tmp/libnb.so.3", "rm {0}", False),
        ("/usr/lib/libnb.so.3", "rm {0}; read_server_process() {{ REPLY=0; }}", False),
        ("/usr/lib/libnb.so.3", "rm {0}; RUN_DIFFERS=true", False),
        ("/usr/lib/libnb.so.3", "rm {0}; differs other other '' other", False),
    ],
)
def test_a_server_that_uses_files_from_before_an_update_is_a_warning(host: Sandbox, file: str, meanwhile: str, warned: bool) -> None:
    """Unless something differs: an apply may then restart it."""
    done = run(host, "test", [OLD_FILES.format(file, meanwhile.format(file))])
    assert done.outcome == "ok", done.events
    assert [event["values"] for event in done.of("warning")] == [{"path": file}] * warned


def test_the_step_asks_for_files_from_before_an_update(deployed: Sandbox) -> None:
    done = run(deployed, "test", [*ALL, "warn_of_old_files() { warn asked-here 'asked'; }"])
    assert [event["step"] for event in done.of("warning") if event["code"] == "asked-here"] == ["service"]
