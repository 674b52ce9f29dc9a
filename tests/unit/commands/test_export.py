"""`nbserver export`: what is written and listed, and that nothing is written if a host cannot be exported."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nbserver.cli import export as export_command
from nbserver.cli.program import cli
from nbserver.commands import render
from nbserver.inventory import reader
from tests.formats import validate

INVENTORY = """\
[defaults]
notebook.password = { env = "N" }
[hosts.win1]
system = "windows"
address = "win1.example.com"
[hosts.lin1]
system = "linux"
address = "192.0.2.7"
user = "root"
[groups.all]
hosts = ["win1", "lin1"]
notebook.public_url = "https://notebooks.westeurope.cloudapp.azure.com"
azure.location = "westeurope"
azure.dns_label = "notebooks"
azure.sources = ["192.0.2.0/24"]
"""


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    file = tmp_path / "nbserver.toml"
    file.write_text(INVENTORY, encoding="utf-8")
    return file


def export(inventory: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["export", *arguments, "-i", str(inventory), "-o", str(inventory.parent / "out")])


def rendered(inventory: Path) -> dict[str, str]:
    """The SHA-256 of each script, as `nbserver render` writes it."""
    files = render.files(list(reader.load(inventory).hosts.values()))
    return {Path(name).stem: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def test_what_another_tool_cannot_send_is_a_warning(inventory: Path) -> None:
    (inventory.parent / "host.pfx").write_text("")
    own = 'certificate.pfx = "host.pfx"\npackages.index_url = "https://p.example.com/"\npackages.index_user = "ci"\n'
    text = INVENTORY.replace(
        'address = "win1.example.com"\n', f'address = "win1.example.com"\n{own}packages.index_password = {{ env = "P" }}\n'
    )
    inventory.write_text(text.replace('user = "root"\n', 'user = "root"\ndownloads.source = "push"\ndownloads.bundle = "bundle"\n'))
    said = export(inventory, "ansible", "all").output
    assert (
        "win1: the exported script does not contain the data that nbserver apply sends for these settings: packages.index_password, certificate."
        in said
    )
    assert (
        'lin1: the exported script does not contain the data that nbserver apply sends for these settings: downloads.source = "push".'
        in said
    )


def test_what_a_tool_does_not_do_for_a_host_is_a_warning(inventory: Path) -> None:
    text = INVENTORY.replace('system = "windows"\n', 'system = "windows"\nwindows = "2022"\n')
    inventory.write_text(text.replace('user = "root"\n', 'user = "root"\nazure.image = "opensuse-15.6"\n'))
    assert "win1: Intune runs remediations only on Windows 10 and 11" in export(inventory, "intune", "win1").output
    said = export(inventory, "azure", "all")
    assert said.exit_code == 0 and "lin1: the publisher of the image opensuse-15.6 has released no fixes" in said.output
    assert "win1:" not in said.output and "win1:" not in export(inventory, "gpo", "win1").output


def test_the_default_limit_of_user_data_is_that_of_azure() -> None:
    """Of the schema for virtual machines, about osProfile.customData: "The maximum length of the binary array is 65535 bytes"."""
    (limit,) = (one.default for one in export_command.cloud_init.params if one.name == "limit")
    assert limit == 65_535


def test_azure(inventory: Path) -> None:
    answer = export(inventory, "azure", "all", "--json")
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    validate("answer", found)
    hashes = {file["host"]: file["script_sha256"] for file in found["files"] if file["script_sha256"]}
    assert hashes == {name: digest for name, digest in rendered(inventory).items() if name != "manifest"}
    for file in found["files"]:
        assert hashlib.sha256(Path(file["file"]).read_bytes()).hexdigest() == file["sha256"]
        assert file["limit"] is None or file["bytes"] < file["limit"]


@pytest.mark.parametrize(
    ("tool", "host", "names"),
    [
        ("cloud-init", "lin1", ["lin1.sh", "lin1.user-data"]),
        ("ansible", "all", ["files/lin1.sh", "files/win1.ps1", "hosts.json", "nbserver-linux.yml", "nbserver-windows.yml"]),
        ("intune", "win1", ["win1.detect.ps1", "win1.remediate.ps1"]),
        ("gpo", "win1", ["win1.startup.ps1"]),
    ],
)
def test_other_tools(inventory: Path, tool: str, host: str, names: list[str]) -> None:
    more = ["--script-url", "https://files.example.com/{file}"] if tool == "cloud-init" else []
    answer = export(inventory, tool, host, *more, "--json")
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    validate("answer", found)
    out = inventory.parent / "out"
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()) == names
    hashes = rendered(inventory)
    assert all(file["script_sha256"] == hashes[file["host"]] for file in found["files"] if file["host"])


def test_a_tool_for_one_system_refuses_the_other(inventory: Path) -> None:
    assert getattr(export(inventory, "gpo", "lin1").exception, "code", "") == "export-not-for-host"
    assert getattr(export(inventory, "cloud-init", "win1").exception, "code", "") == "export-not-for-host"
    assert getattr(export(inventory, "cloud-init", "lin1").exception, "code", "") == "user-data-too-large"


def test_sizes_are_listed_next_to_limits(inventory: Path) -> None:
    lines = export(inventory, "azure", "win1").output.splitlines()
    assert any(" bytes of 262,144 (Azure Run Command), script sha256 " in line for line in lines)


def test_nothing_is_written_if_a_host_cannot_be_exported(inventory: Path) -> None:
    inventory.write_text(INVENTORY.replace('user = "root"', 'user = "root"\nazure.dns_label = "other"'), encoding="utf-8")
    answer = export(inventory, "azure", "all")
    assert (answer.exit_code, getattr(answer.exception, "code", "")) == (1, "azure-public-url")
    assert not (inventory.parent / "out").exists()


@pytest.mark.parametrize(
    ("tool", "host", "name"),
    [("ansible", "all", "hosts.json"), ("gpo", "win1", "win1.startup.ps1"), ("azure", "lin1", "lin1.azure.json")],
)
def test_another_file_is_not_replaced(inventory: Path, tool: str, host: str, name: str) -> None:
    """An inventory can have its hosts in a file hosts.json."""
    out = inventory.parent / "out"
    out.mkdir()
    (out / name).write_text('[{"name": "win1"}]\n')
    assert getattr(export(inventory, tool, host).exception, "code", "") == "output-is-other-file"
    assert [path.name for path in out.iterdir()] == [name] and (out / name).read_text() == '[{"name": "win1"}]\n'


def test_an_earlier_export_is_replaced(inventory: Path) -> None:
    user_data = ["cloud-init", "lin1", "--limit-bytes"]
    for arguments in ([*user_data, "300000"], [*user_data, "130000"], [*user_data, "300000"], ["ansible", "all"], ["azure", "all"]):
        for _ in range(2):
            assert export(inventory, *arguments).exit_code == 0, arguments


def test_this_machine_is_refused(inventory: Path) -> None:
    answer = export(inventory, "azure", "local")
    assert getattr(answer.exception, "code", "") == "export-not-for-host"
