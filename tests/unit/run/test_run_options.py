"""The options --thorough and --repair reach the host next to the script, whose hashes stay as they were approved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbserver.cli import program
from nbserver.run import operation
from nbserver.run.envelope import Envelope
from nbserver.run.options import Options
from tests.formats import validate
from tests.unit.run.test_run_passwords import Site, site

__all__ = ["site"]


def lines(site: Site) -> set[str]:
    return {"thorough yes", "repair yes"} & set(site.sent["lin1"])


def test_the_envelope_has_a_line_for_each(site: Site) -> None:
    site.run("test", "lin1")
    assert lines(site) == set()
    site.run("test", "lin1", thorough=True)
    assert lines(site) == {"thorough yes"}
    site.run("apply", "lin1", repair=True, thorough=True)
    assert lines(site) == {"thorough yes", "repair yes"}
    validate("envelope", Envelope("apply", "run-1", thorough=True, repair=True).lines())


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["plan"], (False, False)),
        (["plan", "--thorough"], (True, False)),
        (["apply", "--repair"], (False, True)),
        (["apply", "--thorough"], (True, False)),
    ],
)
def test_the_commands_take_them(site: Site, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: tuple[bool, bool]) -> None:
    given: list[Options] = []

    def operate(mode: Any, inventory: Any, hosts: Any, options: Options, ask: Any, view: Any, past: Any) -> dict[str, Any]:
        given.append(options)
        return {}

    monkeypatch.setattr(operation, "operate", operate)
    inventory: Path = site.folder / "nbserver.toml"
    program.cli.main([*arguments, "lin1", "-i", str(inventory), "--json"], standalone_mode=False)
    assert [(options.thorough, options.repair) for options in given] == [expected]
