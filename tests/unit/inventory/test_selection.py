"""The language of HOST and --limit."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from click.testing import CliRunner

from nbserver.base.errors import InventoryError
from nbserver.cli.program import cli
from nbserver.inventory.selection import Selection, includes_local, is_only_local, limited

FOUND = Selection(
    Path("nbserver.toml"), ("web1", "Web2", "db1", "db2", "old"), {"web": ("web1", "Web2"), "lab": ("Web2", "db2"), "none": ()}
)


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        ("web db1", "web1 Web2 db1"),
        ("web,db1", "web1 Web2 db1"),
        (" WEB2 , old", "Web2 old"),
        ("web|db1", "web1 Web2 db1"),
        ("web &lab", "Web2"),
        ("web,&lab", "Web2"),
        ("&lab web", "Web2"),
        ("* !lab", "web1 db1 old"),
        ("all", "web1 Web2 db1 db2 old"),
        ("All,!lab", "web1 db1 old"),
        ("local web1 &all", "web1"),
        ("!lab,!old", "web1 db1"),
        ("&web", "web1 Web2"),
        ("&web|db1 !lab", "web1 db1"),
        ("web db1 &lab|db* !web2", "db1"),
        ("*[12] !web[1,2]", "db1 db2"),
        ("local web1", "local web1"),
        ("local web1 !web1", "local"),
        ("* local !local", "web1 Web2 db1 db2 old"),
        ("local web1 &local", "local"),
        ("none", ""),
    ],
)
def test_marks_and_commas(patterns: str, names: str) -> None:
    assert FOUND.choose(patterns.split(" ") if not patterns.startswith(" ") else [patterns]) == names.split()


def test_a_host_or_a_group_can_have_the_name_all() -> None:
    assert Selection(FOUND.path, ("web1", "all"), {}).choose(["all"]) == ["all"]
    assert Selection(FOUND.path, ("web1", "db1"), {"all": ("db1",)}).choose(["all"]) == ["db1"]
    with pytest.raises(InventoryError, match='no host or group matches "all"'):
        Selection(FOUND.path, (), {}).choose(["all"])


def test_the_order_of_parts_does_not_matter() -> None:
    for parts in itertools.permutations(["web", "db*", "&lab|db1", "!db2"]):
        assert FOUND.choose(parts) == FOUND.choose([",".join(parts)]) == ["Web2", "db1"]


@pytest.mark.parametrize("pattern", ["", "!", "&", "web,", "!web3", "&labs", "web|x", "!x*", "*,!loc*"])
def test_what_matches_nothing_is_refused_also_behind_a_mark(pattern: str) -> None:
    with pytest.raises(InventoryError, match="no host or group matches"):
        FOUND.choose([pattern])


@pytest.mark.parametrize("patterns", [["web1", "!web"], ["web1", "&db*"], ["*", "&none"], ["web", "&local"]])
def test_no_host_left(patterns: list[str]) -> None:
    with pytest.raises(InventoryError, match="the patterns and options exclude every host"):
        FOUND.choose(patterns)


@pytest.mark.parametrize(
    ("patterns", "limits", "names"),
    [
        (["*"], ["web"], "web1 Web2"),
        (["web", "old"], ["lab", "old"], "Web2 old"),
        (["web", "old"], ["lab,old"], "Web2 old"),
        (["*", "!db1"], ["db*,!db2", "web1"], "web1"),
        (["web"], ["!web1"], "Web2"),
        (["*"], ["web", "&lab"], "Web2"),
        (["local", "web"], ["local"], "local"),
        (["web"], [], "web1 Web2"),
    ],
)
def test_limits(patterns: list[str], limits: list[str], names: str) -> None:
    assert FOUND.choose(limited(patterns, limits)) == names.split()


def test_an_empty_limit_is_not_ignored() -> None:
    with pytest.raises(InventoryError, match='no host or group matches ""'):
        FOUND.choose(limited(["*"], [""]))


def test_this_machine() -> None:
    assert includes_local(["web,LOCAL"]) and includes_local(["&local"]) and not includes_local(["!local", "web"])
    assert is_only_local(["local"]) and is_only_local(["local,Local"]) and not is_only_local([])
    assert not any(map(is_only_local, (["local", "web"], ["local", "!local"], ["!local"])))


def test_a_limit_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hosts = "".join(f"[hosts.{name}]\naddress = '{name}'\n" for name in ("a", "b", "c"))
    text = f"[defaults]\nsystem = 'linux'\nuser = 'u'\nnotebook.password = {{ env = 'N' }}\n{hosts}[groups.ab]\nhosts = ['a', 'b']\n"
    (tmp_path / "nbserver.toml").write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)

    def rendered(folder: str, *arguments: str) -> set[str]:
        result = CliRunner().invoke(cli, ["render", "-o", folder, *arguments])
        assert result.exit_code == 0, result.output
        return {path.stem for path in Path(folder).glob("*.sh")}

    assert rendered("one", "ab", "c", "--limit", "!b") == {"a", "c"}
    assert rendered("two", "*", "--limit", "ab,c", "--limit", "!a") == {"b", "c"}


def test_limits_are_not_joined_to_another_pattern() -> None:
    """Neither "ol[" nor "d]" matches a host, and "ol[|d]" would."""
    for limits in (["ol[", "d]"], ["d]", "ol["]):
        with pytest.raises(InventoryError, match="no host or group matches"):
            FOUND.choose(limited(["*"], limits))
