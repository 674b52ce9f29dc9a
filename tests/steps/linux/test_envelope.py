"""The envelope on a Linux host: written by the workstation, read by the real read_envelope."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import Any, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbserver.base.modes import Mode
from nbserver.run.envelope import Envelope
from tests.linux.parts import require_bash, run, script
from tests.tier import examples

SECRET = "correct horse \u65e5\u672c\n"
READ = """
trap 'exit 9' ERR
read_envelope
name_run
printf '%s\\0' "$RUN_MODE" "$RUN_ID" "$RUN_OPERATOR" "$RUN_AFTER"
for name in "${!SECRETS[@]}"; do printf '%s\\0' "$name" "${SECRETS[$name]}"; done
"""
many = examples(40)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=80)
run_ids = st.from_regex(r"[0-9A-Za-z-]{1,64}", fullmatch=True)
secrets = st.dictionaries(st.from_regex(r"[a-z][a-z0-9_.]{0,20}", fullmatch=True), texts, max_size=3)


def read(lines: list[str], end: str = "\n") -> subprocess.CompletedProcess[bytes]:
    return run(READ, input="\n".join(lines).encode() + end.encode())


def told(lines: list[str]) -> dict[str, Any]:
    done = read(lines, end="\n" if lines else "")
    assert (done.returncode, done.stderr) == (0, b"")
    mode, name, operator, after, *rest = done.stdout.decode().split("\0")[:-1]
    return {"mode": mode, "run": name, "operator": operator, "after": int(after), "secrets": dict(zip(rest[::2], rest[1::2], strict=True))}


@many
@given(st.sampled_from([mode for mode in get_args(Mode) if mode != "request"]), run_ids, texts, st.integers(0, 10**6), secrets)
@example("apply", "x", SECRET, 0, {"a": SECRET, "b": "", "c": "\n\n", "d": "x" * 70000})
def test_the_host_reads_what_was_written(mode: Mode, name: str, operator: str, after: int, values: dict[str, str]) -> None:
    envelope = Envelope(mode, name, operator, after, values)
    assert told(envelope.lines()) == {
        "mode": mode,
        "run": name,
        "operator": operator,
        "after": after if mode == "events" else 0,
        "secrets": values,
    }


def test_the_last_line_may_lack_its_end() -> None:
    assert read(["mode apply", "run x"], end="").stdout.startswith(b"apply\0x\0")


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        "mode",
        "mode ",
        "mode destroy",
        "mode Apply",
        "Mode apply",
        "mode apply now",
        "MODE test",
        "forget",
        "mode  apply",
        "mode test\r",
        "mode request",
        "time",
        "time now",
        "time 2026-11-22T19:41:41",
        "time 2026-11-22T19:41:41Z x",
        "time $(date)",
        "run",
        "run ",
        "run a b",
        "run ../x",
        "run " + "x" * 65,
        "run a_b",
        "operator",
        "operator a b",
        "operator !",
        "operator YQ",
        "after",
        "after x",
        "after 1 2",
        "after 99999999999",
        "secret",
        "secret a",
        "secret a b c",
        "secret a !",
        "secret a YQ",
        "secret a YQ=",
        "secret a Y===",
        "secret a AAAA",
        "Secret a YQ==",
        "mode=apply",
        "{}",
        "after 1;2",
        "after $((1))",
        "secret a[0] YQ==",
        "run $(id)",
        "operator Y=Q=",
    ],
)
def test_the_host_refuses_a_line_that_it_does_not_know(line: str) -> None:
    done = read(["mode test", "run x", line, "mode apply"])
    assert done.returncode == 3
    event = json.loads(done.stdout)
    assert (event["event"], event["text"]) == (
        "failed",
        "line 3 on standard input (the envelope) is not valid. Correct it as described in docs/formats.md",
    )
    assert done.stderr == b""


@pytest.mark.parametrize(
    "line", ["secret notebook.password_hash {} more", "Secret notebook.password_hash {}", "secrets x {}", "secret a {}!"]
)
def test_a_refusal_never_tells_a_secret(line: str) -> None:
    secret = base64.b64encode(SECRET.encode()).decode()
    done = read([line.format(secret)])
    assert done.returncode == 3 and secret.encode() not in done.stdout + done.stderr and b"correct" not in done.stdout + done.stderr


def test_by_hand_a_run_has_a_name_too() -> None:
    found = told([])
    assert found["mode"] == "" and found["run"].endswith("Z-by-hand")
    Envelope("test", found["run"])


# ---- the whole script

TALKING = """
step talking 'it talks'
talking_test() { printf 'words on standard output\\n'; printf 'and on the other\\n' >&2; cat; }
talking_apply() { :; }
"""


def whole(path: Any, *arguments: str, input: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([require_bash(), str(path), *arguments], input=input, capture_output=True, check=False, timeout=300)


def test_a_test_run_from_an_envelope(tmp_path: Any) -> None:
    path = tmp_path / "lin1.sh"
    path.write_text(script([TALKING]))
    lines = Envelope("test", "r1", "Zo\u00eb", secrets={"notebook.password_hash": SECRET}).lines()
    done = whole(path, "envelope", input="\n".join(lines).encode() + b"\n")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events] == ["started", "unchanged", "finished"]
    assert (events[0]["run"], events[0]["operator"], events[0]["mode"]) == ("r1", "Zo\u00eb", "test")
    import hashlib

    assert events[0]["script_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert done.stderr == b"words on standard output\nand on the other\n", "what a step lets out passes for no event"
    assert b"correct" not in done.stdout + done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize("arguments", [[], ["test"]])
def test_by_hand_it_tests_and_reads_no_input(tmp_path: Any, arguments: list[str]) -> None:
    path = tmp_path / "lin1.sh"
    path.write_text(script([TALKING]))
    done = whole(path, *arguments, input=b"mode apply\n")
    assert json.loads(done.stdout.splitlines()[0])["mode"] == "test" and b"mode apply" not in done.stderr


@pytest.mark.parametrize(
    "command",
    ["bash -s <FILE", "bash -s apply <FILE", "cat FILE | bash", "bash <(cat FILE)", "bash /dev/stdin <FILE"],
)
def test_a_script_that_is_no_file_says_how_to_run_it(tmp_path: Any, command: str) -> None:
    """As with ssh HOST bash -s <HOST.sh: the hash of what a pipe contained cannot be reported."""
    (tmp_path / "lin1.sh").write_text(script([]))
    done = subprocess.run(
        [require_bash(), "-c", command.replace("FILE", str(tmp_path / "lin1.sh"))], capture_output=True, text=True, check=False
    )
    failed, finished = (json.loads(line) for line in done.stdout.splitlines())
    assert (done.returncode, finished["outcome"]) == (3, "failed")
    assert failed["text"] == (
        "the script must be a file on this host, but it was read from a pipe or an argument. "
        "Copy lin1.sh to the host, then run on the host: bash lin1.sh"
    )


def test_a_mode_that_is_none(tmp_path: Any) -> None:
    path = tmp_path / "lin1.sh"
    path.write_text(script([]))
    done = whole(path, "destroy")
    failed, finished = map(json.loads, done.stdout.splitlines())
    assert (
        failed["text"].startswith('this script has no mode "destroy". Use one of these: apply, backup, backup-key, check, ')
        and "events" not in failed["text"]
        and finished["outcome"] == "failed"
        and done.returncode == 3
    )
