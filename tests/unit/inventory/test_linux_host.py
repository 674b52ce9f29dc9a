"""Linux hosts in the inventory: what a wrong one answers, and files that have hosts of both systems."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.base.errors import InventoryError
from nbserver.inventory.linux_host import LinuxHost, linux_folder, public_host_key
from nbserver.inventory.reader import load

GOOD = """\
[hosts.lin1]
system = "linux"
address = "lin1.example.com"
user = "anna"
notebook.password = { env = "NOTEBOOK_PASSWORD" }
"""
WINDOWS = """\
[hosts.win1]
system = "windows"
address = "win1.example.com"
notebook.password = { env = "NOTEBOOK_PASSWORD" }
"""
SECRET = "hunter2"
BLOB = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(32)).decode()


def refusal(folder: Path, text: str) -> str:
    path = folder / "nbserver.toml"
    path.write_bytes(text.encode())
    with pytest.raises(InventoryError) as error:
        load(path)
    message = str(error.value)
    assert SECRET not in message and SECRET not in repr(error.value)
    assert message.startswith(f"{path}:") and message.endswith(".")
    return message.replace(f"{path}:", "")


def hosts(folder: Path, text: str) -> dict[str, object]:
    path = folder / "nbserver.toml"
    path.write_text(text, "utf-8")
    return dict(load(path).hosts)


def lin1(folder: Path, text: str) -> LinuxHost:
    host = hosts(folder, text)["lin1"]
    assert isinstance(host, LinuxHost)
    return host


def test_its_defaults(tmp_path: Path) -> None:
    host = lin1(tmp_path, GOOD)
    assert (host.transport, host.port, host.agent, host.sudo, host.scope, host.connect_timeout, host.keepalive) == (
        "ssh",
        22,
        True,
        True,
        "machine",
        20,
        15,
    )
    assert (host.architecture, host.skip, host.python.version, host.packages.source) == ("x64", (), None, "auto")
    assert (host.notebook.directory, host.notebook.port, host.notebook.ip) == ("/var/lib/nbserver/notebooks", 9999, "*")
    assert (host.key_file, host.host_key, host.known_hosts, host.password, host.sudo_password) == (None,) * 5
    assert host.firewall.remote_addresses == ("Any",)


SETTINGS = [
    ('transport = "psrp"', 'transport: it is not one of the allowed values; allowed: "ssh"'),
    ("port = 0", "port: the number is out of range; allowed: a whole number from 1 to 65535"),
    ('user = ""', "user: it is empty"),
    ('user = "a b"', "user: it holds a character that no user name has"),
    ('user = "-oProxyCommand=x"', "user: it holds a character that no user name has"),
    ('key_file = "absent"', "key_file: there is no such file"),
    (f'sudo_password = "{SECRET}"', 'sudo_password: it must be a reference such as { env = "NAME" }, never the secret itself'),
    (f'password = "{SECRET}"', "password: it must be a reference"),
    ("agent = 1", "agent: a whole number does not fit here; allowed: true or false"),
    ('host_key = "SHA256:00"', "host_key: it is neither SHA256: with 43 characters behind it nor a key such as"),
    ('host_key = "ssh-ed25519 AAA"', "host_key: its second word is not whole Base64"),
    (f'host_key = "ssh-rsa {BLOB}"', "host_key: its two words are not of the same kind of key"),
    ("connect_timeout = 0", "connect_timeout: the number is out of range; allowed: a number of seconds from 1 to 600"),
    ("keepalive = 601", "keepalive: the number is out of range"),
    ("sudo = 'yes'", "sudo: text does not fit here; allowed: true or false"),
    ('architecture = "amd64"', "it is not one of the allowed values"),
    ('scope = "user"', 'scope: it is not one of the allowed values; allowed: "machine"'),
    ('skip = ["path"]', "skip[1]: it is not one of the allowed values; allowed: an array with firewall"),
    ('skip = ["firewal"]', '(did you mean "firewall"?)'),
    ("python.version = 3.12", "python.version: a number with a point stands here, but it must be text"),
    ('packages.source = "apt"', "packages.source: it is not one of the allowed values; allowed: auto (wheels), distribution or wheels"),
    (f'packages.index_url = "https://u:{SECRET}@mirror.example.com/"', "never holds a user or password"),
    ('notebook.directory = "notebooks"', "notebook.directory: it is not absolute"),
    ("notebook.directory = 'C:\\x'", "notebook.directory: it is not absolute; allowed: an absolute path"),
    ('notebook.directory = "/srv"', "it names no folder below one of the root"),
    ('notebook.directory = "/srv/../etc"', "it holds . or .. as a folder"),
    ('notebook.directory = "/srv/x/"', "it ends in /"),
    ('notebook.directory = "/etc/sudoers.d"', "it is a folder of the system or of nbserver itself, or in one; allowed: an absolute path"),
    ('notebook.directory = "/var/lib/nbserver"', "it is a folder of the system"),
    ('notebook.directory = "/var/lib/nbserver/state/x"', "it is a folder of the system"),
    ('notebook.directory = "/tmp/x"', "it is a folder of the system"),
    (f'notebook.directory = "/srv/{"x" * 200}"', "it is longer than 200 characters"),
    ('notebook.directory = "/srv/a\\nb"', "it holds a control character"),
    ('firewall.remote_addresses = ["LocalSubnet"]', "is a word of Windows' firewall; name the network"),
    ("firewall.remote_addresses = []", "nobody could connect"),
    ("sudoo = true", '[hosts.lin1] unknown key (did you mean "sudo"?)'),
    ("source = 'wheels'", 'source: unknown key (did you mean "packages.source"?)'),
    ("tls = true", 'tls: it is for Windows hosts, and this one has system = "linux"'),
    ('auth = "ntlm"', "auth: it is for Windows hosts"),
    ('openssl.version = "3.5"', 'openssl: it is for Windows hosts, and this one has system = "linux"'),
    ('python.kind = "zip"', "python.kind: it is for Windows hosts"),
    ("path.entries = ['C:\\x']", "path: it is for Windows hosts"),
    ("catalog = 'x'", "catalog: it is for Windows hosts"),
    ("openssl.colour = 1", "openssl: it is for Windows hosts"),
    ("nom = 'x'", "[hosts.lin1] unknown key"),
]


@pytest.mark.parametrize(("line", "words"), SETTINGS, ids=[line[:60] for line, _ in SETTINGS])
def test_a_wrong_setting(tmp_path: Path, line: str, words: str) -> None:
    key = line.split("=")[0].strip()
    good = "".join(other for other in GOOD.splitlines(keepends=True) if not other.startswith(f"{key} "))
    message = refusal(tmp_path, good + line + "\n")
    assert message.startswith(f"{good.count(chr(10)) + 1}: [hosts.lin1] ")
    assert words in message
    assert "\n" not in message, "one mistake, one fault"


CONTRADICTIONS = [
    ('key_password = { env = "A" }', "6: [hosts.lin1] key_password: it opens a key_file, and there is none beside it (host lin1)"),
    ('known_hosts = "x"\nhost_key = "SHA256:' + "A" * 43 + '"', "6: [hosts.lin1] known_hosts: it cannot stand beside host_key"),
    ("sudo = false", "6: [hosts.lin1] sudo: without sudo only root can set up a host"),
    ('sudo_password = { env = "A" }\nsudo = false', "6: [hosts.lin1] sudo_password: it has a meaning only with sudo = true"),
    ("agent = false", "6: [hosts.lin1] agent: without the agent, a key_file or a password is needed"),
]


@pytest.mark.parametrize(("lines", "words"), CONTRADICTIONS, ids=[words for _, words in CONTRADICTIONS])
def test_settings_that_contradict_each_other(tmp_path: Path, lines: str, words: str) -> None:
    assert words in refusal(tmp_path, GOOD + lines + "\n")


def test_root_needs_no_sudo(tmp_path: Path) -> None:
    root = GOOD.replace('"anna"', '"root"')
    assert lin1(tmp_path, root + "sudo = false\n").sudo is False
    assert "root needs no sudo" in refusal(tmp_path, root + "sudo_password = { env = 'A' }\n")


def test_what_is_missing(tmp_path: Path) -> None:
    message = refusal(tmp_path, '[hosts.lin1]\nsystem = "linux"\n')
    assert [line.split(" ")[2] for line in message.splitlines()] == ["address:", "user:", "notebook.password:"]


# ---- both systems in one file


def test_layers_may_have_keys_of_either_system(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("x")
    layers = """\
