"""Hosts from a CSV or JSON file: what they become, and what a wrong file answers."""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path

import pytest

from nbserver.base.errors import InventoryError
from nbserver.inventory.hosts import Inventory
from nbserver.inventory.reader import load, load_for
from nbserver.run.evidence import Evidence
from tests.formats import validate

TOP = 'hosts_from = "hosts.csv"\n'
DEFAULTS = "[defaults]\nsystem = 'linux'\nuser = 'u'\nnotebook.password = { prompt = true }\n"


def write(folder: Path, listed: str | bytes, inventory: str = TOP + DEFAULTS) -> Path:
    path = folder / "nbserver.toml"
    path.write_text(inventory, "utf-8")
    (folder / "hosts.csv").write_bytes(listed if isinstance(listed, bytes) else listed.encode())
    return path


def read(folder: Path, listed: str | bytes, inventory: str = TOP + DEFAULTS) -> Inventory:
    return load(write(folder, listed, inventory))


def refusal(folder: Path, listed: str | bytes, inventory: str = TOP + DEFAULTS, patterns: list[str] | None = None) -> str:
    path = write(folder, listed, inventory)
    with pytest.raises(InventoryError) as error:
        load(path, patterns)
    assert "hunter2" not in str(error.value)
    return str(error.value).replace(f"{folder}{os.sep}", "")


CSV = """\
Name,Address,groups,system,notebook.port,notebook.directory,adopt
win1,win1.example.com,"lab, site",windows,8443,"D:\\a,b",TRUE

web1, 192.0.2.7 ,LAB,,,,
web2,192.0.2.8,,,,,
"""


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_csv(tmp_path: Path, delimiter: str, encoding: str) -> None:
    text = CSV.replace('"lab, site"', '"lab; site"').replace('"D:\\a,b"', "D:\\a").replace(",", delimiter).replace("\n", "\r\n")
    found = read(
        tmp_path,
        text.encode(encoding),
        TOP + DEFAULTS + "password = { env = 'N' }\n[groups.lab]\nport = 7\n[groups.every]\ngroups = ['lab', 'Site']\n",
    )
    assert list(found.hosts) == ["win1", "web1", "web2"]
    assert found.groups == {"lab": ("win1", "web1"), "every": ("win1", "web1"), "site": ("win1",)}
    win1, web1, web2 = found.hosts.values()
    assert (win1.system, win1.address, win1.port, win1.notebook.port, win1.notebook.directory, win1.adopt) == (  # type: ignore[union-attr]
        "windows",
        "win1.example.com",
        7,
        8443,
        "D:\\a",
        True,
    )
    assert (web1.system, web1.address, web1.port) == ("linux", "192.0.2.7", 7)  # type: ignore[union-attr]
    assert (web2.port, web2.notebook.port) == (22, 9999)  # type: ignore[union-attr]
    assert win1.notebook.password is web1.notebook.password


def test_hosts_of_the_inventory_and_of_the_list(tmp_path: Path) -> None:
    own = "[hosts.a]\naddress = 'a'\n[groups.g]\nhosts = ['a', 'B']\n"
    found = read(tmp_path, "name,address\nb,bb\n", TOP + DEFAULTS + own)
    assert list(found.hosts) == ["a", "b"] and found.groups == {"g": ("a", "b")}
    assert list(load_for(tmp_path / "nbserver.toml", ["b"]).hosts) == ["b"]
    listed = found.list_name, found.list_sha256
    assert listed == (str(tmp_path / "hosts.csv"), sha256(b"name,address\nb,bb\n").hexdigest())
    head = {"v": 1, "run": "r", "mode": "test", "operator": "me", "release": "0.7.0"}
    facts = Evidence(["a"], found.path, inventory_sha256=found.sha256, hosts_from=listed).as_json(str)
    validate("run", head | facts)
    assert facts["inventory"]["hosts_from"] == {"name": listed[0], "sha256": listed[1]}
    assert not read(tmp_path, "", DEFAULTS + own.replace(", 'B'", "")).list_sha256


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ("", 'hosts.csv:1: the header has no column "name"; expected a header such as name,address,groups'),
        ("address,groups\n", 'hosts.csv:1: the header has no column "name"'),
        ("\n\nname,adress\n", 'hosts.csv:3: column 2: the column name is not valid (did you mean "address"?)'),
        ("name,hunter2\n", "hosts.csv:1: column 2: the column name is not valid; expected name, groups, or a key of the inventory"),
        ("name,notebook.prot\n", 'hosts.csv:1: column 2: the column name is not valid (did you mean "notebook.port"?)'),
        (
            "name,notebook.password\na,hunter2\n",
            "hosts.csv:1: column 2: notebook.password is a table or an array, which a CSV cell cannot contain; set it in [defaults]",
        ),
        ("name,certificate.names\n", "hosts.csv:1: column 2: certificate.names is a table or an array, which a CSV cell cannot contain"),
        ("name,notebook\n", "hosts.csv:1: column 2: notebook is a table or an array, which a CSV cell cannot contain"),
        ("name,NAME\n", "hosts.csv:1: columns 1 and 2 have the same name"),
        ("name,address\na,b\na,b,c\n", "hosts.csv:3: expected 2 cells, as in the header, got 3"),
        ('name,address\na,"b\nc,d\n', "hosts.csv:2: this is not valid CSV"),
        ('name,address\na,"b"c\n', "hosts.csv:2: this is not valid CSV"),
        ("name,address\na,b\nA,c\n", 'hosts.csv:3: "A" is already listed in hosts.csv:2; names are not case-sensitive'),
        ("name,address\nlocal,b\n", 'hosts.csv:2: name: "local" is reserved for this machine'),
        ("name,address\n,b\n", "hosts.csv:2: name: a name must have 1 to 100 characters"),
        ("name,address,groups\na,b,x*y\n", "hosts.csv:2: [hosts.a] groups: a name must have"),
        ('name,address\n"a\n",b\nd,https://x\n', "hosts.csv:4: [hosts.d] address: must not contain a scheme"),
        ("name,address,port\na,b,x\n", "hosts.csv:2: [hosts.a] port: expected a whole number"),
        ("name,address,port\na,b,9999999999\n", "hosts.csv:2: [hosts.a] port: the number is out of range"),
        ("name,address\na,b\nb,\n", "hosts.csv:3: [hosts.b] address: this key is required"),
        (b"name,address\n\xff,b\n", "hosts.csv:2: the text is not UTF-8"),
    ],
)
def test_a_wrong_csv_file(tmp_path: Path, listed: str | bytes, words: str) -> None:
    assert refusal(tmp_path, listed).startswith(words)


