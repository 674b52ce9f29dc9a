"""The way to a host: `jump`, through other hosts of the inventory and servers that are given by their address."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbserver.base.errors import InventoryError
from nbserver.inventory.hosts import AnyHost
from nbserver.inventory.reader import load
from nbserver.settings import faults

LINUX = 'system = "linux"\nuser = "anna"\nnotebook.password = { env = "N" }\n'


def linux(name: str, *lines: str) -> str:
    return "\n".join([f'[hosts.{name}]\naddress = "{name}.example.com"\n{LINUX}', *lines, ""])


def windows(name: str, *lines: str) -> str:
    lines = ('system = "windows"', f'address = "{name}.example.com"', 'notebook.password = { env = "N" }', *lines)
    return "\n".join([f"[hosts.{name}]", *lines, ""])


def hosts(folder: Path, *tables: str) -> dict[str, AnyHost]:
    path = folder / "nbserver.toml"
    path.write_text("\n".join(tables), "utf-8")
    return load(path).hosts


def way(host: AnyHost) -> list[str]:
    return [hop.text for hop in getattr(host, "hops", ())]


def test_a_chain_begins_at_the_workstation(tmp_path: Path) -> None:
    pin = f'host_key = "SHA256:{"A" * 43}"'
    found = hosts(
        tmp_path,
        linux("bastion", "port = 2222", pin),
        linux("inner", 'jump = "bastion"', 'password = { env = "INNER" }', "connect_timeout = 5"),
        linux("lin1", 'jump = "INNER"'),
        windows("win1", 'jump = "inner"'),
        windows("win2", "jump = 'CORP+b@[2001:db8::1]:2200'"),
        windows("win3", 'jump = "b@gw.example.com"'),
    )
    both = [f"anna@bastion.example.com:2222 SHA256:{'A' * 43}", "anna@inner.example.com:22"]
    assert [way(found[name]) for name in ("bastion", "inner", "lin1", "win1")] == [[], both[:1], both, both]
    assert (way(found["win2"]), way(found["win3"])) == (["CORP+b@[2001:db8::1]:2200"], ["b@gw.example.com:22"])
    inner = found["lin1"].hops[1]  # type: ignore[union-attr]
    assert (inner.name, inner.connect_timeout, inner.password) == ("inner", 5, found["inner"].password)  # type: ignore[union-attr]


def test_a_pinned_key_is_named_by_its_fingerprint(tmp_path: Path) -> None:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKq0aCIl2wF5VnHs0tUDMrmJHCc5uYk6cTGxvFYpFqoV"
    found = hosts(tmp_path, linux("bastion", f'host_key = "{key}"'), linux("lin1", 'jump = "bastion"'))
    (text,) = way(found["lin1"])
    assert text.startswith("anna@bastion.example.com:22 SHA256:") and len(text.rpartition(":")[2]) == 43


def test_the_jump_of_all_hosts_does_not_apply_to_itself(tmp_path: Path) -> None:
    found = hosts(tmp_path, '[defaults]\njump = "bastion"\n', linux("bastion"), linux("lin1"))
    assert (way(found["bastion"]), way(found["lin1"])) == ([], ["anna@bastion.example.com:22"])


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ((linux("lin1", 'jump = "lin1"'),), "7: [hosts.lin1] jump: must not be the name of the host itself"),
        ((linux("lin1", 'jump = "bastoin"'), linux("bastion")), 'jump: no host has this name (did you mean "bastion"?); expected the name'),
        ((linux("lin1", 'jump = "other"'),), "jump: no host has this name; expected the name of a Linux host in the inventory, or user@"),
        ((linux("lin1", 'jump = "win1"'), windows("win1")), "jump: win1 is not a Linux host; a jump host must be reached over SSH"),
        ((linux("a", 'jump = "b"'), linux("b", 'jump = "a"')), "jump: the jump hosts for a form a loop: a is reached twice"),
        (
            (linux("a", 'jump = "b"'), linux("b", 'jump = "c"'), linux("c", 'jump = "b"')),
            "jump: the jump hosts for b form a loop: b is reached twice",
        ),
        ((linux("lin1", 'jump = "b@host:0"'),), "jump: must be the name of a Linux host in the inventory, or user@address:port"),
        ((linux("lin1", 'jump = "b@host:66000"'),), "jump: must be the name of a Linux host in the inventory, or user@address:port"),
        ((linux("lin1", 'jump = "b@a/b"'),), "jump: must not contain a scheme or path"),
        ((linux("lin1", "jump = 'b;c@host'"),), "jump: contains a character that is not allowed in a user name"),
        ((windows("win1", 'jump = "b@host"', 'proxy = "http://proxy:3128"'),), "proxy: cannot be combined with jump; use one or the other"),
    ],
)
def test_a_jump_that_leads_nowhere_is_refused_with_its_line(tmp_path: Path, tables: tuple[str, ...], words: str) -> None:
    with pytest.raises(InventoryError) as caught:
        hosts(tmp_path, *tables)
    assert words in str(caught.value) and "nbserver.toml:" in str(caught.value)


def test_similar_names_are_looked_for_a_few_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(faults, "nearest", lambda word, words: asked.append(word) or "")
    tables = [linux(f"lin{number}") for number in range(30)]
    with pytest.raises(InventoryError, match="jump: no host has this name"):
        hosts(tmp_path, '[defaults]\njump = "bastoin"\n', *tables)
    assert asked == ["bastoin"]
    members = [f"web{number}" for number in range(30)]
    with pytest.raises(InventoryError, match="entry 30 is not the name of a host"):
        hosts(tmp_path, f"[groups.web]\nhosts = {members}\n", *tables)
    assert asked[1:] == members[: faults.FEW]