[defaults]
tls = false
openssl.version = "3.5"
python.kind = "zip"
key_file = "key"
sudo = true
packages.source = "distribution"
notebook.port = 8443
[groups.all]
hosts = ["lin1", "win1"]
path.entries = ['C:\\x']
agent = false
"""
    both = hosts(tmp_path, layers + GOOD + WINDOWS)
    linux, windows = both["lin1"], both["win1"]
    assert isinstance(linux, LinuxHost) and not isinstance(windows, LinuxHost)
    assert (
        linux.key_file == tmp_path / "key"
        and linux.agent is False
        and linux.packages.source == "distribution"
        and linux.notebook.port == 8443
    )
    assert windows.tls is False and windows.path.entries == ("C:\\x",) and windows.notebook.port == 8443  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (
            "skip = ['path']",
            "2: [defaults] skip[1]: it is not one of the allowed values; allowed: an array with firewall, or empty (host lin1, Linux)",
        ),
        (
            "notebook.directory = 'D:\\x'",
            "2: [defaults] notebook.directory: it is not absolute; allowed: an absolute path of a folder on the host",
        ),
        ("notebook.directory = '/srv/x'", "(host win1, Windows)"),
        ("transport = 'psrp'", '2: [defaults] transport: it is not one of the allowed values; allowed: "ssh" (host lin1, Linux)'),
        ("transport = 'x'", '2: [defaults] transport: it is not one of the allowed values; allowed: "psrp" or "winrm"'),
        ("port = 0", "2: [defaults] port: the number is out of range"),
        ("key_file = 'absent'", "2: [defaults] key_file: there is no such file"),
        ("openssl.version = 'x'", "2: [defaults] openssl.version: it is not a version"),
        ("auth = 'x'", "2: [defaults] auth: "),
        ("openssl.kind = 'zap'", "2: [defaults] openssl.kind: "),
        ("packages.source = 'zap'", "2: [defaults] packages.source: "),
        ("packages.colour = 1", "2: [defaults] packages: unknown key"),
        ("colour = 1", "2: [defaults] unknown key"),
    ],
)
def test_what_fits_neither_or_only_the_other_is_told_once(tmp_path: Path, layer: str, words: str) -> None:
    message = refusal(tmp_path, f"[defaults]\n{layer}\n" + GOOD + WINDOWS)
    assert words in message and "\n" not in message


def test_a_hosts_own_value_mends_what_a_layer_says(tmp_path: Path) -> None:
    text = "[defaults]\nskip = ['path']\nnotebook.directory = 'D:\\x'\n" + GOOD + "skip = []\nnotebook.directory = '/srv/x'\n" + WINDOWS
    both = hosts(tmp_path, text)
    assert both["lin1"].notebook.directory == "/srv/x" and both["win1"].skip == ("path",)  # type: ignore[attr-defined]


def test_a_windows_host_has_no_keys_of_linux(tmp_path: Path) -> None:
    assert '6: [hosts.win1] sudo: it is for Linux hosts, and this one has system = "windows"' in refusal(
        tmp_path, "[defaults]\n" + WINDOWS + "sudo = true\n"
    )
    assert "packages.source: it is for Linux hosts" in refusal(tmp_path, WINDOWS + "packages.source = 'wheels'\n")


@pytest.mark.parametrize("system", ['"linus"', "1", '""'])
def test_a_system_that_is_none_is_one_fault_beside_nothing_else(tmp_path: Path, system: str) -> None:
    message = refusal(tmp_path, WINDOWS.replace('"windows"', system))
    assert message.startswith("2: [hosts.win1] system: ") and 'allowed: "windows" or "linux"' in message and "\n" not in message


def test_a_reference_replaces_a_reference(tmp_path: Path) -> None:
    host = lin1(tmp_path, "[defaults]\nsudo_password = { env = 'A' }\n" + GOOD + "sudo_password = { keyring = 'B' }\n")
    assert host.sudo_password and (host.sudo_password.env, host.sudo_password.keyring) == (None, "B")


# ---- the kinds of text


@pytest.mark.parametrize(
    ("text", "value"), [(f"ssh-ed25519 {BLOB} anna@desk", f"ssh-ed25519 {BLOB}"), ("SHA256:" + "A" * 43 + "=", "SHA256:" + "A" * 43)]
)
def test_a_host_key_has_one_form(text: str, value: str) -> None:
    assert public_host_key(text) == value


@given(st.text(max_size=40))
def test_a_folder_is_absolute_and_stays_where_it_is(text: str) -> None:
    try:
        folder = linux_folder("/" + text)
    except Exception as refused:
        assert type(refused).__name__ == "PydanticCustomError"
        return
    assert folder == "/" + text and not {"", ".", ".."} & set(folder.split("/")[1:]) and len(folder.split("/")) > 2
