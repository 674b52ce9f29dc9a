"""The command line in French and Japanese: help, errors about arguments, and errors of nbserver."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nbserver.base import folding
from tests.unit.language.conftest import Run


def test_help_fits_in_80_columns(run: Run) -> None:
    for code, heading in (("fr", "Utilisation\u00a0:"), ("ja", "\u4f7f\u3044\u65b9:")):
        for command in ([], ["verify"], ["audit"], ["certificate"]):
            ended, out, _ = run("--lang", code, *command, "--help")
            assert ended == 0
            assert heading in out.splitlines()[0]
            assert "Options:" not in out and "Show this message" not in out
            assert [line for line in out.splitlines() if folding.width(line) > 80] == []


def test_an_error_about_an_argument(run: Run) -> None:
    code, _, error = run("plan", "--forks", "0", "x", "--lang", "ja")
    assert code == 2
    usage, how, empty, what = error.splitlines()
    assert usage.startswith("\u4f7f\u3044\u65b9: ") and usage.endswith("nbserver plan [OPTIONS] HOST...")
    assert how.startswith("\u30d8\u30eb\u30d7") and "nbserver plan -h" in how and not empty
    assert (
        what
        == "\u30a8\u30e9\u30fc: '--forks' \u306e\u5024\u304c\u7121\u52b9\u3067\u3059: 0 \u306f\u7bc4\u56f2 1<=x<=500 \u306b\u3042\u308a\u307e\u305b\u3093\u3002"
    )
    assert "La commande 'plna' n'existe pas." in run("--lang", "fr", "plna")[2]


def test_a_language_that_does_not_exist(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    code, _, error = run("plan", "x", "--lang", "de")
    assert (code, "'--lang': 'de' is not one of" in error) == (2, True)
    monkeypatch.setenv("NBSERVER_LANG", "de")
    assert "NBSERVER_LANG: 'de' is not one of" in run("plan", "x")[2]


def test_an_error_of_nbserver_has_the_same_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    english = run("plan", "x")
    monkeypatch.setenv("NBSERVER_LANG", "ja")
    japanese = run("plan", "x")
    assert english[:2] == japanese[:2] == (2, "")
    assert english[2] != japanese[2]
    assert japanese[2].startswith("nbserver: nbserver.toml: ")
    assert run("plan", "x", "--lang", "en") == english


def test_the_result_for_a_program_is_the_same(run: Run, tmp_path: Path) -> None:
    Path("nbserver.toml").write_text(
        '[hosts.a]\nsystem = "linux"\naddress = "192.0.2.1"\nuser = "root"\nnotebook.password = { env = "P" }\n'
    )
    outputs = {run("hosts", "a", "--json", "--lang", code)[:2] for code in ("en", "fr", "ja")}
    assert len(outputs) == 1
    assert json.loads(next(iter(outputs))[1].splitlines()[0])
