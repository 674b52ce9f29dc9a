"""Events of a Linux host: the JSON that the real bash writes, whatever bytes it is given."""

from __future__ import annotations

import ast
import json
import sys
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbserver.events.reader import parse
from tests.formats import validate
from tests.linux import parts
from tests.linux.parts import run
from tests.tier import examples

many = examples(40)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
any_bytes = st.binary(max_size=30).map(lambda data: data.replace(b"\0", b""))
NASTY = "".join(map(chr, range(1, 256))) + "\u2028\ud7ff\ue000\ufeff\ufffd\uffff\U00010000\U0001f600\U0010ffff"


def event(*arguments: bytes | str) -> bytes:
    done = run('RUN_STEP=python; write_event log text "$1"', *arguments)
    assert done.returncode == 0 and done.stderr == b""
    return done.stdout


@many
@given(texts)
@example(NASTY)
@example("a\n")
@example('\\u0041 \\n "$(exit)" `x` ${y}')
def test_a_text_arrives_as_it_was(text: str) -> None:
    line = event(text)
    assert line.isascii() and line.count(b"\n") == 1 and all(byte >= 32 for byte in line[:-1])
    value = json.loads(line)
    assert value["text"] == text
    validate("event", value)
    assert parse(line.decode("ascii").removesuffix("\n")).data["text"] == text


@many
@given(any_bytes)
@example(b"\xff\xc3\xa9\xc3")
@example(b"\xed\xa0\x80 \xf4\x90\x80\x80 \xc0\xaf \xe0\x80\xaf \xf0\x9f\x98")
def test_any_bytes_are_an_event(data: bytes) -> None:
    """What is no UTF-8 is replaced; what is, stays, and the line is JSON in any case."""
    line = event(data)
    assert line.isascii()
    text = json.loads(line)["text"]
    assert text.replace("\ufffd", "") == data.decode("utf-8", "ignore").replace("\ufffd", "")


@many
@given(texts)
@example(NASTY)
def test_a_text_is_read_back_from_its_json(text: str) -> None:
    done = run('json_string "$1"; json_text "${REPLY:1:${#REPLY}-2}"; printf %s "$REPLY"', text)
    assert done.stdout.decode("utf-8") == text


def test_events_are_counted_and_timed() -> None:
    done = run(
        "write_event unchanged; write_event finished outcome ok differs: false changed: 0 reboot: false fingerprint ''; RUN_STEP=a; write_event progress what x done: 3 unit seconds"
    )
    values = [json.loads(line) for line in done.stdout.splitlines()]
    assert [value["n"] for value in values] == [1, 2, 3]
    assert values[1]["differs"] is False and values[1]["changed"] == 0 and values[2]["done"] == 3
    for value in values[1:]:
        validate("event", value)


def test_without_the_clock_of_bash_5_the_time_is_whole_seconds() -> None:
    done = run("unset EPOCHREALTIME; RUN_STEP=a; write_event changed")
    value = json.loads(done.stdout)
    validate("event", value)
    assert value["time"].endswith(".0000000Z")


def test_programs_speak_in_log_events_only() -> None:
    code = r"""
    trap 'exit 9' ERR
    RUN_STEP=python
    run_program bash -c 'printf "{\"v\":1,\"n\":1}\nwords on \303\251rror\r\n" ; echo more >&2; printf "10%%\r50%%\r100%%\n\n  \nlast"; cat; [ ! -e /proc/$$/fd/3 ] && [ ! -e /proc/$$/fd/9 ] && echo none; exit 0'
    """
    done = run(code, input=b"this is not for the program\n")
    values = [json.loads(line) for line in done.stdout.splitlines()]
    assert [value["text"] for value in values] == ['{"v":1,"n":1}', "words on \u00e9rror", "more", "100%", "lastnone"]
    assert {(value["event"], value["program"]) for value in values} == {("log", "bash")}


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ("bash -c 'echo one; echo two; exit 7'", 7, "bash exited with code 7: one / two. Do it by hand"),
        ("bash -c 'kill -9 $$'", 137, "bash exited with code 137: (none). Do it by hand"),
        (
            "no-such-program",
            127,
            "no-such-program exited with code 127: setsid: failed to execute no-such-program: No such file or directory. Do it by hand",
        ),
    ],
)
def test_a_program_that_fails_is_a_problem_with_its_last_words(command: str, code: int, words: str) -> None:
    done = run(
        f"if run_program --failure by-hand '{{program}} exited with code {{exit_code}}: {{output}}. Do it by hand' {command}; then exit 1; fi; printf '%s|%s' \"$EXIT_CODE\" \"$PROBLEM\" >&2"
    )
    assert done.stderr.decode() == f"{code}|{words}"


def test_what_a_program_gets_in_its_environment_is_in_no_arguments(tmp_path: Path) -> None:
    """A proxy may hold a password, and so may an index of the user's pip. In between stands a setsid that writes down what it is given."""
    recorder = tmp_path / "setsid"
    recorder.write_text(
        f"#!{sys.executable}\nimport os, sys\nopen({str(tmp_path / 'given')!r}, 'a').write(repr(sys.argv) + '\\n')\nos.execvp('/usr/bin/setsid', sys.argv)\n"
    )
    recorder.chmod(0o755)
    code = r"""
    exec 3>/dev/null
    NB_DOWNLOADS_PROXY=http://anna:CANARY-proxy@proxy.example.com:3128
    ENVIRONMENT=$1 NOTEBOOK_PYTHON=$1/python
    read_package_environment
    read_own_package_environment
    PATH=$1:$PATH
    run_program "${PROXY[@]}" LAST='a b=c' bash -c 'env >"$1/environment"' x "$1"
    run_program bash -c 'exit 0' A=b
    printf %s "${UV_DEFAULT_INDEX-}${http_proxy-}${LAST-}" >&2
    """
    pip = tmp_path / "python"
    pip.write_text("#!/bin/sh\necho \"global.index-url='https://anna:CANARY-index@index.example.com/simple'\"\n")
    pip.chmod(0o755)
    done = run(parts.step("packages", "user") + code, str(tmp_path), scope="user")
    assert (done.returncode, done.stderr) == (0, b""), "nothing of it stays in the script's own"
    first, second = (tmp_path / "given").read_text().splitlines()
    assert ast.literal_eval(first)[1:] == ["--", "bash", "-c", 'env >"$1/environment"', "x", str(tmp_path)]
    assert ast.literal_eval(second)[1:] == ["--", "bash", "-c", "exit 0", "A=b"]
    found = (tmp_path / "environment").read_text().splitlines()
    for line in (
        "UV_DEFAULT_INDEX=https://anna:CANARY-index@index.example.com/simple",
        "http_proxy=http://anna:CANARY-proxy@proxy.example.com:3128",
        "LAST=a b=c",
    ):
        assert line in found


def test_other_exit_codes_may_be_right() -> None:
    done = run("run_program --accept '0 5' env X=y bash -c 'echo $X; exit 5'; printf %s \"$EXIT_CODE\" >&2")
    assert done.stderr == b"5" and json.loads(done.stdout)["text"] == "y"