def test_errors_have_the_places_of_both_files(tmp_path: Path) -> None:
    found = refusal(tmp_path, "name,address\na,https://x\nB,b\n", TOP + DEFAULTS + "prot = 1\n[hosts.b]\naddress = 'b'\n").splitlines()
    assert [line.split(" ")[0] for line in found] == ["nbserver.toml:6:", "hosts.csv:2:", "hosts.csv:3:"]
    assert '"B" is already the name of hosts.b in' in found[2]


def test_names_that_something_else_has(tmp_path: Path) -> None:
    own = TOP + DEFAULTS + "[hosts.a]\naddress = 'a'\n[groups.g]\nhosts = []\n"
    assert 'hosts.csv:2: "G" is already the name of groups.g in' in refusal(tmp_path, "name,address\nG,x\n", own)
    assert "nbserver.toml:6: hosts.a: a group in hosts.csv has the same name" in refusal(tmp_path, "name,address,groups\nb,x,A\n", own)
    assert 'hosts.csv:2: "b" is already the name of groups.b in' in refusal(tmp_path, "name,address,groups\nb,x,b\n", own)


@pytest.mark.parametrize("value", ["1", "''", "['a']", "{}"])
def test_hosts_from_is_a_path(tmp_path: Path, value: str) -> None:
    found = refusal(tmp_path, "name\n", f"hosts_from = {value}\n{DEFAULTS}")
    assert found == "nbserver.toml:1: hosts_from: expected the path of a CSV or JSON file"


def test_a_path_that_no_file_can_have(tmp_path: Path) -> None:
    found = refusal(tmp_path, "name\n", f'hosts_from = "a\\u0000b"\n{DEFAULTS}')
    assert "hosts_from: could not read the file: the path contains a character that is not allowed in paths" in found


def test_a_column_of_an_inner_table(tmp_path: Path) -> None:
    host = read(tmp_path, "name,address,notebook.password.env,notebook.port\na,x,ITS_PASSWORD,8443\n").hosts["a"]
    assert host.notebook.password is not None and host.notebook.password.env == "ITS_PASSWORD"
    assert host.notebook.port == 8443


def test_the_file_is_one_of_the_operator(tmp_path: Path) -> None:
    path = write(tmp_path, "name,address\na,b\n")
    listed = tmp_path / "hosts.csv"
    if os.name == "posix":
        listed.chmod(0o666)
        with pytest.raises(InventoryError, match="every user can write to this file"):
            load(path)
    listed.unlink()
    with pytest.raises(InventoryError, match=r"hosts\.csv: hosts_from: the file does not exist"):
        load(path)
    listed.mkdir()
    with pytest.raises(InventoryError, match=r"could not read the file|must be a regular file"):
        load(path)


def test_a_selected_host_of_a_long_list(tmp_path: Path) -> None:
    path = write(tmp_path, "name,address,groups\n" + "".join(f"h{number},10.0.0.1,lab\n" for number in range(3000)) + "bad,http://x,lab\n")
    assert list(load_for(path, ["lab,&h?,&*7"]).hosts) == ["h7"]
    assert "bad" in refusal(tmp_path, path.with_name("hosts.csv").read_bytes(), patterns=["bad"])


