"""Groups in groups: their hosts, whose settings count, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbserver.base.errors import InventoryError
from nbserver.inventory.hosts import Inventory
from nbserver.inventory.reader import load

HOSTS = "[defaults]\nsystem = 'linux'\nuser = 'u'\nnotebook.password = { env = 'N' }\n"
HOSTS += "".join(f"[hosts.h{number}]\naddress = 'h{number}'\n" for number in range(1, 5))


def read(folder: Path, groups: str) -> Inventory:
    path = folder / "nbserver.toml"
    path.write_text(HOSTS + groups, "utf-8")
    return load(path)


def test_a_group_has_the_hosts_of_its_groups(tmp_path: Path) -> None:
    groups = "[groups.all]\ngroups = ['sites', 'Extra']\n[groups.sites]\nhosts = ['h4']\ngroups = ['north', 'south']\n"
    groups += "[groups.north]\nhosts = ['h2']\n[groups.south]\nhosts = ['h1', 'h2']\n[groups.extra]\nhosts = []\n"
    found = read(tmp_path, groups)
    assert found.groups == {"all": ("h4", "h2", "h1"), "sites": ("h4", "h2", "h1"), "north": ("h2",), "south": ("h1", "h2"), "extra": ()}
    assert [host.name for host in found.select(["all", "!north"])] == ["h1", "h4"]


@pytest.mark.parametrize("turned", [False, True])
def test_settings_of_an_inner_group_count_wherever_it_is_written(tmp_path: Path, turned: bool) -> None:
    tables = [
        "[groups.inner]\nhosts = ['h1']\nport = 2\n",
        "[groups.outer]\ngroups = ['inner']\nhosts = ['h2']\nport = 3\nnotebook.port = 4\n",
    ]
    hosts = read(tmp_path, "".join(reversed(tables) if turned else tables)).hosts
    assert [(host.port, host.notebook.port) for host in (hosts["h1"], hosts["h2"], hosts["h3"])] == [(2, 4), (3, 4), (22, 9999)]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("groups", "line", "words"),
    [
        ("[groups.a]\ngroups = ['a']\n", 14, "[groups.a] groups: the group contains itself: a > a"),
        (
            "[groups.x]\ngroups = ['b']\n[groups.a]\ngroups = ['c']\n[groups.b]\ngroups = ['a']\n[groups.c]\ngroups = ['b']\n",
            16,
            "[groups.a] groups: the group contains itself: a > c > b > a",
        ),
        (
            "[groups.a]\ngroups = ['bb']\n[groups.bbb]\nhosts = []\n",
            14,
            '[groups.a] groups: entry 1 is not the name of a group (did you mean "bbb"?); known groups: a, bbb',
        ),
        ("[groups.a]\ngroups = ['h1']\n", 14, "[groups.a] groups: entry 1 is not the name of a group; known groups: a"),
        ("[groups.a]\ngroups = 'b'\n", 14, "[groups.a] groups: expected an array of names, found text"),
        ("[groups.a]\ngroups = ['b', 'B']\n[groups.b]\nhosts = []\n", 14, '[groups.a] groups: "B" is listed twice'),
        ("[groups.a]\nport = 1\n", 13, "[groups.a]: hosts or groups is required; expected an array of host names in hosts, or of"),
    ],
)
def test_what_is_refused(tmp_path: Path, groups: str, line: int, words: str) -> None:
    with pytest.raises(InventoryError) as error:
        read(tmp_path, groups)
    assert str(error.value).startswith(f"{tmp_path / 'nbserver.toml'}:{line}: {words}")


def test_deep_groups(tmp_path: Path) -> None:
    groups = "".join(f"[groups.g{number}]\ngroups = ['g{number + 1}']\n" for number in range(2000)) + "[groups.g2000]\nhosts = ['h3']\n"
    found = read(tmp_path, groups)
    assert found.groups["g0"] == found.groups["g2000"] == ("h3",)
