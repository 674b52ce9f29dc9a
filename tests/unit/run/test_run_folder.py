"""Where a run is that a person names by its ID."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nbserver.base import file_lock
from nbserver.run import evidence_log, run_folder
from nbserver.run.chain import Head

RUN = "20261122T171033Z-7ab115"


@pytest.mark.parametrize("system", ["win32", "linux"])
def test_processes_on_windows_write_to_the_log_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, system: str) -> None:
    """There, to append is to look for the end and then to write. And a folder of mode 0700 that an administrator creates is closed to the user."""
    said: list[object] = []
    mkdir = os.mkdir

    @contextmanager
    def locked(path: Path, seconds: float) -> Iterator[None]:
        said.append("locked")
        yield
        said.append("free")

    def recorded(path: Path, mode: int = 0o777) -> None:
        said.append(oct(mode))
        mkdir(path, mode)

    monkeypatch.setattr(evidence_log.sys, "platform", system)
    monkeypatch.setattr(evidence_log, "default_path", lambda: tmp_path / "log" / "runs.jsonl")
    monkeypatch.setattr(evidence_log, "_write_system_log", lambda text: said.append("written"))
    monkeypatch.setattr(file_lock, "locked", locked)
    monkeypatch.setattr(os, "mkdir", recorded)
    assert not evidence_log.write(RUN, "apply", "anna@desk", tmp_path, Head(1, "0" * 64))
    assert said == (["0o777", "locked", "free", "written"] if system == "win32" else ["0o700", "written"])


def test_a_run_that_is_not_here_is_where_the_log_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after `nbserver up`, whose runs are in the state folder of the user."""
    elsewhere, here = tmp_path / "state" / "nbserver-runs" / RUN, tmp_path / "nbserver-runs" / RUN
    elsewhere.mkdir(parents=True)
    (elsewhere / "run.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(evidence_log, "default_path", lambda: tmp_path / "log" / "runs.jsonl")
    monkeypatch.setattr(evidence_log, "_write_system_log", lambda text: None)
    assert run_folder.of(RUN, None) == here.relative_to(tmp_path)
    assert not evidence_log.write(RUN, "apply", "anna@desk", elsewhere, Head(1, "0" * 64))
    assert run_folder.of(RUN, None) == elsewhere
    assert run_folder.of(RUN, Path("other")) == Path("other", RUN) and run_folder.of(f"./{RUN}/", None) == Path(RUN)
    here.mkdir(parents=True)
    assert run_folder.of(RUN, None) == here.relative_to(tmp_path)
