"""What a wrong inventory answers: file, line, what is wrong and what is allowed, for every kind of mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbserver.base.errors import InventoryError
from nbserver.inventory.browser_ports import blocked_port
from nbserver.inventory.reader import load
from nbserver.inventory.windows_host import WindowsHost
from tests.checkout import CHECKOUT

GOOD = """\
[hosts.win1]
system = "windows"
address = "win1.example.com"
notebook.password = { env = "NOTEBOOK_PASSWORD" }
"""
COMPLETE = GOOD + 'user = "admin"\npassword = { env = "PASSWORD" }\n'
SECRET = "hunter2"  # whatever is wrong, this is in no message


def refusal(folder: Path, text: str) -> str:
    path = folder / "nbserver.toml"
    path.write_bytes(text.encode())
    with pytest.raises(InventoryError) as error:
        load(path)
    message = str(error.value)
    assert SECRET not in message and SECRET not in repr(error.value)
    assert message.startswith(f"{path}:") and not message.endswith(".")
    return message.replace(f"{path}:", "")


def test_the_sample_is_an_inventory() -> None:
    inventory = load(CHECKOUT / "nbserver.sample.toml")
    assert list(inventory.hosts) == ["win1", "win2"]
    assert inventory.hosts["win2"].auth == "ntlm"
    assert inventory.hosts["win2"].fingerprint == "SHA256:" + "00112233445566778899aabbccddeeff" * 2
    assert inventory.groups == {"lab": ("win1", "win2")}


# A line that replaces one of a complete host or is put behind it, and what the message must hold.
SETTINGS = [
    ('system = "windos"', 'unknown value (did you mean "windows"?); expected "windows" or "linux"'),
    ('adress = "x"', '[hosts.win1] unknown key (did you mean "address"?); valid keys: system, address, transport'),
    ('public_url = "https://x"', 'public_url: unknown key (did you mean "notebook.public_url"?)'),
    ('"odd key\\u0007" = 1', "[hosts.win1] unknown key; valid keys: system"),
    (
        "notebook.prot = 1",
        'notebook: unknown key (did you mean "port"?); valid keys: port, ip, directory, interface, language, public_url',
    ),
    ("nom = 'x'", "[hosts.win1] unknown key"),
    ('address = "https://win1"', "address: must not contain a scheme"),
    ('address = "win1:5986"', "address: must not contain a port"),
    (f'address = "me:{SECRET}@win1"', "address: must not contain a user name"),
    ('address = "[2001:db8::1]"', "must not be in brackets"),
    ('address = "fe80::1%eth0"', "zone"),
    ('address = "192.0.2.256"', "must be a valid IPv4 address"),
    ('address = "a..b"', "must be a DNS name or an IP address; expected a DNS name or an IP address"),
    ('address = "."', "must be a DNS name"),
    ('address = "win1.example.com.."', "must be a DNS name"),
    ('address = "xn--a.\u00fc"', "must be a valid internationalized DNS name"),
    ('address = "win1\u200b.example.com"', "address: must not contain invisible characters such as U+200B; delete the text"),
    ("certificate.names = ['\ufeffa']", "certificate.names: must not contain invisible characters such as U+FEFF"),
    ('address = ""', "address: must not be empty"),
    ("address = 5", "address: expected text, found a number: put the value in quotes"),
    ("address = true", "address: expected a DNS name or an IP address, without a scheme or port, found true or false"),
    ("address = 2026-11-22", "address: expected a DNS name or an IP address, without a scheme or port, found a date or time"),
    ('transport = "telnet"', 'unknown value; expected "psrp"'),
    ("port = 0", "port: the number is out of range; expected a whole number from 1 to 65535"),
    ("port = 65536", "port: the number is out of range"),
    ("port = true", "port: expected a whole number"),
    ("port = 5986.0", "else 5985; 22 over SSH), found a decimal number"),
    ('port = "5986"', "port: expected a number, found text: remove the quotes"),
    ('port = "https"', "else 5985; 22 over SSH), found text"),
    ("port = 1979-05-27T07:32:00Z", "else 5985; 22 over SSH), found a date or time"),
    ("port = 07:32:00", "else 5985; 22 over SSH), found a date or time"),
    ("tls = 1", "tls: expected true or false"),
    ('auth = "kerbros"', '(did you mean "kerberos"?); expected negotiate, kerberos, ntlm, or basic'),
    ('ca_file = "absent.pem"', "the file does not exist; expected the path of a PEM file"),
    ('catalog = "absent.toml"', "catalog: the file does not exist"),
    ('fingerprint = "SHA256:00"', "fingerprint: must be SHA256: followed by 64 hex digits"),
    ('fingerprint = "' + "0" * 64 + '"', "fingerprint: must be SHA256:"),
    ('configuration_name = "a b"', "configuration_name: must contain only letters"),
    ('proxy = "ftp://proxy"', "proxy: must begin with http:// or https://"),
    (f'proxy = "http://me:{SECRET}@proxy:3128"', "proxy: must not contain a user name or password"),
    ('proxy = "http://proxy:99999"', "the host or port of the URL is not valid"),
    ('proxy = "http://proxy/path"', "must not contain a path"),
    (f'user = "\\t{SECRET}"', "user: must not contain control characters"),
    (
        'user = "CORP\\bob"',
        "user: must not contain control characters (in \"...\", write each backslash as \\\\; or use '...', where a backslash is literal)",
    ),
    (
        'notebook.directory = "C:\\temp\\notebooks"',
        'notebook.directory: must not contain control characters (in "...", write each backslash as',
    ),
    ('ca_file = "C:\\new.pem"', 'ca_file: must not contain control characters (in "...", write each backslash as'),
    ("user = 'CORP\\\\anna'", "user: must be a user name or DOMAIN\\USER"),
    (
        'user = "CORP\\"anna"',
        "user: must be a user name or DOMAIN\\USER, without double quotes and with at most one backslash (in single quotes, write the backslash only once)",
    ),
    ('user = "anna\u00a0m"', "user: must not contain invisible characters such as U+00A0"),
    ('user = " x"', "must not begin or end with a space"),
    ('user = "2026-11-22T10:11:12"', "must not look like a date and time"),
    (f'password = "{SECRET}"', 'must be a reference such as { env = "NAME" }, never the secret itself'),
    (f"password = ['{SECRET}']", "password: must be a reference"),
    (f"password = {{ env = '{SECRET}!' }}", "password.env: must be a valid environment variable name"),
    (f"password = {{ value = '{SECRET}' }}", "password: unknown key; valid keys: env, keyring, file, command, prompt"),
    (f"password = {{ env = 'A', keyring = '{SECRET}' }}", "password: must have exactly one of env, keyring, file, command, or prompt"),
    ("password = {}", "password: must have exactly one of env, keyring, file, command, or prompt"),
    ("password = { prompt = false }", "password: must have exactly one of env, keyring, file, command, or prompt"),
    ("password = { prompt = 'yes' }", "password.prompt: expected true"),
    (f"notebook.password = '{SECRET}'", "notebook.password: must be a reference such as"),
    ('architecture = "amd64"', "unknown value"),
    ('architecture = "x86"', "architecture: 32-bit Windows is not supported: the catalog has neither a Python release nor packages for it"),
    ('architecture = "win32"', 'For 64-bit Windows on Intel or AMD, set architecture = "x64"; expected x64 or arm64'),
    ('architecture = "32-bit"', "architecture: 32-bit Windows is not supported"),
    ('windows = "2008"', "windows: unknown value"),
    ('windows = "2012 R2"', 'windows: unknown value (did you mean "2012r2"?); expected "2012", "2012r2", "2016"'),
    ("windows = 2019", "windows: must be text, not a number: put the value in quotes; expected "),
    ('accept_end_of_life = "yes"', "accept_end_of_life: expected true or false"),
    ('skip = ["firewal"]', 'skip[1]: unknown value (did you mean "firewall"?)'),
    ('skip = ["path", "path"]', "skip: the array contains the same value twice; values are not case-sensitive"),
    ('skip = "path"', "skip: expected an array"),
    ("python.version = 3.13", "python.version: expected text, found a number"),
    ('python.version = "3.x"', "python.version: must be a version"),
    ('python.version = "3.1\u0661"', "python.version: must be a version"),
    ('python = "3.13"', "python: expected a table with the keys version"),
    ('openssl.version = "v3"', "openssl.version: must be a version"),
    (f'packages.index_url = "https://u:{SECRET}@mirror.example.com/simple/"', "must not contain a user name or password"),
    ('packages.index_url = "https://mirror.example.com/simple/?a=b"', "must not contain a query"),
    ('packages.index_url = "https://mirror example.com/"', "a character that is not allowed in a URL"),
    ('packages.installer = "conda"', "packages.installer: "),
    ('downloads.mirror = "http://mirror.example.com"', "downloads.mirror: must begin with https://"),
    ('downloads.mirror = "https://mirror.example.com/a,b"', "downloads.mirror: contains a character that is not allowed in a URL"),
    ('downloads.source = "usb"', 'downloads.source: unknown value; expected "direct", "mirror", or "push"'),
    ('downloads.source = "push"', 'downloads.source = "push" requires downloads.bundle'),
    ('downloads.proxy = "proxy:3128"', "downloads.proxy: must begin with http://"),
    ('path.entries = ["bin"]', "path.entries[1]: must be an absolute path"),
    ('path.entries = ["C:\\\\a", "C:\\\\b;C:\\\\c"]', "path.entries[2]: must not contain any of these characters"),
    ("path.entries = ['C:\\a\"']", "path.entries[1]: must not contain any of these characters"),
    ('path.entries = ["%ProgramFiles%\\\\a\'"]', "path.entries[1]: must not contain any of these characters"),
    ("path.entries = ['C:\\" + "x" * 198 + "']", "must not be longer than 200 characters"),
    ("path.entries = [7]", "path.entries[1]: expected text, found a number"),
    ('certificate.names = ["*.example.com"]', "certificate.names[1]: must be a DNS name"),
    ("certificate.days = 398", "certificate.days: the number is out of range; expected a whole number from 1 to 397"),
    ("notebook.port = 0", "notebook.port: the number is out of range"),
    ('notebook.interface = "classic"', 'notebook.interface: unknown value; expected "lab" or "notebook"'),
    ("notebook.session = 0", "notebook.session: the number is out of range; expected a whole number of hours from 1 to 744"),
    ("notebook.session = 745", "notebook.session: the number is out of range"),
    ("notebook.session = 0.5", "found a decimal number"),
    ("notebook.password_minimum = 7", "notebook.password_minimum: the number is out of range; expected a whole number from 8 to 128"),
    ("notebook.password_minimum = 129", "notebook.password_minimum: the number is out of range"),
    ("notebook.ip = 'fe80::1%a\" b'", "notebook.ip: an IPv6 address must not have a zone ID"),
    ('notebook.ip = "localhost"', "notebook.ip: must be an IP address; expected "),
    ('notebook.directory = "notebooks"', "notebook.directory: must be an absolute path"),
    (
        'notebook.directory = "C:/notebooks"',
        "must use backslashes instead of slashes; write the path in single quotes, such as 'C:\\notebooks'",
    ),
    ('notebook.directory = "%ProgramData%/notebooks"', "must use backslashes instead of slashes"),
    ("notebook.directory = 'C:\\notebooks/anna'", "must use backslashes instead of slashes"),
    ("notebook.directory = '\\\\server\\share'", "must not be a network path: the notebook server's account cannot reach it"),
    ('notebook.directory = "//server/share"', "must not be a network path"),
    ("notebook.directory = 'C:notebooks'", "must have a backslash after the drive"),
    ('notebook.directory = "/srv/notebooks"', "must be a Windows path such as 'C:\\notebooks', not a Linux path"),
    ("notebook.directory = '$env:ProgramData\\notebooks'", "must use the form %ProgramData% for variables, not $env:ProgramData"),
    ("notebook.directory = 'C:\\data\\aux'", "must not contain a component that is a reserved Windows device name, such as CON or NUL"),
    ("notebook.directory = 'C:\\Com1.x\\data'", "a reserved Windows device name"),
    ("notebook.directory = 'C:\\data.\\x'", "must not have a component that ends with a dot or space"),
    ("path.entries = ['C:\\data \\x']", "must not have a component that ends with a dot or space"),
    ("notebook.directory = 'C:\\\\data'", "must not contain an empty component (in single quotes, write each backslash only once)"),
    ("notebook.directory = 'C:\\'", "must be a folder such as D:"),
    (
        'notebook.directory = "%ProgramData%"',
        "must be a folder such as D:\\notebooks or %ProgramData%\\notebooks, not only a drive or an environment variable",
    ),
    ("notebook.directory = 'C:\\a\\..\\Windows'", "must not contain . or .. as a component"),
    ('notebook.public_url = "http://notebooks.example.com"', "must begin with https://"),
    (f'notebook.public_url = "https://me:{SECRET}@n.example.com"', "must not contain a user name or password"),
    ('notebook.public_url = "https:///"', "must contain a host"),
    ("firewall.remote_addresses = []", "nobody will be able to connect"),
    ('firewall.remote_addresses = ["Any", "192.0.2.1"]', '"Any" cannot be combined with other addresses'),
    ('firewall.remote_addresses = ["0.0.0.0/0"]', 'this network contains every address; use "Any" instead'),
    ('firewall.remote_addresses = ["::/0"]', 'this network contains every address; use "Any" instead'),
    ('firewall.remote_addresses = ["192.0.2.1/24"]', "host bits set: all bits after the prefix length must be 0"),
    ('firewall.remote_addresses = ["fe80::%a;b/64"]', "firewall.remote_addresses[1]: an IPv6 address must not have a zone ID"),
    ('firewall.remote_addresses = ["office"]', "firewall.remote_addresses[1]: must be an IP address, a network"),
    ("[hosts.win1.example]\naddress = 'x'", 'a name that contains dots must be quoted: [hosts."win1.example"]'),
]


@pytest.mark.parametrize(("line", "words"), SETTINGS, ids=[line for line, _ in SETTINGS])
def test_a_wrong_setting(tmp_path: Path, line: str, words: str) -> None:
    key = line.split("=")[0].strip()
    good = "".join(other for other in COMPLETE.splitlines(keepends=True) if not other.startswith(f"{key} "))
    message = refusal(tmp_path, good + line + "\n")
    assert message.startswith(f"{good.count(chr(10)) + 1}: [hosts.win1] ")
    assert words in message
    assert "\n" not in message, "one mistake, one fault"


CONTRADICTIONS = [
    (
        'windows = "2012"',
        "5: [hosts.win1] windows: no supported Python version runs on Windows Server 2012; upgrade the host, or set accept_end_of_life = true",
    ),
    ('accept_end_of_life = false\nwindows = "2012"', "6: [hosts.win1] windows: no supported Python version runs on Windows Server 2012"),
    ('user = "x"', "5: [hosts.win1] user: requires password"),
    ('password = { env = "A" }', "5: [hosts.win1] password: requires user"),
    ('auth = "basic"', '5: [hosts.win1] auth: "basic" requires user and password (host win1)'),
    (
        "tls = false\nfingerprint = 'SHA256:" + "0" * 64 + "'",
        "6: [hosts.win1] fingerprint: requires tls = true",
    ),
    ("tls = false\nca_file = 'nbserver.toml'", "6: [hosts.win1] ca_file: requires tls = true"),
    (
        f"fingerprint = 'SHA256:{'0' * 64}'\nca_file = 'nbserver.toml'",
        "5: [hosts.win1] fingerprint: cannot be combined with ca_file",
    ),
    ("tls = false\nauth = 'basic'\nuser = 'x'\npassword = {env = 'A'}", '6: [hosts.win1] auth: "basic" sends'),
]


@pytest.mark.parametrize(("lines", "words"), CONTRADICTIONS, ids=[words for _, words in CONTRADICTIONS])
def test_settings_that_contradict_each_other(tmp_path: Path, lines: str, words: str) -> None:
    assert words in refusal(tmp_path, GOOD + lines + "\n")


LAYOUT = [
    ("", 1, "the inventory has no hosts"),
    ("# nothing\n[defaults]\nport = 1\n", 1, "the inventory has no hosts; add a [hosts.NAME] table"),
    ("hosts = 3\n", 1, "hosts: expected a [hosts] table"),
    (GOOD + "[groups]\nlab = 1\n", 6, "groups: expected a [groups.NAME] table"),
    (GOOD + "[[defaults]]\nport = 1\n", 5, "defaults: expected a [defaults] table, found an array"),
    (
        GOOD.replace("hosts.", "host."),
        1,
        'unknown key (did you mean "hosts"?); valid keys: defaults, groups, hosts, hosts_from, hosts_command',
    ),
    ("port = 1\n" + GOOD, 1, "port: unknown key (to set it for all hosts, move it to [defaults])"),
    (GOOD + "[groups.lab]\n", 5, "[groups.lab]: hosts or groups is required"),
    (GOOD + "[groups.lab]\nhosts = 'win1'\n", 6, "[groups.lab] hosts: expected an array of names, found text"),
    (GOOD + "[groups.lab]\nhosts = [\n  'win1',\n  'win2']\n", 8, 'entry 2 is not the name of a host (did you mean "win1"?)'),
    (GOOD + "[groups.lab]\nhosts = ['win1', 'win1']\n", 6, '"win1" is listed twice'),
    (GOOD + "[groups.lab]\nhosts = ['win1', 'WIN1']\n", 6, '"WIN1" is listed twice'),
    (GOOD + "[groups.lab]\nhosts = [1]\n", 6, "expected an array of names"),
    (GOOD + "[groups.WIN1]\nhosts = []\n", 1, "hosts.win1: the name is already used by groups.WIN1 on line 5"),
    (GOOD + GOOD.replace("win1]", "Win1]"), 5, "hosts.Win1: the name is already used by hosts.win1 on line 1"),
    (GOOD.replace("win1]", "LOCAL]"), 1, '"local" is reserved for this machine'),
    (GOOD.replace("win1]", '"com1.example"]'), 1, "Windows reserves this name for a device; choose another name"),
    (GOOD.replace("win1]", '"win1."]'), 1, 'not end with "."'),
    (GOOD.replace("win1]", '"win 1"]'), 1, "a name must have 1 to 100 characters"),
    ("[hosts.win1]\n", 1, "[hosts.win1] system: this key is required"),
    (GOOD.replace("address", "#"), 1, "[hosts.win1] address: this key is required; expected a DNS name"),
    (GOOD.replace("notebook.", "# "), 1, "[hosts.win1] notebook.password: this key is required; expected a reference"),
    (GOOD + "\n[groups.empty]\nhosts = []\nport = 0\n", 8, "[groups.empty] port: the number is out of range"),
    (GOOD + "= 1\n", 5, "this is not valid TOML: empty key"),
]


@pytest.mark.parametrize(("text", "line", "words"), LAYOUT, ids=[words for _, _, words in LAYOUT])
def test_a_wrong_layout(tmp_path: Path, text: str, line: int, words: str) -> None:
    message = refusal(tmp_path, text)
    assert message.startswith(f"{line}: ")
    assert words in message


def test_all_faults_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = '[defaults]\nport = 0\nauth = "x"\n' + GOOD + "tls = 1\n[hosts.win2]\nsystem = 'windows'\nfoo = 1\n"
    lines = refusal(tmp_path, text).splitlines()
    assert [line.split(": ")[0] for line in lines] == ["2", "3", "8", "9", "9", "11"]
    assert "port" in lines[0] and "auth" in lines[1] and "tls" in lines[2] and "unknown key" in lines[5]
    assert {"address", "notebook.password"} == {line.split()[2].rstrip(":") for line in lines[3:5]}


def test_a_fault_in_the_defaults_is_told_once(tmp_path: Path) -> None:
    many = "".join(GOOD.replace("win1", f"win{n}") for n in range(5))
    assert refusal(tmp_path, "[defaults]\nport = 0\n" + many).count("port") == 1
    message = refusal(tmp_path, "[defaults]\nuser = 'x'\n" + many)
    assert message.startswith("2: [defaults] user: requires password") and message.count("\n") == 0
    assert "(hosts win0, win1, win2, win3, win4)" in message


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match=r"absent\.toml: the file does not exist\. Create the inventory, .* or run nbserver up "):
        load(tmp_path / "absent.toml")
    (tmp_path / "x.toml").write_bytes(b"[hosts]\n# \xff\n")
    with pytest.raises(InventoryError, match=r"x\.toml:2: the text is not UTF-8"):
        load(tmp_path / "x.toml")


def test_texts_that_other_programs_print(tmp_path: Path) -> None:
    """A name with a dot at its end, a name with an umlaut, a group in capitals, a file of Windows PowerShell."""
    text = (
        COMPLETE.replace("win1.example.com", "win1.example.com.")
        + """\
