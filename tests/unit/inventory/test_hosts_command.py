"""Hosts that a program prints, and which commands run it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nbserver.base.errors import InventoryError
from nbserver.cli.program import cli
from nbserver.inventory.reader import load, load_for

DEFAULTS = "[defaults]\nsystem = 'linux'\nuser = 'u'\nnotebook.password = { prompt = true }\n[groups.lab]\nport = 2222\n"
HOSTS = [{"name": "a", "address": "x", "groups": ["lab"]}, {"name": "b", "address": "y"}]


def write(folder: Path, code: str, rest: str = DEFAULTS) -> Path:
    """An inventory whose hosts come from a Python program, which also notes that it ran."""
    program = folder / "list.py"
    program.write_text(f"open({str(folder / 'ran')!r}, 'a').write('x')\n{code}\n", "utf-8")
    path = folder / "nbserver.toml"
    path.write_text(f"hosts_command = {json.dumps([sys.executable, str(program)])}\n{rest}", "utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InventoryError) as error:
        load(path)
    return str(error.value)


def nbserver(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, [*arguments, "-i", str(path)])


@pytest.mark.parametrize(
    "printed", [json.dumps(HOSTS), "name,address,groups\na,x,lab\nb,y,\n", '{"lab": {"hosts": ["a"]}, "all": {"hosts": ["b"]}}']
)
def test_the_forms(tmp_path: Path, printed: str) -> None:
    found = load_for(write(tmp_path, f"print({printed!r})"), ["*"])
    assert [(host.name, host.port) for host in found.hosts.values()] == [("a", 2222), ("b", 22)]  # type: ignore[union-attr]


def test_what_is_wrong(tmp_path: Path) -> None:
    inventory = f"{tmp_path / 'nbserver.toml'}:1: hosts_command"
    name = Path(sys.executable).stem
    found = refusal(write(tmp_path, "import sys; print('hunter2'); sys.exit('not logged in')"))
    advice = "Run the command yourself as the same user, and check its output and exit code"
    assert found == f"{inventory} failed: {name} exited with code 1: not logged in. {advice}"
    assert refusal(write(tmp_path, "print('name,address\\na')")).startswith(
        f"output of {Path(sys.executable).name}:2: expected 2 cells, as in the header, got 1"
    )
    found = refusal(write(tmp_path, 'print(\'[{"name": "a"}]\')'))
    assert (
        found
        == f"output of {Path(sys.executable).name}: [hosts.a] address: this key is required; expected a DNS name or an IP address, without a scheme or port"
    )
    path = write(tmp_path, "", "")
    for value in ("'hosts'", "[]", "['']", "[1]"):
        path.write_text(f"hosts_command = {value}\n{DEFAULTS}", "utf-8")
        assert refusal(path).startswith(f"{inventory}: expected an array with a program and its arguments")
    path.write_text(f"hosts_command = ['no-such-program-hunter2']\n{DEFAULTS}", "utf-8")
    assert refusal(path) == (
        f"{inventory} failed: the program that the inventory specifies was not found on this workstation. "
        "Run the command yourself as the same user, and check its output and exit code"
    )
    path.write_text(f"hosts_from = 'x'\nhosts_command = ['x']\n{DEFAULTS}", "utf-8")
    assert refusal(path).endswith("hosts_command: cannot be combined with hosts_from; use one or the other")


@pytest.mark.parametrize("program", ["bin/list", "./list", "bin/../list"])
def test_a_program_next_to_the_inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Never one of the same name in the current folder."""
    for folder, host in (("site", "a"), ("current", "other")):
        for place in (tmp_path / folder, tmp_path / folder / "bin"):
            place.mkdir()
            (place / "list").write_text(f"#!/bin/sh\necho name,address; echo {host},x\n", "utf-8")
            (place / "list").chmod(0o755)
    path = tmp_path / "site" / "nbserver.toml"
    path.write_text(f"hosts_command = ['{program}']\n{DEFAULTS}", "utf-8")
    monkeypatch.chdir(tmp_path / "current")
    assert list(load(path).hosts) == ["a"]


def test_a_home_folder_that_does_not_exist(tmp_path: Path) -> None:
    path = tmp_path / "nbserver.toml"
    path.write_text(f"hosts_command = ['~no-such-user/list']\n{DEFAULTS}", "utf-8")
    assert "hosts_command failed: the program that the inventory specifies was not found on this workstation. Run the command" in refusal(
        path
    )


def test_render_does_not_run_it(tmp_path: Path) -> None:
    path = write(tmp_path, f"print({json.dumps(HOSTS)!r})")
    found = nbserver(path, "render", "a", "-o", str(tmp_path / "out"))
    assert isinstance(found.exception, InventoryError) and not (tmp_path / "ran").exists()
    assert 'nbserver hosts "*" --listed --json > hosts.json' in str(found.exception) and "hosts_from" in str(found.exception)


def test_this_machine_needs_no_other_hosts(tmp_path: Path) -> None:
    path = write(tmp_path, "print('[]')", DEFAULTS + "[groups.g]\nhosts = ['of-program']\n")
    assert load_for(path, ["local"]).select(["local"])[0].name == "local"
    assert not (tmp_path / "ran").exists()


def test_hosts_lists_them(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        f"print({json.dumps(HOSTS)!r})",
        DEFAULTS + "[hosts.c]\naddress = 'z.example.com'\nnotebook.port = 8443\n[groups.all]\nhosts = ['c']\ngroups = ['lab']\n",
    )
    found = nbserver(path, "hosts", "*")
    assert found.exit_code == 0
    assert [line.split() for line in found.output.splitlines()] == [
        ["NAME", "SYSTEM", "ADDRESS", "GROUPS"],
        ["c", "linux", "z.example.com", "all"],
        ["a", "linux", "x", "lab", "all"],
        ["b", "linux", "y"],
    ]
    assert [line.split()[0] for line in nbserver(path, "hosts", "all,!a").output.splitlines()] == ["NAME", "c"]
    lines = [json.loads(line) for line in nbserver(path, "hosts", "*", "--json").output.splitlines()]
    assert lines[0] == {"name": "c", "groups": ["all"], "system": "linux", "address": "z.example.com", "notebook": {"port": 8443}}


def test_the_list_can_be_read_from_a_file(tmp_path: Path) -> None:
    path = write(tmp_path, f"print({json.dumps(HOSTS)!r})", DEFAULTS + "[hosts.c]\naddress = 'z'\n[groups.all]\nhosts = ['c', 'a']\n")
    before = load(path)
    (tmp_path / "hosts.json").write_text(nbserver(path, "hosts", "*", "--listed", "--json").output, "utf-8")
    path.write_text(path.read_text("utf-8").replace(path.read_text("utf-8").partition("\n")[0], 'hosts_from = "hosts.json"'), "utf-8")
    after = load(path)
    assert after.hosts == before.hosts and {name: set(hosts) for name, hosts in after.groups.items()} == {
        name: set(hosts) for name, hosts in before.groups.items()
    }
    assert nbserver(path, "render", "*", "-o", str(tmp_path / "out")).exit_code == 0
