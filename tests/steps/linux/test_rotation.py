"""Rotation: key, password, and work folder are replaced while the server is stopped, and a rotation that was cut off is done again."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.formats import validate
from tests.linux.fixtures import Run, run, sandbox
from tests.linux.parts import run as run_parts
from tests.linux.parts import script
from tests.linux.sandbox import Sandbox
from tests.steps.linux.small_steps import SECRETS, STEPS, host
from tests.tier import FULL

__all__ = ["host", "sandbox"]
WORK, STATE = "/var/lib/nbserver/work", "/var/lib/nbserver/state"
# Stand-ins for systemd and the server: what runs is a line in /tmp/server.
SERVER = """
step service 'The server runs'
service_test() { if [[ ! -s /tmp/server ]]; then differs unit-not-active server stopped active; fi; }
service_apply() { sha256sum "$KEY_FILE" >/tmp/server; echo started >>/tmp/history; }
stop_unit() { : >/tmp/server; echo stopped >>/tmp/history; }
keep_unit_stopped() { : >/tmp/server; echo disabled >>/tmp/history; }
step check 'The server answers'
check_test() { if [[ $(</tmp/server) != "$(sha256sum "$KEY_FILE")" ]]; then differs port-certificate port other 'a new one'; fi; }
check_apply() { return 0; }
"""
ALL = [*STEPS, SERVER]
# Ends the run as a power failure would, when it has written so many events.
CUT = """
eval "plain_$(declare -f write_event)"
write_event() { if ((RUN_EVENTS == %d)); then kill -KILL $$; fi; plain_write_event "$@"; }
"""
PLANTED = """
mkdir -p $1/ipython/profile_default/startup $1/data/kernels/evil $1/settings /srv/people/notebooks
echo 'import os' >$1/ipython/profile_default/startup/00.py
echo evil >$1/.bashrc
ln -s /etc/shadow $1/data/shadow
mkdir -p $1/runtime; echo old >$1/runtime/jupyter_cookie_secret
echo '{}' >/srv/people/notebooks/a.ipynb
"""


def password(name: str) -> str:
    """The line of an envelope with the hash of a password of this name."""
    hashed = f"argon2:$argon2id$v=19$m=65536,t=3,p=4${'A' * 22}${name}"
    return f"secret notebook.password_hash {base64.b64encode(hashed.encode()).decode()}\n"


def rotate(host: Sandbox, name: str, *more: str) -> Run:
    return run(host, "rotate", [*ALL, *more], secrets=password(name))


@pytest.fixture
def deployed(host: Sandbox) -> Sandbox:
    host.write("/tmp/server", "")
    assert run(host, "apply", ALL, secrets=SECRETS).outcome == "ok"
    host.run("bash", "-c", PLANTED, "plant", WORK)
    return host


def set_aside(host: Sandbox) -> list[str]:
    return host.run("bash", "-c", f"cd {STATE}/set-aside 2>/dev/null && find . -name 00.py").stdout.decode().split()


def test_everything_is_replaced_while_the_server_is_stopped(deployed: Sandbox) -> None:
    key, shadow = deployed.read("/etc/nbserver/key.pem"), deployed.read("/etc/shadow")
    before = run(deployed, "test", ALL).events[-1]["fingerprint"]
    deployed.run("mkdir", f"{STATE}/switch")  # an upgrade was cut off: the next one that fails would restore the former password
    done = rotate(deployed, "new")
    assert done.outcome == "ok", done.events
    assert [step for step, event in done.steps if event == "changed"] == ["certificate", "notebook", "service", "check"]
    assert deployed.read("/etc/nbserver/key.pem") != key and done.events[-1]["fingerprint"] != before
    assert b"$new" in deployed.read("/etc/nbserver/jupyter_config.json")
    assert deployed.run("ls", "-A", WORK).stdout == b"" and deployed.access(WORK) == "nbserver:nbserver 700"
    (path,) = set_aside(deployed)
    folder = f"{STATE}/set-aside/{path.split('/')[1]}"
    assert deployed.access(folder) == "root:root 700" and deployed.exists(f"{folder}/work/runtime/jupyter_cookie_secret")
    assert deployed.run("readlink", f"{folder}/work/data/shadow").stdout == b"/etc/shadow\n" and deployed.read("/etc/shadow") == shadow
    assert deployed.exists("/srv/people/notebooks/a.ipynb")
    assert not deployed.exists(f"{STATE}/rotation") and not deployed.exists(f"{STATE}/switch")
    assert deployed.read("/tmp/history").split() == [b"started", b"disabled", b"started"], "also after a restart of the host"
    assert run(deployed, "test", ALL).code == 0
    assert run(deployed, "undo", ALL).outcome == "ok" and deployed.exists(f"{folder}/work"), "evidence stays"


def test_what_evicts_nobody_is_refused_and_changes_nothing(deployed: Sandbox) -> None:
    history = deployed.read("/tmp/history")
    for done, code in (
        (run(deployed, "rotate", ALL, secrets=SECRETS), "rotate-same-password"),
        (run(deployed, "rotate", ALL, secrets=password("x").replace(password("x").split()[2], "")), "rotate-without-password"),
        (rotate(deployed, "x", "user_test() { differs x '{path}' a b path /x; }"), "rotate-needs-apply"),
    ):
        (failed,) = done.of("failed")
        assert failed["code"] == code and done.code == 3
    assert deployed.read("/tmp/history") == history and not deployed.exists(f"{STATE}/rotation")
    assert run(deployed, "test", ALL).code == 0


def test_a_host_that_was_never_set_up_is_refused(host: Sandbox) -> None:
    (failed,) = rotate(host, "new").of("failed")
    assert failed["code"] == "rotate-not-deployed" and not host.exists("/etc/nbserver/key.pem")


def test_a_work_folder_that_is_a_link_is_not_followed(deployed: Sandbox) -> None:
    key = deployed.read("/etc/nbserver/key.pem")
    deployed.run("bash", "-c", f"mv {WORK} /srv/elsewhere && ln -s /srv/elsewhere {WORK}")
    assert rotate(deployed, "new").outcome == "failed"
    assert rotate(deployed, "new", "preflight_test() { return 0; }").of("failed")[-1]["code"] == "work-not-separate"
    assert deployed.exists("/srv/elsewhere/.bashrc") and deployed.run("readlink", WORK).stdout == b"/srv/elsewhere\n"
    assert deployed.read("/tmp/server") == b"" and deployed.read("/etc/nbserver/key.pem") != key, "the server stays stopped"


def test_whatever_cuts_a_rotation_off_the_next_one_completes_it(deployed: Sandbox) -> None:
    whole = len(rotate(deployed, "first").events)
    for number in range(2, whole) if FULL else (2, 11, whole - 1):
        deployed.run("bash", "-c", PLANTED, "plant", WORK)
        key, aside = deployed.read("/etc/nbserver/key.pem"), set_aside(deployed)
        deployed.write("/tmp/lin1.sh", script([*ALL, CUT % number]))
        envelope = f"mode rotate\nrun cut{number}\n{password(f'p{number}')}"
        assert deployed.run("bash", "/tmp/lin1.sh", "envelope", input=envelope.encode(), check=False).returncode != 0
        if deployed.exists(f"{STATE}/rotation"):
            validate("rotation", json.loads(deployed.read(f"{STATE}/rotation")))
        done = rotate(deployed, f"p{number}")
        if number == whole - 1:  # only the last event was missing: the rotation was complete
            assert [event["code"] for event in done.of("failed")] == ["rotate-same-password"]
        else:
            assert done.outcome == "ok", (number, done.events)
        assert deployed.read("/etc/nbserver/key.pem") != key
        assert f'$p{number}"'.encode() in deployed.read("/etc/nbserver/jupyter_config.json")
        assert deployed.run("ls", "-A", WORK).stdout == b"" and len(set_aside(deployed)) == len(aside) + 1
        assert not deployed.exists(f"{STATE}/rotation")
    assert run(deployed, "test", ALL).code == 0


def test_until_it_is_complete_nothing_starts_the_server_for_earlier_users(deployed: Sandbox) -> None:
    """Not even with the password that was replaced, if the first attempt has already set another one."""
    assert rotate(deployed, "new", "service_apply() { fail no-service 'no'; }").outcome == "failed"
    (refused,) = run(deployed, "apply", ALL, secrets=password("new")).of("failed")
    assert refused["code"] == "rotation-incomplete-apply"
    assert "rotation-incomplete" in [event["code"] for event in run(deployed, "test", ALL).of("warning")]
    assert run(deployed, "rotate", ALL, secrets=SECRETS).of("failed")[0]["code"] == "rotate-same-password"
    assert deployed.read("/tmp/server") == b""
    assert rotate(deployed, "new").outcome == "ok" and run(deployed, "apply", ALL, secrets=password("new")).events[-1]["changed"] == 0


def test_an_undo_forgets_a_rotation_that_was_cut_off(deployed: Sandbox) -> None:
    rotate(deployed, "new", "set_work_aside() { fail work-not-moved 'no'; }")
    assert deployed.exists(f"{STATE}/rotation")
    assert run(deployed, "undo", ALL).outcome == "ok" and not deployed.exists(f"{STATE}/rotation")
    assert run(deployed, "apply", ALL, secrets=SECRETS).outcome == "ok"


def test_in_user_scope_the_process_is_stopped_and_the_person_is_warned(tmp_path: Path) -> None:
    """Everything is below the home folder of the user, who may not be root."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "planted").write_text("evil")
    (tmp_path / "state").mkdir(mode=0o700)
    code = """
        STATE_FOLDER=$1/state WORK_FOLDER=$1/work ROTATION_FILE=$1/state/rotation SET_ASIDE_FOLDER=$1/state/set-aside
        RUN_ID=r1 FORMER_PASSWORD=$2
        check_path() { return 0; }                     # the folder of a test is below one that everybody can write to
        is_unit() { return 1; }
        stop_process() { printf 'stopped %s\\n' "$1" >&2; }
        begin_rotation
        set_work_aside
        warn_of_account
        """
    done = run_parts(code, str(tmp_path), "0" * 64, scope="user")
    assert done.returncode == 0 and b"stopped " in done.stderr, done.stderr
    assert [json.loads(line)["code"] for line in done.stdout.splitlines()] == ["work-set-aside", "rotated-own-account"]
    assert (tmp_path / "state" / "set-aside" / "r1" / "work" / "planted").exists() and not (tmp_path / "work").exists()
    assert (tmp_path / "state" / "set-aside").stat().st_mode & 0o777 == 0o700
    validate("rotation", json.loads((tmp_path / "state" / "rotation").read_text()))
