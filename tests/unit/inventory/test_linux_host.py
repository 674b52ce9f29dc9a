"""Linux hosts in the inventory: what a wrong one answers, and files that have hosts of both systems."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.base.errors import InventoryError
from nbserver.inventory.host_key import public_host_key
from nbserver.inventory.linux_host import LinuxHost, linux_folder
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
UMLAUTS = "\u00fc" * 128
BLOB = base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + bytes(32)).decode()


def refusal(folder: Path, text: str) -> str:
    path = folder / "nbserver.toml"
    path.write_bytes(text.encode())
    with pytest.raises(InventoryError) as error:
        load(path)
    message = str(error.value)
    assert SECRET not in message and SECRET not in repr(error.value)
    assert message.startswith(f"{path}:") and not message.endswith(".")
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
    ('transport = "psrp"', 'transport: unknown value; expected "ssh"'),
    ("port = 0", "port: the number is out of range; expected a whole number from 1 to 65535"),
    ('user = ""', "user: must not be empty"),
    ('user = "a;b"', "user: contains a character that is not allowed in a user name"),
    ('user = "a:b"', "user: contains a character that is not allowed in a user name"),
    ('user = "a -b"', "user: contains a character that is not allowed in a user name"),
    ("user = 'CORP\\'", "user: contains a character that is not allowed in a user name"),
    (
        'user = "CORP\\bob"',
        "user: must not contain control characters (in \"...\", write each backslash as \\\\; or use '...', where a backslash is literal)",
    ),
    ("host_key = '256 MD5:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff x (RSA)'", "host_key: an MD5 fingerprint is not secure"),
    (f'host_key = "@revoked lin1 ssh-ed25519 {BLOB}"', "host_key: must be the host's own key, without a marker"),
    ('host_key = "256 SHA256:00 anna (ED25519)"', "host_key: must be a fingerprint (SHA256:...) or a public key"),
    ('user = "-oProxyCommand=x"', "user: contains a character that is not allowed in a user name"),
    ("key_file = 1", "key_file: "),
    (f'sudo_password = "{SECRET}"', 'sudo_password: must be a reference such as { env = "NAME" }, never the secret itself'),
    (f'password = "{SECRET}"', "password: must be a reference"),
    ("agent = 1", "agent: expected true or false"),
    ('host_key = "SHA256:00"', "host_key: must be a fingerprint (SHA256:...) or a public key"),
    ('host_key = "ssh-ed25519 AAA"', "host_key: the key is not valid Base64"),
    (f'host_key = "ssh-rsa {BLOB}"', "host_key: the key type does not match the key data"),
    ("connect_timeout = 0", "connect_timeout: the number is out of range; expected a number of seconds from 1 to 600"),
    ("keepalive = 601", "keepalive: the number is out of range"),
    ("sudo = 'yes'", "sudo: expected true or false"),
    ('architecture = "amd64"', "unknown value"),
    ('scope = "user"', 'scope: unknown value; expected "machine"'),
    ('skip = ["path"]', "skip[1]: unknown value; expected an array that is empty or contains"),
    ('skip = ["firewal"]', '(did you mean "firewall"?)'),
    ("python.version = 3.12", "python.version: expected text, found a number"),
    ('packages.source = "apt"', "packages.source: unknown value; expected auto (same as wheels), distribution, or wheels"),
    (f'packages.index_url = "https://u:{SECRET}@mirror.example.com/"', "must not contain a user name or password"),
    ('notebook.directory = "notebooks"', "notebook.directory: must be an absolute path"),
    ("notebook.directory = 'C:\\x'", "must be a Linux path such as /srv/notebooks, not a Windows path; expected the absolute path"),
    ('notebook.directory = "C:/x"', "notebook.directory: must be a Linux path such as /srv/notebooks, not a Windows path"),
    ("notebook.directory = '\\\\server\\share'", "must be a Linux path such as /srv/notebooks, not a Windows path"),
    ("notebook.directory = '%ProgramData%\\x'", "must be a Linux path such as /srv/notebooks, not a Windows path"),
    ('notebook.directory = "~/notebooks"', "notebook.directory: must begin with /: neither ~ nor variables are expanded"),
    (f'notebook.directory = "/srv/{UMLAUTS}"', "must not have a component of more than 255 bytes"),
    ('notebook.directory = "/srv"', "must not be directly under /"),
    ('notebook.directory = "/srv/../etc"', "must not contain . or .. as a component"),
    ('notebook.directory = "/srv/x/"', "must not end in /"),
    (
        'notebook.directory = "/etc/sudoers.d"',
        "must not be a system folder, one of nbserver's own folders, or a folder inside one of them; expected the absolute path",
    ),
    ('notebook.directory = "/var/lib/nbserver"', "must not be a system folder"),
    ('notebook.directory = "/var/lib/nbserver/state/x"', "must not be a system folder"),
    ('notebook.directory = "/tmp/x"', "must not be a system folder"),
    (f'notebook.directory = "/srv/{"x" * 200}"', "must not be longer than 200 characters"),
    ('notebook.directory = "/srv/a\\nb"', "must not contain control characters"),
    ('firewall.remote_addresses = ["LocalSubnet"]', "is valid only for Windows hosts"),
    ("certificate.request = true", "certificate.request: applies only to Windows hosts"),
    ('certificate.pfx = "server.pfx"', "certificate.pfx: applies only to Windows hosts"),
    ("firewall.remote_addresses = []", "nobody will be able to connect"),
    ("sudoo = true", '[hosts.lin1] unknown key (did you mean "sudo"?)'),
    ("source = 'wheels'", 'source: unknown key (did you mean "packages.source"?)'),
    ("tls = true", 'tls: applies only to Windows hosts, but this host has system = "linux"'),
    ('auth = "ntlm"', "auth: applies only to Windows hosts"),
    ('openssl.version = "3.5"', 'openssl: applies only to Windows hosts, but this host has system = "linux"'),
    ('python.kind = "zip"', "python.kind: applies only to Windows hosts"),
    ("path.entries = ['C:\\x']", "path: applies only to Windows hosts"),
    ("catalog = 'x'", "catalog: applies only to Windows hosts"),
    ("openssl.colour = 1", "openssl: applies only to Windows hosts"),
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
    ('key_password = { env = "A" }', "6: [hosts.lin1] key_password: requires key_file (host lin1)"),
    ('known_hosts = "x"\nhost_key = "SHA256:' + "A" * 43 + '"', "6: [hosts.lin1] known_hosts: cannot be combined with host_key"),
    ("sudo = false", '6: [hosts.lin1] sudo: must be true unless user = "root"'),
    ('sudo_password = { env = "A" }\nsudo = false', "6: [hosts.lin1] sudo_password: requires sudo = true"),
    (
        'notebook.interface = "lab"\npackages.source = "distribution"',
        '5: [hosts.lin1] notebook: interface = "lab" requires packages.source = "wheels" (host lin1)',
    ),
    (
        'notebook.collaboration = true\npackages.source = "distribution"',
        '5: [hosts.lin1] notebook: collaboration = true requires packages.source = "wheels" (host lin1)',
    ),
    ("agent = false", "6: [hosts.lin1] agent: must be true unless key_file or password is set"),
]


@pytest.mark.parametrize(("lines", "words"), CONTRADICTIONS, ids=[words for _, words in CONTRADICTIONS])
def test_settings_that_contradict_each_other(tmp_path: Path, lines: str, words: str) -> None:
    assert words in refusal(tmp_path, GOOD + lines + "\n")


def test_root_needs_no_sudo(tmp_path: Path) -> None:
    root = GOOD.replace('"anna"', '"root"')
    assert lin1(tmp_path, root + "sudo = false\n").sudo is False
    assert "does not apply to root" in refusal(tmp_path, root + "sudo_password = { env = 'A' }\n")


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
            '2: [defaults] skip[1]: unknown value; expected an array that is empty or contains "firewall" (host lin1, Linux)',
        ),
        (
            "notebook.directory = 'D:\\x'",
            "2: [defaults] notebook.directory: must be a Linux path such as /srv/notebooks, not a Windows path; expected the absolute",
        ),
        ("notebook.directory = '/srv/x'", "(host win1, Windows)"),
        ("transport = 'psrp'", '2: [defaults] transport: unknown value; expected "ssh" (host lin1, Linux)'),
        ("transport = 'x'", '2: [defaults] transport: unknown value; expected "psrp", "winrm", or "ssh"'),
        ("port = 0", "2: [defaults] port: the number is out of range"),
        ("ca_file = 'absent'", "2: [defaults] ca_file: the file does not exist"),
        ("openssl.version = 'x'", "2: [defaults] openssl.version: must be a version"),
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
    assert '6: [hosts.win1] sudo: applies only to Linux hosts, but this host has system = "windows"' in refusal(
        tmp_path, "[defaults]\n" + WINDOWS + "sudo = true\n"
    )
    assert "packages.source: applies only to Linux hosts" in refusal(tmp_path, WINDOWS + "packages.source = 'wheels'\n")


@pytest.mark.parametrize("system", ['"linus"', "1", '""'])
def test_a_system_that_is_none_is_one_fault_beside_nothing_else(tmp_path: Path, system: str) -> None:
    message = refusal(tmp_path, WINDOWS.replace('"windows"', system))
    assert message.startswith("2: [hosts.win1] system: ") and 'expected "windows" or "linux"' in message and "\n" not in message


def test_a_reference_replaces_a_reference(tmp_path: Path) -> None:
    host = lin1(tmp_path, "[defaults]\nsudo_password = { env = 'A' }\n" + GOOD + "sudo_password = { keyring = 'B' }\n")
    assert host.sudo_password and (host.sudo_password.env, host.sudo_password.keyring) == (None, "B")


# ---- the kinds of text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (f"ssh-ed25519 {BLOB} anna@desk", f"ssh-ed25519 {BLOB}"),
        ("SHA256:" + "A" * 43 + "=", "SHA256:" + "A" * 43),
        ("256 SHA256:" + "A" * 43 + " root@lin1 (ED25519)", "SHA256:" + "A" * 43),
        ("3072 SHA256:" + "A" * 43 + " no comment (RSA)", "SHA256:" + "A" * 43),
        (f"lin1.example.com,192.0.2.7 ssh-ed25519 {BLOB}", f"ssh-ed25519 {BLOB}"),
        (f"[lin1]:2222 ssh-ed25519 {BLOB} comment", f"ssh-ed25519 {BLOB}"),
        (f"|1|c2FsdA==|aGFzaA== ssh-ed25519 {BLOB}", f"ssh-ed25519 {BLOB}"),
    ],
)
def test_a_host_key_has_one_form(text: str, value: str) -> None:
    assert public_host_key(text) == value


@pytest.mark.parametrize(
    "user", ["svc$", "john smith", "j\u00e9r\u00f4me", "CORP+anna", "CORP\\anna", "anna@corp.example.com", "anna.m-1", "_x", "$a%b!"]
)
def test_users_of_linux(tmp_path: Path, user: str) -> None:
    assert lin1(tmp_path, GOOD.replace('"anna"', f"'{user}'")).user == user


@given(st.text(max_size=40))
def test_a_folder_is_absolute_and_stays_where_it_is(text: str) -> None:
    try:
        folder = linux_folder("/" + text)
    except Exception as refused:
        assert type(refused).__name__ == "PydanticCustomError"
        return
    assert folder == "/" + text and not {"", ".", ".."} & set(folder.split("/")[1:]) and len(folder.split("/")) > 2