LISTS = [
    json.dumps([{"name": "a", "address": "x", "groups": ["g"], "notebook": {"port": 8443}}, {"name": "b", "address": "y", "port": None}]),
    '{"name": "a", "address": "x", "groups": ["g"], "notebook": {"port": 8443}}\n\n{"name": "b", "address": "y"}\n',
]


@pytest.mark.parametrize("listed", LISTS)
def test_json(tmp_path: Path, listed: str) -> None:
    found = read(tmp_path, listed)
    assert [(host.name, host.address, host.notebook.port) for host in found.hosts.values()] == [("a", "x", 8443), ("b", "y", 9999)]
    assert found.groups == {"g": ("a",)}


ANSIBLE = {
    "_meta": {
        "hostvars": {
            "web1": {"ansible_host": "192.0.2.7", "ansible_port": 2222, "ansible_user": "ops", "ansible_password": "hunter2", "x": 1.5},
            "win1": {"ansible_host": "win1.example.com", "ansible_connection": "winrm", "ansible_port": "5986", "ansible_user": "adm"},
            "db1": {"nbserver": {"notebook": {"port": 8443}, "user": "root"}},
        }
    },
    "all": {"children": ["ungrouped", "site"]},
    "ungrouped": {"hosts": ["plain.example.com"]},
    "site": {"children": ["web", "site2"], "hosts": ["db1"]},
    "site2": {"children": ["site"]},
    "web": {"hosts": ["web1", "win1"], "vars": {"password": "hunter2"}},
}


def test_the_list_of_ansible(tmp_path: Path) -> None:
    found = read(tmp_path, json.dumps(ANSIBLE, indent=4), TOP + DEFAULTS + "password = { env = 'N' }\n")
    hosts = {host.name: (host.system, host.address, host.port, host.user, host.notebook.port) for host in found.hosts.values()}  # type: ignore[union-attr]
    assert hosts == {
        "plain.example.com": ("linux", "plain.example.com", 22, "u", 9999),
        "db1": ("linux", "db1", 22, "root", 8443),
        "web1": ("linux", "192.0.2.7", 2222, "ops", 9999),
        "win1": ("windows", "win1.example.com", 5986, "adm", 9999),
    }
    assert {group: set(names) for group, names in found.groups.items()} == {
        "site": {"db1", "web1", "win1"},
        "site2": {"db1", "web1", "win1"},
        "web": {"web1", "win1"},
    }


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        ("[1]", "hosts.csv: expected an object for each host, found a whole number"),
        ('[{"address": "x"}]', "hosts.csv: each host must have a name, and the name must be text"),
        ('{"name": "a", "groups": "g"}', "hosts.csv: groups: expected an array of names"),
        ('{"name": "a", "address": "x"}\n{"name": "b", "adress": "x"}\n', 'hosts.csv:2: [hosts.b] unknown key (did you mean "address"?)'),
        ('{"name": "a", "address": "x"}\n{"name": "b"\n', "hosts.csv:2: this is not valid JSON: syntax error at column 13"),
        ('[{"name": "a"\n"port": 1}]', "hosts.csv:2: this is not valid JSON: syntax error at column 1"),
        ('[{"name": "a", "name": "b"}]', "hosts.csv: an object in the JSON has the same key twice"),
        ("[" * 100_000, "hosts.csv: the JSON is nested too deeply"),
        ('[{"name": "a", "address": "x", "port": ' + "9" * 5000 + "}]", "hosts.csv: a number in the JSON has too many digits"),
        ('[{"name": "a", "address": "x", "\\ud800": 1}]', "hosts.csv: a key in the JSON contains a character that is not allowed in a key"),
        ('{"name": "a", "notebook": {"\\u0000": 1}}', "hosts.csv: a key in the JSON contains a character that is not allowed in a key"),
        ('{"_meta": {"hostvars": {"a": {"ansible_port": "' + "9" * 5000 + '"}}}}', "hosts.csv: [hosts.a] port: "),
        ('[{"name": "a", "password": "hunter2"}]', "hosts.csv: [hosts.a] password: must be a reference"),
        ('{"_meta": {"hostvars": {"a": 1}}}', "hosts.csv: _meta.hostvars: expected one object per host"),
        ('{"lab": {"hosts": {"a": {}}}}', "hosts.csv: expected the output of ansible-inventory --list"),
        ('{"lab": {"hosts": ["a"]}, "a": {"hosts": []}}', ""),
        ('{"lab": {"hosts": ["a b"]}}', "hosts.csv: name: a name must have"),
        ('{"_meta": {"hostvars": {"a": {"nbserver": "hunter2"}}}}', "hosts.csv: [hosts.a] unknown key"),
    ],
)
def test_a_wrong_json_file(tmp_path: Path, listed: str, words: str) -> None:
    if words:
        assert refusal(tmp_path, listed).startswith(words)
    else:
        assert list(read(tmp_path, listed).hosts) == ["a"]
