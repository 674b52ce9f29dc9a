"""Options that are set by environment variables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from nbserver.cli import program
from nbserver.cli.output import Output, output_options
from nbserver.cli.variables import ELSEWHERE
from nbserver.run import operation
from nbserver.run.batches import Amount, Policy
from nbserver.run.options import Options

INVENTORY = """
[hosts.lin1]
system = "linux"
address = "lin1.example"
user = "admin"
notebook.password = { env = "NOTEBOOK_PASSWORD" }
"""


def every_option() -> list[click.Option]:
    found: list[click.Option] = []
    for command in (command for commands in program.SECTIONS.values() for command in commands):
        leaves = command.commands.values() if isinstance(command, click.Group) else [command]
        found += [option for leaf in leaves for option in leaf.params if isinstance(option, click.Option)]
    return found


def test_every_option_has_a_variable() -> None:
    options = [option for option in every_option() if option.name not in ELSEWHERE]
    names = [(option.envvar or [""])[0] for option in options]
    assert len(names) == len(set(names)) > 80
    assert {"NBSERVER_PLAN_FORKS", "NBSERVER_CERTIFICATE_INSTALL_CSR", "NBSERVER_HASH_PASSWORD_SALT"} < set(names)


def test_a_variable_of_several_commands_takes_the_same_kind_of_value_in_all_of_them() -> None:
    kinds: dict[str, set[tuple[bool, bool, str]]] = {}
    for option in every_option():
        for name in (option.envvar or ())[1:]:
            kinds.setdefault(name, set()).add((option.is_flag, option.multiple, type(option.type).__name__))
    assert {"NBSERVER_FORKS", "NBSERVER_INVENTORY", "NBSERVER_JSON"} < set(kinds)
    assert {name: found for name, found in kinds.items() if len(found) > 1} == {}


@pytest.fixture
def given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Options]:
    """The options of each run that a command would start, in a folder with an inventory."""
    found: list[Options] = []

    def operate(mode: Any, inventory: Any, hosts: Any, options: Options, ask: Any, view: Any, past: Any) -> dict[str, Any]:
        found.append(options)
        return {}

    monkeypatch.setattr(operation, "operate", operate)
    (tmp_path / "site.toml").write_text(INVENTORY, "utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NBSERVER_INVENTORY", "site.toml")
    return found


def run(*arguments: str) -> None:
    program.cli.main(list(arguments), standalone_mode=False)


def test_that_of_the_command_counts_before_that_of_all_commands(given: list[Options], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBSERVER_FORKS", "3")
    monkeypatch.setenv("NBSERVER_PLAN_FORKS", "4")
    run("plan", "lin1")
    run("undo", "lin1")
    run("plan", "lin1", "--forks", "5")
    monkeypatch.setenv("NBSERVER_FORKS", "")
    monkeypatch.setenv("NBSERVER_UNDO_RUNS", "elsewhere")
    run("undo", "lin1")
    assert [options.forks for options in given] == [4, 3, 5, Options().forks]
    assert [options.runs for options in given] == [None, None, None, Path("elsewhere")]


def test_run_json_names_the_variables_that_counted(given: list[Options], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NBSERVER_FORKS", "3")
    monkeypatch.setenv("NBSERVER_KNOWN", "other.known")
    monkeypatch.setattr("sys.argv", ["nbserver", "plan", "lin1", "--known", "mine.known"])
    run("plan", "lin1", "--known", "mine.known")
    assert given[0].command == ("NBSERVER_INVENTORY=site.toml", "NBSERVER_FORKS=3", "plan", "lin1", "--known", "mine.known")


@pytest.mark.parametrize(("name", "value"), [("NBSERVER_FORKS", "0"), ("NBSERVER_PLAN_FORKS", "many"), ("NBSERVER_JSON", "perhaps")])
def test_a_bad_value_is_refused_and_the_variable_named(
    given: list[Options], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["nbserver", "plan", "lin1"])
    with pytest.raises(SystemExit) as exit:
        program.main()
    assert exit.value.code == 2 and given == []
    assert f"Invalid value for {name}: " in capsys.readouterr().err


def test_the_order_of_hosts_is_one_option_of_a_run(given: list[Options], monkeypatch: pytest.MonkeyPatch) -> None:
    run("plan", "lin1", "--canary", "lin1", "--canary", "w*", "--serial", "10%", "--max-failures", "0")
    monkeypatch.setenv("NBSERVER_CANARY", "lin1 lin2")
    run("undo", "lin1", "--serial", "3")
    assert [options.policy for options in given] == [
        Policy(("lin1", "w*"), Amount(10, is_percentage=True), Amount(0)),
        Policy(("lin1", "lin2"), Amount(3)),
    ]


@pytest.mark.parametrize(
    ("option", "value"), [("--serial", "0"), ("--serial", "many"), ("--max-failures", "-1"), ("--max-failures", "101%")]
)
def test_an_amount_that_is_none(given: list[Options], option: str, value: str) -> None:
    with pytest.raises(click.BadParameter, match=r"must be a number of hosts from [01], or a percentage such as 25%"):
        run("plan", "lin1", f"{option}={value}")
    assert not given


def test_one_kind_of_output_on_the_command_line_counts_before_the_variables_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Output] = []

    @click.command()
    @output_options
    def command(output: Output) -> None:
        shown.append(output)

    monkeypatch.setenv("NBSERVER_QUIET", "1")
    for option in command.params:
        option.envvar = f"NBSERVER_{str(option.name).upper()}"
    for arguments in ([], ["--verbose"], ["--json"], ["--quiet", "--json"]):
        command.main(arguments, standalone_mode=False)
    assert [(output.as_json, output.quiet, output.verbose) for output in shown] == [
        (False, True, False),
        (False, False, True),
        (True, False, False),
        (True, True, False),
    ]
