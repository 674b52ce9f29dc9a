"""The generated parts of docs/: they are what the models, click, and the schemas have now, and they are complete."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from nbserver.cli.program import cli
from tests.checkout import CHECKOUT
from tests.formats import schema
from tests.markdown_code import code_lines
from tools.pages import commands, formats, inventory, parts, reference

DOCS = CHECKOUT / "docs"
PAGES = {page.name: page.read_text("utf-8") for page in sorted(DOCS.glob("*.md"))}


def test_no_page_is_stale() -> None:
    assert not [page.name for page in reference.stale(DOCS)], "run: tools/reference"


def test_every_part_is_on_exactly_one_page() -> None:
    assert sorted(name for text in PAGES.values() for name in parts.names(text)) == sorted(reference.PARTS)


def test_a_stale_page_is_found_and_only_its_part_is_written(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A page\n\n<!-- generated: fields of run -->\n\nold\n\n<!-- end -->\n\nBy hand.\n", "utf-8")
    text = reference.stale(tmp_path)[page]
    assert "old" not in text and "| `operator` |" in text and text.endswith("<!-- end -->\n\nBy hand.\n")
    page.write_text(text, "utf-8")
    assert not reference.stale(tmp_path)


def test_a_part_that_nothing_generates_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("<!-- generated: weather -->\n<!-- end -->\n", "utf-8")
    with pytest.raises(KeyError, match="weather"):
        reference.stale(tmp_path)


@pytest.mark.parametrize("kind", inventory.KINDS)
def test_every_key_says_what_it_sets_and_what_it_may_be(kind: str) -> None:
    model = inventory.KINDS[kind]
    found = list(inventory.rows(model, model.__name__))
    assert len(found) > 15 and all(meaning and value for _, meaning, value, _ in found)
    assert not [key for key, *words in found if any("(default" in word for word in words)]


def test_the_documented_keys_are_those_of_the_schema() -> None:
    documented = {
        row[0].strip("`") for name in ("Windows", "Linux") for row in inventory.rows(inventory.KINDS[f"keys of {name} hosts"], "")
    }
    definitions = schema("inventory")["$defs"]
    keys = set()
    for key, value in definitions["host"]["properties"].items():
        below = definitions.get(value.get("$ref", "").rpartition("/")[2], {}).get("properties", {})
        keys |= {f"{key}.{name}" for name in below} if below and not key.endswith("password") else {key}
    assert documented == keys


def test_defaults_are_written_as_in_the_inventory() -> None:
    rows = {row[0]: row[3] for row in inventory.rows(inventory.KINDS["keys of Windows hosts"], "")}
    expected = {
        "address": "required",
        "tls": "`true`",
        "port": "5986 with `tls = true`, else 5985; 22 over SSH",
        "skip": "`[]`",
        "notebook.port": "`9999`",
    }
    expected["notebook.directory"] = "`'%ProgramData%\\nbserver\\notebooks'`"
    expected["proxy"] = ""
    assert {key: rows[f"`{key}`"] for key in expected} == expected


def test_every_field_of_a_format_says_what_it_is() -> None:
    undescribed = []
    for name in (name for name in reference.PARTS if name.startswith("fields of ")):
        rows = [line.split(" | ") for line in reference.PARTS[name]().splitlines()[2:]]
        undescribed += [f"{name}: {row[0]}" for row in rows if not row[-1].strip(" |")]
    assert not undescribed
    assert all(line.strip("| ").rpartition("|")[2].strip() for line in formats.events().splitlines())


def test_a_table_escapes_what_would_end_a_cell() -> None:
    assert parts.table(("A", "B"), [("`x|y`", "")]) == "| A | B |\n| --- | --- |\n| `x\\|y` |  |\n"


def test_every_command_is_documented_with_all_its_options() -> None:
    text = commands.details()
    for path, command in leaves(cli, "nbserver"):
        section = text.partition(f"### {path}\n")[2].partition("\n### ")[0]
        options = [name for option in command.params if isinstance(option, click.Option) and not option.hidden for name in option.opts]
        assert section and all(f"`{name}`" in section for name in options), path
        assert f"[`{path}`](#{path.replace(' ', '-')})" in commands.overview()


def leaves(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        return [(path, command)]
    return [found for name, below in command.commands.items() for found in leaves(below, f"{path} {name}")]


# At the beginning of a line, or where a shell, a pipeline, or a unit expects a command; up to what ends it.
CALL = re.compile(
    r"(?:^ *|&& |; |run: |bash: |ExecStart=|-Argument '|/tr \")(?:[^\s\"']*[/\\])?(?:nbserver(?:\.exe)? |(?<='))((?:(?!&&|[|>;#\"'`)]| {2})[^\n])+)"
)


def commands_in_code(text: str) -> list[str]:
    """Return the arguments of each call of nbserver in the code of a page."""
    return [arguments for arguments, _ in calls_in_code(text)]


def calls_in_code(text: str) -> list[tuple[str, bool]]:
    """Return the arguments of each call of nbserver in the code of a page, and whether they end with their line."""
    code = code_lines(text)
    lines = [line.rstrip() for number, line in enumerate(text.splitlines()) if number in code]
    return [(found[1].strip(), found.end() == len(line)) for line in lines for found in CALL.finditer(line)]


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if commands_in_code(text)])
def test_a_call_of_nbserver_on_a_page_has_a_command_and_options_that_exist(page: str) -> None:
    known = dict(leaves(cli, "nbserver"))
    for call in commands_in_code(PAGES[page]):
        words = call.split()
        path = next((path for path in (f"nbserver {' '.join(words[:length])}" for length in (2, 1)) if path in known), "")
        assert path, f"nbserver {call}"
        options = {name for option in known[path].params if isinstance(option, click.Option) for name in option.opts}
        assert {word for word in words if re.match(r"--?[a-z]", word)} <= options, f"nbserver {call}"


@pytest.mark.parametrize("page", [name for name, text in PAGES.items() if commands_in_code(text)])
def test_no_call_of_nbserver_on_a_page_is_broken_into_two_lines(page: str) -> None:
    take_value = {
        name
        for _, command in leaves(cli, "nbserver")
        for option in command.params
        if isinstance(option, click.Option) and not option.is_flag
        for name in option.opts
    }
    assert "--openssl-index" in take_value
    assert [call for call, is_whole_line in calls_in_code(PAGES[page]) if is_whole_line and call.split()[-1] in take_value] == []


def test_a_wrong_call_on_a_page_would_be_found() -> None:
    text = "Run\n\n    x && .venv/bin/nbserver plan web --frobnicate > y  # nbserver z\n    -Argument 'apply lab'\n    a\\nbserver.exe up\n"
    assert commands_in_code(text) == ["plan web --frobnicate", "apply lab", "up"]
    assert calls_in_code("    nbserver init --user 'a b'\n    nbserver plan -i\n") == [("init --user", False), ("plan -i", True)]
