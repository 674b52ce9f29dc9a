"""Defaults, groups and hosts laid over each other; choosing hosts; what a good inventory becomes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nbserver.base.errors import InventoryError
from nbserver.inventory.hosts import Inventory
from nbserver.inventory.merging import merge
from nbserver.inventory.reader import load
from nbserver.inventory.schema import json_schema
from tests.checkout import CHECKOUT
from tests.tier import examples

BASE = "system = 'windows'\naddress = 'a'\nnotebook.password = { env = 'N' }\n"


def write(folder: Path, text: str) -> Inventory:
    path = folder / "nbserver.toml"
    path.write_text(text, "utf-8")
    return load(path)


# Settings from different tables of the file, each with the values that it is given in turn.
CHOICES: dict[str, list[Any]] = {
    "port": [1, 2, 3],
    "configuration_name": ["a", "b"],
    "notebook.port": [4, 5, 6],
    "notebook.directory": ["C:\\a", "C:\\b"],
    "certificate.names": [["x"], ["y", "z"], []],
    "certificate.days": [7, 8],
    "notebook.password": [{"env": "A"}, {"keyring": "b"}, {"prompt": True}],
    "python.version": ["3.13", "3.14"],
}
LAYERS = ["defaults", "groups.one", "groups.two", "hosts.h"]


@examples(60)
@given(st.data(), st.permutations(LAYERS), st.booleans())
def test_the_last_layer_wins(tmp_path: Path, data: st.DataObject, order: list[str], dotted: bool) -> None:
    chosen: dict[str, dict[str, Any]] = {
        layer: data.draw(st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in CHOICES.items()})) for layer in LAYERS
    }
    text = "\n".join(_table(layer, chosen[layer], dotted) for layer in order)
    host = write(tmp_path, text).hosts["h"]
    groups = [layer for layer in order if layer.startswith("groups")]
    for key in CHOICES:
        values = [chosen[x][key] for x in ["defaults", *groups, "hosts.h"] if key in chosen[x]]
        table, _, name = key.rpartition(".")
        part = getattr(host, table) if table else host
        found = getattr(part, name)
        if not values:
            default = {"port": 5986, "notebook.password": "N"}.get(key, type(part).model_fields[name].get_default())
            assert (found.env if key == "notebook.password" else found) == default
        elif key == "notebook.password":
            assert found.model_dump(exclude_defaults=True) == values[-1]
        else:
            assert found == (tuple(values[-1]) if isinstance(values[-1], list) else values[-1])


def _table(layer: str, chosen: dict[str, Any], dotted: bool) -> str:
    lines = ["[" + layer + "]"]
    if layer == "hosts.h":
        lines += ["system = 'windows'", "address = 'a'"]
    if layer.startswith("groups"):
        lines += ["hosts = ['h']"]
    nested: dict[str, list[str]] = {}
    if layer == "defaults":
        chosen = {"notebook.password": {"env": "N"}, **chosen}
    for key, value in chosen.items():
        text = json.dumps(value)
        if isinstance(value, dict):
            ((place, name),) = value.items()
            text = f"{{ {place} = {json.dumps(name)} }}"
        table, _, name = key.rpartition(".")
        if dotted or not table:
            lines.append(f"{key} = {text}")
        else:
            nested.setdefault(table, []).append(f"{name} = {text}")
    for table, pairs in nested.items():
        lines += [f"[{layer}.{table}]", *pairs]
    return "\n".join(lines)


_tables = st.recursive(st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8).map(
    lambda value: value if isinstance(value, dict) else {"a": value}
)


@given(_tables, _tables, _tables)
def test_merging_is_one_order_whatever_the_brackets(one: dict[str, Any], two: dict[str, Any], three: dict[str, Any]) -> None:
    before = json.dumps([one, two, three])
    assert merge(one) == one and merge(one, one) == one and merge({}, one, {}) == one
    if _alike(one, two, three):
        assert merge(merge(one, two), three) == merge(one, merge(two, three)) == merge(one, two, three)
    assert json.dumps([one, two, three]) == before


def _alike(*tables: dict[str, Any]) -> bool:
    """Whether a key is a table in all of them or in none: any other inventory is refused before it is merged."""
    for key in {key for table in tables for key in table}:
        values = [table[key] for table in tables if key in table]
        inner = [value for value in values if isinstance(value, dict)]
        if inner and (len(inner) != len(values) or not _alike(*inner)):
            return False
    return True


def test_a_reference_replaces_a_reference(tmp_path: Path) -> None:
    text = "[defaults]\nuser = 'u'\npassword = { env = 'A' }\n[hosts.h]\n" + BASE + "password = { keyring = 'k' }\n"
    assert write(tmp_path, text).hosts["h"].password.model_dump(exclude_defaults=True) == {"keyring": "k"}  # type: ignore[union-attr]


def test_paths_count_from_the_inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site").mkdir()
    for name in ("ca.pem", "site.toml"):
        (tmp_path / "site" / name).write_text("")
    text = "[hosts.h]\nca_file = 'ca.pem'\ncatalog = '../site/site.toml'\nuser = 'u'\npassword = { file = 'secret' }\n" + BASE
    (tmp_path / "site" / "nbserver.toml").write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    inventory = load(Path("site", "nbserver.toml"))
    host = inventory.hosts["h"]
    assert inventory.path == tmp_path / "site" / "nbserver.toml"
    assert host.ca_file == tmp_path / "site" / "ca.pem"
    assert host.catalog == tmp_path / "site" / "site.toml"
    assert host.password is not None and host.password.file == tmp_path / "site" / "secret"


def test_hosts_share_their_authorities(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"x" * 1000)
    hosts = write(tmp_path, f"[defaults]\nca_file = 'ca.pem'\n[hosts.h]\n{BASE}[hosts.g]\n{BASE}").hosts.values()
    one, other = (host.authorities for host in hosts)  # type: ignore[union-attr]
    assert one is other and one == b"x" * 1000


def test_values_get_their_one_form(tmp_path: Path) -> None:
    text = (
        f"[hosts.h]\n{BASE}tls = true\nfingerprint = 'sha256:{':'.join(['AB'] * 32)}'\n"
        "certificate.names = ['2001:DB8:0::1']\n"
        "firewall.remote_addresses = ['localsubnet', '2001:DB8::/32', '192.0.2.1/32', '2001:DB8::5/128']\n"
        "[hosts.plain]\n" + BASE + "tls = false\n"
    )
    inventory = write(tmp_path, text)
    host = inventory.hosts["h"]
    assert (host.port, inventory.hosts["plain"].port) == (5986, 5985)
    assert host.fingerprint == "SHA256:" + "ab" * 32
    assert host.certificate.names == ("2001:db8::1",)
    assert host.firewall.remote_addresses == ("LocalSubnet", "2001:db8::/32", "192.0.2.1", "2001:db8::5")
    assert host.path.entries is None
    with pytest.raises(ValidationError):
        host.port = 1  # type: ignore[misc]


HOSTS = "".join(f"[hosts.{name}]\n{BASE}" for name in ("web2", "Web1", "db"))
HOSTS += "[groups.lab]\nhosts = ['db', 'web2']\n[groups.none]\nhosts = []\n"


@pytest.mark.parametrize(
    ("patterns", "names"),
    [
        (["db"], ["db"]),
        (["DB", "web1"], ["Web1", "db"]),
        (["web*"], ["web2", "Web1"]),
        (["db", "WEB?", "lab"], ["web2", "Web1", "db"]),
        (["lab"], ["web2", "db"]),
        (["none"], []),
        (["*"], ["web2", "Web1", "db"]),
        ([], []),
    ],
)
def test_select(tmp_path: Path, patterns: list[str], names: list[str]) -> None:
    assert [host.name for host in write(tmp_path, HOSTS).select(patterns)] == names


@pytest.mark.parametrize("pattern", ["web3", "x*", "loc*", ""])
def test_select_unknown(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(InventoryError) as error:
        write(tmp_path, HOSTS).select(["db", pattern])
    assert f'no host or group matches "{pattern}"' in str(error.value)
    assert "Known hosts: web2, Web1, db. Known groups: lab, none" in str(error.value)


def test_an_inventory_without_hosts_and_groups_says_so(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match=r"Known hosts: none\. Known groups: none"):
        Inventory(tmp_path / "nbserver.toml", {}, {}).select(["web"])


def test_the_schema_knows_what_the_inventory_knows() -> None:
    schema = json_schema()
    host = schema["$defs"]["host"]["properties"]
    assert {"system", "address", "notebook", "fingerprint", "firewall"} <= set(host) and "name" not in host
    assert set(schema["$defs"]["group"]["properties"]) == {*host, "hosts", "groups"}
    assert all("description" in setting or "$ref" in setting for setting in host.values())
    assert '"null"' not in json.dumps(schema)


SCHEMA_CASES = [
    ({"hosts": {"a": {"address": "x", "notebook": {"password": {"env": "A"}}}}}, True),
    ({"defaults": {"port": 1}, "groups": {"g": {"hosts": ["a"], "skip": ["path"]}}, "hosts": {"a": {}}}, True),
    ({"hosts": {"a": {"adress": "x"}}}, False),
    ({"hosts": {"a": {"password": "secret"}}}, False),
    ({"hosts": {"a": {"password": {"env": "A", "file": "b"}}}}, False),
    ({"hosts": {"a": {"password": {"prompt": False}}}}, False),
    ({"hosts": {"a": {"port": 0}}}, False),
    ({"hosts": {"a": {"port": None}}}, False),
    ({"hosts": {"a b": {}}}, False),
    ({"groups": {"g": {}}, "hosts": {"a": {}}}, False),
    ({"hosts_from": "hosts.csv", "groups": {"g": {"port": 1}}}, True),
    ({"hosts_command": ["list"], "groups": {"g": {"port": 0}}}, False),
    ({"hosts": {}}, False),
]


@pytest.mark.parametrize(("document", "valid"), SCHEMA_CASES)
def test_the_schema_judges(document: dict[str, Any], valid: bool) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs the package jsonschema (the extra `test`)")
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert jsonschema.Draft202012Validator(schema).is_valid(document) is valid


def test_the_schema_accepts_the_sample() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="needs the package jsonschema (the extra `test`)")
    import tomlkit

    sample = (CHECKOUT / "nbserver.sample.toml").read_text("utf-8")
    jsonschema.Draft202012Validator(json_schema()).validate(tomlkit.parse(sample).unwrap())
