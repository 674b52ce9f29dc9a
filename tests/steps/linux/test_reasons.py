"""Why a run failed: what bash and the programs said, in the event that tells it. Full and read-only disks are real ones.

The scripts run through the bootstrap, as over SSH, in a root file system of their own.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any

import pytest

from nbserver.transports.ssh.bootstrap import READY, arguments, standard_input
from tests.linux import fixtures
from tests.linux.fixtures import NUMBER, Run, record, sandbox
from tests.linux.parts import run as run_prelude
from tests.linux.parts import script
from tests.linux.sandbox import Sandbox

__all__ = ["sandbox"]
HASH = "argon2:$argon2id$v=19$m=10240,t=10,p=8$CANARYCANARYCANARYCAN$CANARY/DEF"
SMALL = "/mnt/small"  # a file system of one page
STATE = "/var/lib/nbserver/state"


def step(apply: str, name: str = "small", test: str = "differs small small is should") -> str:
    """A step that always differs, with this apply."""
    return f"step {name} 'a small step'\n{name}_test() {{\n{test}\n}}\n{name}_apply() {{\n{apply}\n}}\n"


def run(sandbox: Sandbox, mode: str, steps: Sequence[str], **settings: Any) -> Run:
    """One run through the bootstrap. The secret is in none of its words."""
    text = script(steps, **settings)
    envelope = [f"mode {mode}", f"run r{next(NUMBER)}", f"secret notebook.password_hash {base64.b64encode(HASH.encode()).decode()}"]
    done = sandbox.run("bash", *arguments(text), input=standard_input(text, envelope), check=False)
    assert done.stdout.startswith(READY) and b"CANARY" not in done.stdout + done.stderr
    done.stdout = done.stdout[len(READY) :]
    return Run(done)


def failed(done: Run) -> str:
    """The words of the one thing that failed."""
    assert len(done.of("failed")) == 1, (done.lines, done.errors)
    (event,) = done.of("failed")
    assert done.outcome == "failed" and done.code == 3
    return str(event["text"])


@pytest.fixture
def host(sandbox: Sandbox) -> Sandbox:
    """With a file system of one page."""
    sandbox.run("mkdir", "-p", SMALL)
    sandbox.run("mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", SMALL)
    return sandbox


REASONS = {
    "a read-only disk": (
        f"mount_ro; add_folder {SMALL}/new root:root 755",
        f"mkdir exited with code 1: mkdir: cannot create directory '{SMALL}/new': Read-only file system. Fix this error, then try again",
    ),
    "a file on a read-only disk": (
        f"mount_ro; set_text_file {SMALL}/x root:root 600 words",
        f"could not write {SMALL}/x. Make sure that its disk is writable and has free space, then try again ({SMALL}/x.new: Read-only file system)",
    ),
    "a full disk": (
        f"local text; printf -v text '%9000s' ''; set_text_file {SMALL}/x root:root 600 \"@notebook.password_hash@$text\" notebook.password_hash",
        f"could not write {SMALL}/x. Make sure that its disk is writable and has free space, then try again (printf: write error: No space left on device)",
    ),
    "no such user": (
        f"set_text_file {SMALL}/x nosuch:root 600 @notebook.password_hash@ notebook.password_hash",
        "chown exited with code 1: chown: invalid user: 'nosuch:root'. Fix this error, then try again",
    ),
    "bash's own": (
        ': "$NOT_THERE"',
        "the script stopped unexpectedly with exit code 1: NOT_THERE: unbound variable. Fix this error, then try again",
    ),
    "nobody said anything": ("[[ a == b ]]", "the script exited with code 1: no error output. Fix this error, then try again"),
    "what was said before is another matter": (
        f"run_program bash -c true; stat {SMALL}/none || true; test_step small; false",
        "the script exited with code 1: no error output. Fix this error, then try again",
    ),
    "bytes that are no text": (
        f"mount_ro; local x=$'{SMALL}/\\377'; : >\"$x\"",
        f"the script exited with code 1: {SMALL}/\ufffd: Read-only file system. Fix this error, then try again",
    ),
}


@pytest.mark.parametrize("name", REASONS)
def test_the_reason_is_told(host: Sandbox, name: str) -> None:
    apply, words = REASONS[name]
    read_only = f"mount_ro() {{\n    mount -o remount,ro {SMALL}\n}}\n"
    done = run(host, "apply", [read_only + step(apply)])
    assert failed(done) == words
    assert host.read(f"{STATE}/runs/r{next(NUMBER) - 1}/events.jsonl").decode().splitlines() == done.lines, "it is kept, too"


def test_a_test_tells_it_and_leaves_nothing(host: Sandbox) -> None:
    done = run(host, "test", [step("true", test=f"stat {SMALL}/none")])
    assert (
        failed(done)
        == f"stat exited with code 1: stat: cannot statx '{SMALL}/none': No such file or directory. Fix this error, then try again"
    )
    assert not host.exists("/var/lib/nbserver")


def test_by_hand_the_words_stand_before_it() -> None:
    done = run_prelude("exec 1>&2; RUN_STEP=x; trap 'problem no-value no || write_event failed text \"$PROBLEM\"' ERR; stat /none/none")
    assert done.stderr.startswith(b"stat: ") and b'"text":"no"' in done.stdout


def test_lines_of_others_in_the_same_file_are_not_read(sandbox: Sandbox) -> None:
    sandbox.write("/tmp/lin1.sh", script([step("false")]))
    sandbox.write("/tmp/errors", "words of others\n")
    done = fixtures.Run(sandbox.run("bash", "-c", "exec bash /tmp/lin1.sh apply 2>>/tmp/errors", check=False))
    assert failed(done) == "the script exited with code 1: no error output. Fix this error, then try again"


def test_what_undo_cannot_put_back_is_told_with_its_reason(host: Sandbox) -> None:
    own = f"CONFIGURATION_FOLDER={SMALL}"  # undo acts on nothing else
    steps = [own, step(f"set_text_file {SMALL}/x root:root 600 words", test=f"if [[ ! -e {SMALL}/x ]]; then differs x x '' there; fi")]
    assert run(host, "apply", steps).outcome == "ok"
    host.run("mount", "-o", "remount,ro", SMALL)
    told = f"could not restore {SMALL}/x: could not remove {SMALL}/x (rm: cannot remove '{SMALL}/x': Read-only file system). Fix this error, then run nbserver undo again"
    assert failed(run(host, "undo", steps)) == told
    host.run("mount", "-o", "remount,rw", SMALL)
    assert run(host, "undo", steps).outcome == "ok" and record(host) == [] and not host.exists(f"{SMALL}/x")


# ---- the disk of the state folder is full


@pytest.fixture
def full(host: Sandbox) -> Sandbox:
    """The state folder, and /tmp, are on small disks."""
    host.run("mkdir", "-p", "/var/lib/nbserver")
    host.run("mount", "-t", "tmpfs", "-o", "size=40k,mode=755", "tmpfs", "/var/lib/nbserver")
    host.run("mount", "-t", "tmpfs", "-o", "size=4k,mode=1777", "tmpfs", "/tmp")
    host.run("bash", "-c", "printf %4096s x >/tmp/full")
    return host


TALKS = "run_program bash -c 'for i in {1..400}; do echo \"line $i of a program that talks\"; done; echo done >/run/ended'\n: >/run/went-on"
FULL = f"{STATE}/runs/<run>: printf: write error: No space left on device"


def test_events_that_cannot_be_kept_are_told_and_the_run_stops(full: Sandbox) -> None:
    """The program that runs is not cut off, nothing follows it, and the workstation hears everything to the end."""
    done = run(full, "apply", [step(TALKS), step("true", name="next")])
    assert (
        re.sub(r"runs/r\d+", "runs/<run>", failed(done))
        == f"could not write the events of this run to {FULL}. Fix this error (for example, free some disk space), then try again"
    )
    assert [event["text"] for event in done.of("log")] == [f"line {i} of a program that talks" for i in range(1, 401)]
    assert full.exists("/run/ended") and not full.exists("/run/went-on") and not any(name == "next" for name, _ in done.steps)
    kept = full.read(f"{STATE}/runs/r{next(NUMBER) - 1}/events.jsonl").decode().split("\n")
    assert 10 < len(kept) < 400 and kept[:-1] == done.lines[: len(kept) - 1], "up to the line that was torn"
    assert full.read(f"{STATE}/lock") == b""


def test_uv_is_said_to_compile_after_it_has_installed(host: Sandbox) -> None:
    """uv reports nothing while it compiles, for a minute or more."""
    program = (
        "printf '#!/bin/sh\\necho Installed 3 packages in 1ms\\necho Bytecode compiled\\n' >/run/uv; chmod 755 /run/uv; run_program /run/uv"
    )
    done = run(host, "apply", [step(program)])
    said = [(event["event"], event.get("code", event.get("text"))) for event in done.events if event["event"] in ("log", "progress")]
    assert said == [("log", "Installed 3 packages in 1ms"), ("progress", "compiling-modules"), ("log", "Bytecode compiled")]


def test_a_run_on_a_full_disk_says_so_and_changes_nothing(full: Sandbox) -> None:
    steps = [step(": >/run/changed")]
    assert run(full, "undo", steps).outcome == "ok"
    full.run("bash", "-c", f"printf %100000s x >{STATE}/full", check=False)
    for mode in ("apply", "undo"):
        assert failed(run(full, mode, steps)).endswith("No space left on device)") and not full.exists("/run/changed")
    full.run("rm", f"{STATE}/full")
    assert run(full, "apply", [step("true", test="true")]).outcome == "ok"


def test_nothing_is_done_when_the_event_that_announces_it_is_not_kept(full: Sandbox) -> None:
    fill = f"local text; printf -v text '%5000s' ''; if [[ ! -e {STATE}/full ]]; then printf %100000s x >{STATE}/full || true; fi; differs a a b \"$text\""
    done = run(full, "apply", [step(": >/run/changed", test=fill)])
    assert "could not write the events of this run" in failed(done) and len(done.of("difference")) == 1 and not full.exists("/run/changed")
