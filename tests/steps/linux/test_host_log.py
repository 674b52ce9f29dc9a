"""What a Linux host keeps about a run by itself: lines in its system log, and the script."""

from __future__ import annotations

import base64
import hashlib

import pytest

from tests.linux.fixtures import Run, run, sandbox
from tests.linux.sandbox import Sandbox

__all__ = ["sandbox"]
STATE = "/var/lib/nbserver/state"
EVIDENCE = "0123456789abcdef" * 4
STEP = """
step one 'it changes something'
one_test() { [[ -e /tmp/one ]] || differs one one no yes; }
one_apply() { : >/tmp/one; }
"""
# Every sandbox has this program instead of the system's: it keeps what it is given.
LOGGER = "#!/bin/bash\nprintf '%s\\n' \"$*\" >>/tmp/logged\n"
BROKEN = "#!/bin/bash\necho 'socket /dev/log: Connection refused' >&2\nexit 1\n"


@pytest.fixture
def logger(sandbox: Sandbox) -> Sandbox:
    sandbox.write("/usr/bin/logger", LOGGER)
    sandbox.run("chmod", "755", "/usr/bin/logger")
    listen = "import os, socket; os.makedirs('/run/systemd/journal'); socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind('/run/systemd/journal/socket')"
    sandbox.run("python3", "-c", listen)
    return sandbox


def logged(sandbox: Sandbox) -> list[str]:
    return sandbox.run("bash", "-c", "cat /tmp/logged 2>/dev/null; rm -f /tmp/logged", check=False).stdout.decode("ascii").splitlines()


OPERATOR = 'anna at "a"'


def warnings(done: Run) -> list[str]:
    return [event["code"] for event in done.of("warning")]


def test_a_run_that_makes_changes_is_in_the_log_of_the_system(logger: Sandbox) -> None:
    """Whose run, which script, which evidence, and what came of it; nothing that the sender writes can begin another line or field."""
    operator = "YW5uYSIgc3RhdGU9ZmluaXNoZWQKbmJzZXJ2ZXI6IHg="  # anna" state=finished, line feed, nbserver: x
    assert run(logger, "test", [STEP]).code == 2 and logged(logger) == [], "a plan leaves nothing"
    done = run(logger, "apply", [STEP], name="first", secrets=f"operator {operator}\nevidence {EVIDENCE}\n")
    assert done.outcome == "ok" and not warnings(done)
    sha256 = hashlib.sha256(logger.read("/tmp/lin1.sh")).hexdigest()
    head = f"run=first mode=apply host=lin1 release=0.1.0 script={sha256} evidence={EVIDENCE}"
    tail = 'operator="anna\\" state=finished\\u000anbserver: x"'
    begun, ended = logged(logger)
    assert begun.startswith("--id=") and "--tag nbserver --priority user.notice -- " in begun
    assert begun.endswith(f"-- {head} state=started {tail}")
    assert ended.endswith(f"-- {head} state=finished outcome=ok changed=1 reboot=false {tail}")
    assert hashlib.sha256(logger.read(f"{STATE}/runs/first/{sha256}.sh")).hexdigest() == sha256
    assert logger.run("stat", "--format=%a %U", f"{STATE}/runs/first/{sha256}.sh").stdout == b"600 root\n"

    again = run(logger, "undo", [STEP], name="second")
    assert again.outcome == "ok"
    assert [line.partition("state=")[2] for line in logged(logger)] == [
        'started operator=""',
        'finished outcome=ok changed=0 reboot=false operator=""',
    ]
    kept = logger.run("bash", "-c", f"cd {STATE}/runs && echo */*.sh").stdout.decode().split()
    assert kept == [f"first/{sha256}.sh"], "the same script is kept once, and undo leaves it"


def test_a_run_that_fails_says_so(logger: Sandbox) -> None:
    done = run(logger, "apply", ["step one 'it fails'\none_test() { fail wrong 'this is wrong'; }\none_apply() { :; }\n"])
    assert done.outcome == "failed"
    assert " state=finished outcome=failed changed=0 " in logged(logger)[-1]


def test_a_log_that_cannot_be_written_is_a_warning(logger: Sandbox) -> None:
    logger.write("/usr/bin/logger", BROKEN)
    done = run(logger, "apply", [STEP])
    assert done.outcome == "ok" and warnings(done) == ["host-log-not-written"] * 2
    assert "socket /dev/log: Connection refused" in done.of("warning")[0]["text"]
    assert [event["event"] for event in done.events][:2] == ["started", "warning"]


def test_a_script_of_an_older_release_than_the_last_one_is_a_warning(logger: Sandbox) -> None:
    """On a second workstation, which would reverse what the first one has changed."""
    first = f"operator {base64.b64encode(OPERATOR.encode()).decode()}\n"
    assert run(logger, "apply", [STEP], name="first", secrets=first, release="0.10.0").outcome == "ok"
    for mode, release, expected in (
        ("test", "0.9.9", ["release-older"]),
        ("test", "0.10.0", []),
        ("test", "0.10.1", []),
        ("apply", "0.9.9", ["release-older"]),
        ("apply", "0.9.9", []),
    ):
        done = run(logger, mode, [STEP], release=release)
        assert (done.outcome, warnings(done)) == ("ok", expected), (mode, release)
        if mode == "test" and expected:
            assert done.of("warning")[0]["values"] == {"newer": "0.10.0", "own": "0.9.9"}