notebook.public_url = "https://B\u00fccher.example.com.:8443"
certificate.names = ["m\u00fcnchen.example.com", "stra\u00dfe.example.com", "\u4f8b\u3048.example.com", "xn--mnchen-3ya.example.org."]
notebook.directory = 'C:\\Daten f\u00fcr alle\\'
path.entries = ['C:\\Tools\\', '%ProgramFiles(x86)%\\a']
[groups.lab]
hosts = ["WIN1"]
"""
    )
    path = tmp_path / "nbserver.toml"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
        path.write_text(text, encoding, newline="\r\n")
        inventory = load(path)
        host = inventory.hosts["win1"]
        assert isinstance(host, WindowsHost)
        assert host.address == "win1.example.com"
        assert host.notebook.public_url == "https://xn--bcher-kva.example.com:8443"
        assert host.certificate.names == (
            "xn--mnchen-3ya.example.com",
            "xn--strae-oqa.example.com",
            "xn--r8jz45g.example.com",
            "xn--mnchen-3ya.example.org",
        )
        assert host.notebook.directory == "C:\\Daten f\u00fcr alle\\" and host.path.entries == ("C:\\Tools\\", "%ProgramFiles(x86)%\\a")
        assert inventory.groups == {"lab": ("win1",)}


@pytest.mark.parametrize("user", ["CORP\\anna", ".\\anna", "anna@corp.example.com", "svc$", "john smith", "j\u00e9r\u00f4me"])
def test_users_of_windows(tmp_path: Path, user: str) -> None:
    (tmp_path / "nbserver.toml").write_text(COMPLETE.replace('"admin"', f"'{user}'"), "utf-8")
    host = load(tmp_path / "nbserver.toml").hosts["win1"]
    assert isinstance(host, WindowsHost) and host.user == user


@pytest.mark.parametrize(
    ("setting", "warning"),
    [
        ("notebook.port = 6000", "browsers refuse to connect to port 6000; choose another notebook.port"),
        ("notebook.port = 6001", None),
        ("notebook.port = 6000\nnotebook.public_url = 'https://a.example.com'", None),
        ("notebook.public_url = 'https://a.example.com:10080'", "browsers refuse to connect to port 10080, which notebook.public_url uses"),
    ],
)
def test_ports_that_browsers_block(tmp_path: Path, setting: str, warning: str | None) -> None:
    (tmp_path / "nbserver.toml").write_text(f"{COMPLETE}{setting}\n")
    found = blocked_port(load(tmp_path / "nbserver.toml").hosts["win1"])
    assert (found is None) if warning is None else str(found).startswith(warning)


def test_files_of_hosts_that_are_not_selected_are_not_needed(tmp_path: Path) -> None:
    """A site's inventory is used on workstations that have the files of some hosts only."""
    path = tmp_path / "nbserver.toml"
    path.write_text(
        '[defaults]\nuser = "a"\nnotebook.password = { env = "N" }\n'
        '[hosts.win1]\nsystem = "windows"\naddress = "192.0.2.1"\npassword = { env = "P" }\nca_file = "missing.pem"\n'
        '[hosts.lin1]\nsystem = "linux"\naddress = "192.0.2.2"\npackages.requirements = "missing.txt"\n'
        '[hosts.lin2]\nsystem = "linux"\naddress = "192.0.2.3"\n'
    )
    assert [*load(path, ["lin2"]).hosts] == ["lin2"]
    for name, file in (("win1", "ca_file: the file does not exist"), ("lin1", "packages.requirements: the file does not exist")):
        with pytest.raises(InventoryError, match=file):
            load(path, [name])
