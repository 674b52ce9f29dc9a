"""Programs that print a secret: what comes back, what a failure says, and that nothing outlives its limits."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from nbserver.base.errors import SecretError, UsageError
from nbserver.catalog.resolver import uv
from nbserver.settings import program_output
from nbserver.settings.program_output import ProgramFailure, run
from nbserver.settings.secret import SecretReference, resolve

SECRET = "s3cret wörd"


def python(code: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code, *arguments)


def reason(code: str, *arguments: str, limit: int = 1000, seconds: float = 60) -> str:
    with pytest.raises(ProgramFailure) as error:
        run(python(code, *arguments), limit=limit, seconds=seconds)
    assert error.value.__cause__ is None
    return str(error.value)


def test_arguments_are_not_read_by_a_shell() -> None:
    assert run(python("import sys; print(sys.argv[1:])", "$HOME; *", "a b"), limit=1000).decode() == "['$HOME; *', 'a b']" + os.linesep


def test_standard_input_is_empty() -> None:
    assert run(python("import sys; print(repr(sys.stdin.read()))"), limit=1000).strip() == b"''"


def test_a_failure_shows_what_the_program_said_but_not_its_output() -> None:
    code = "import sys; print('hunter2'); print('\\x1b[31mnot signed\\n in\\x07' + 'x' * 999, file=sys.stderr); sys.exit(7)"
    found = reason(code, limit=5000)
    assert "exited with code 7: not signed /" in found and "hunter2" not in found and "\x1b" not in found and len(found) < 400
    assert reason("import sys; print('hunter2'); sys.exit(7)").endswith("exited with code 7 without a message")


def test_limits() -> None:
    begun = time.monotonic()
    assert "wrote more than 1000 bytes" in reason("while True: print('x' * 1000)")
    assert "wrote more than 1000 bytes" in reason("import sys\nwhile True: print('x' * 1000, file=sys.stderr)")
    assert "did not finish within 0.5 seconds" in reason("import time; time.sleep(100)", seconds=0.5)
    assert time.monotonic() - begun < 50
    assert run(python("print('x' * 999, end='')"), limit=1000) == b"x" * 999


@pytest.mark.skipif(os.name != "posix", reason="the programs are shell scripts")
def test_a_program_that_leaves_another_one_behind_is_not_waited_for(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(ProgramFailure, match="did not finish within"):
        run(["sh", "-c", "sleep 30 & echo x"], limit=1000, seconds=0.5)
    assert run(["sh", "-c", "sleep 30 >/dev/null & echo x"], limit=1000) == b"x\n"  # only standard error is still open
    assert time.monotonic() - begun < 20


def test_what_cannot_be_started_is_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ProgramFailure) as error:
        run(["hunter2"], limit=10)
    assert str(error.value) == "the program that the inventory specifies was not found on this workstation"
    if os.name == "posix":
        broken = tmp_path / "broken"
        broken.write_bytes(b"\x00\x01")
        broken.chmod(0o700)
        with pytest.raises(ProgramFailure, match=r"could not start broken \(Exec format error\)"):
            run([str(broken)], limit=10)


def test_windows_does_not_search_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "path").mkdir()
    (tmp_path / "here" / "op.CMD").write_text("")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(program_output, "WINDOWS", True)
    monkeypatch.setenv("PATH", os.pathsep.join(["", ".", str(tmp_path / "path")]))
    monkeypatch.setenv("PATHEXT", os.pathsep.join([".EXE", ".CMD"]))
    with pytest.raises(ProgramFailure, match="was not found"):
        run(["op"], limit=10)
    (tmp_path / "path" / "op.CMD").write_text("")
    assert program_output.found("op") == str(tmp_path / "path" / "op.CMD")
    (tmp_path / "path" / "op").write_text("#!/bin/bash\n")  # as the Azure CLI and npm have it, for other shells
    assert program_output.found("op") == str(tmp_path / "path" / "op.CMD")
    assert program_output.found("op.CMD") == str(tmp_path / "path" / "op.CMD")
    assert program_output.found(str(tmp_path / "path" / "op")) == str(tmp_path / "path" / "op.CMD")
    (tmp_path / "here" / "uv.EXE").write_text("")  # the program that resolves packages, and the one that signs
    monkeypatch.setattr(sys, "executable", str(tmp_path / "path" / "python.exe"))
    monkeypatch.setattr("sysconfig.get_path", lambda name, scheme="": str(tmp_path / ("own" if scheme else "all") / name))
    with pytest.raises(UsageError, match="requires uv"):
        uv.find()
    for place in ("own/scripts", "all/scripts", "path"):  # where pip puts uv for one user, and for all: often not on PATH
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / "uv.EXE").write_text("")
        assert uv.find() == str(tmp_path / place / "uv.EXE")


@pytest.mark.parametrize(
    ("command", "started"),
    [
        (["az.CMD", "--url", "https://x/?a=1&b=2"], '"az.CMD" "--url" "https://x/?a=1&b=2"'),
        (["C:\\a b\\az.bat", "C:\\x\\", "a b\\", ""], '"C:\\a b\\az.bat" "C:\\x\\\\" "a b\\\\" ""'),
        (["op.exe", "a&b"], ["op.exe", "a&b"]),
    ],
)
def test_a_batch_file_gets_its_arguments_whole(monkeypatch: pytest.MonkeyPatch, command: list[str], started: object) -> None:
    """Windows runs it with cmd.exe. tests/transports/test_local_windows.py does so."""
    monkeypatch.setattr(program_output, "WINDOWS", True)
    assert program_output._started(command) == started
    monkeypatch.setattr(program_output, "WINDOWS", False)
    assert program_output._started(command) == command


def secret(code: str) -> str:
    return resolve(SecretReference(command=python(code)), what="password", host="lin1", ask=None)


def test_the_output_is_the_secret() -> None:
    for printed, expected in ((SECRET, SECRET), (SECRET + "\n", SECRET), ("a\r\n", "a"), (" a \n\n", " a \n"), ("\ufeffa\n", "a")):
        assert secret(f"import sys; sys.stdout.buffer.write({printed!r}.encode())") == expected
    for code, message in (
        ("pass", "lin1: password: the command printed nothing"),
        ("print()", "the command printed nothing"),
        ("import sys; sys.stdout.buffer.write(b'hunter2\\xff')", "the output of the command is not UTF-8 text"),
        ("print('hunter2\\0')", "the output of the command is not UTF-8 text"),
        ("print('hunter2'); raise SystemExit('locked')", "exited with code 1: locked. Run the command yourself as the same user"),
    ):
        with pytest.raises(SecretError) as error:
            secret(code)
        assert message in str(error.value) and "hunter2" not in str(error.value) and error.value.exit_code == 2
