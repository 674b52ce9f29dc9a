"""What `nbserver --help` prints."""

from __future__ import annotations

import re

from click.testing import CliRunner

from nbserver.cli.program import SECTIONS, cli


def test_every_command_is_in_a_section_with_a_summary_that_is_not_cut_off() -> None:
    shown = CliRunner().invoke(cli, ["--help"], terminal_width=80).output
    assert all(len(line) <= 80 for line in shown.splitlines())
    for title, commands in SECTIONS.items():
        assert f"\n{title}:\n" in shown
        for command in commands:
            summary = (command.help or "").split("\n")[0]
            assert len(summary) <= 60 and not summary.endswith(".")
            assert re.search(rf"^  {command.name} +{re.escape(summary)}$", shown, re.MULTILINE)
    assert sorted(cli.commands) == sorted(str(command.name) for commands in SECTIONS.values() for command in commands)


def test_the_exit_codes_are_listed_one_per_line() -> None:
    shown = CliRunner().invoke(cli, ["--help"], terminal_width=80).output
    assert re.findall(r"^    ([0-9])  \S", shown, re.MULTILINE) == ["0", "1", "2", "3", "4", "5"]
