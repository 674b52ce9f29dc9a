"""An engine that does not begin is replaced; what a script does is never repeated. A shell stands in for the engine here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.powershell.engine import EngineError, Session, require_engine
from tests.powershell.start import EngineEnded, begun

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in for an engine is a POSIX shell")


def counted(tmp_path: Path, script: str) -> list[str]:
    """A program that counts its starts in the file `starts`; `$n` is the number of this one."""
    return ["/bin/sh", "-c", f"cd '{tmp_path}'; echo x >>starts; n=$(wc -l <starts); {script}"]


def starts(tmp_path: Path) -> int:
    return (tmp_path / "starts").read_text().count("x")


@pytest.mark.parametrize(("fault", "limit"), [("exit 5", 60), ("exec sleep 600", 3)], ids=["it ends", "it is silent"])
def test_one_that_does_not_begin_is_replaced(tmp_path: Path, fault: str, limit: float) -> None:
    engine = begun(counted(tmp_path, f"[ $n = 2 ] || {fault}; echo ready; read line; echo $line"), {}, limit)
    engine.input.write("hello\n")
    engine.input.flush()
    assert engine.output.readline() == "hello\n" and starts(tmp_path) == 2
    engine.close()
    assert engine.process.returncode == 0


def test_the_last_one_says_how_it_ended(tmp_path: Path) -> None:
    with pytest.raises(EngineEnded, match=r"exit code 5.*; wine: cannot start 3$"):
        begun(counted(tmp_path, "echo wine: cannot start $n >&2; exit 5"), {})
    assert starts(tmp_path) == 3


def test_one_that_has_begun_with_something_else_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(EngineEnded, match="'no engine"):
        begun(counted(tmp_path, "echo no engine; exit 1"), {})
    assert starts(tmp_path) == 1


def test_definitions_are_repeated_on_another_engine(pwsh: None) -> None:
    with Session() as session:
        session.keep("$One = 'one'")
        first = session._engine
        first.kill()
        session.keep("$Two = 'two'")
        assert session.run('"$One $Two"') == ["one two"] and session._engine is not first


def test_an_engine_that_ends_after_a_script_ran_fails_at_once(pwsh: None) -> None:
    with Session() as session:
        with pytest.raises(EngineError, match="of its own"):
            session.run("throw 'of its own'")
        first = session._engine
        for ask in (lambda: session.run("[Environment]::Exit(3)"), lambda: session.keep("$One = 'one'")):
            with pytest.raises(EngineEnded, match="exit code 3"):
                ask()
        assert session._engine is first


@pytest.fixture
def pwsh() -> None:
    require_engine()
