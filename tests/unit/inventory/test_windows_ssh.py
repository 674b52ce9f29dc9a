"""transport = "ssh" of a Windows host: which keys it has, which it refuses, and what the manifest says about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nbserver.approval import target
from nbserver.base.errors import InventoryError
from nbserver.inventory import reader
from nbserver.inventory.hosts import AnyHost

HOST = """\
[hosts.win1]
system = "windows"
address = "win1.example.com"
transport = "ssh"
user = 'WIN1\\anna'
notebook.password = { env = "NOTEBOOK" }
"""
KEY = f'host_key = "SHA256:{"A" * 43}"\n'


def loaded(folder: Path, text: str, name: str = "win1") -> AnyHost:
    (folder / "nbserver.toml").write_text(text, "utf-8")
    return reader.load(folder / "nbserver.toml").hosts[name]


def test_the_least_settings(tmp_path: Path) -> None:
    host = loaded(tmp_path, HOST)
    assert (host.transport, host.port, host.agent, host.password) == ("ssh", 22, True, None)  # type: ignore[union-attr]
    assert loaded(tmp_path, HOST + "port = 2222\n").port == 2222  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("tls = false", 'tls: cannot be combined with transport = "ssh", because it applies only to WinRM'),
        ('auth = "ntlm"', 'auth: cannot be combined with transport = "ssh"'),
        (f'fingerprint = "SHA256:{"ab" * 32}"', 'fingerprint: cannot be combined with transport = "ssh"'),
        ('proxy = "http://proxy:3128"', 'proxy: cannot be combined with transport = "ssh"'),
        ('configuration_name = "Own"', 'configuration_name: requires transport = "psrp"'),
        (KEY + 'known_hosts = "k"', "known_hosts: cannot be combined with host_key; use one or the other"),
        ("agent = false", "agent: must be true unless key_file or password is set"),
        ('key_password = { env = "X" }', "key_password: requires key_file"),
        ("sudo = false", "sudo: applies only to Linux hosts"),
    ],
)
def test_what_belongs_to_winrm_is_refused(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(InventoryError) as caught:
        loaded(tmp_path, f"{HOST}{line}\n")
    assert words in str(caught.value)


def test_a_user_is_required(tmp_path: Path) -> None:
    with pytest.raises(InventoryError, match='transport: "ssh" requires user; set user as well'):
        loaded(tmp_path, HOST.replace("user = 'WIN1\\anna'\n", ""))


@pytest.mark.parametrize("line", ['key_file = "k"', "agent = false", KEY.strip(), 'known_hosts = "k"', "keepalive = 9"])
@pytest.mark.parametrize("transport", ["psrp", "winrm"])
def test_what_belongs_to_ssh_is_refused(tmp_path: Path, line: str, transport: str) -> None:
    with pytest.raises(InventoryError) as caught:
        loaded(tmp_path, HOST.replace('"ssh"', f'"{transport}"') + 'password = { env = "X" }\n' + line + "\n")
    assert f'{line.split()[0]}: requires transport = "ssh"' in str(caught.value)


def test_hosts_of_each_transport_share_defaults(tmp_path: Path) -> None:
    """What does not apply to a host is left out, and what applies counts."""
    (tmp_path / "ca.pem").touch()
    defaults = (
        "[defaults]\ntls = false\nconfiguration_name = 'Own'\nkey_file = 'k'\nkeepalive = 9\npassword = { env = 'X' }\nuser = 'anna'\n"
    )
    other = HOST.replace("win1", "win2").replace('transport = "ssh"\n', "")
    ssh, psrp = (loaded(tmp_path, defaults + HOST + other, name) for name in ("win1", "win2"))
    assert (ssh.key_file, ssh.keepalive, ssh.tls, ssh.port) == (tmp_path / "k", 9, True, 22)  # type: ignore[union-attr]
    assert (psrp.key_file, psrp.tls, psrp.configuration_name, psrp.port) == (None, False, "Own", 5985)  # type: ignore[union-attr]


def test_the_target_has_the_key_and_none_of_winrm(tmp_path: Path) -> None:
    found = target.of(loaded(tmp_path, HOST + KEY + 'jump = "b@gw.example.com"\n'))
    assert {key: value for key, value in found.items() if value is not None} == {
        "address": "win1.example.com",
        "host_key": f"SHA256:{'A' * 43}",
        "jump": "b@gw.example.com:22",
        "port": 22,
        "sudo": False,
        "transport": "ssh",
        "user": "WIN1\\anna",
    }
    assert target.first_fault(json.loads(json.dumps(found))) is None


def test_a_windows_host_is_a_jump_host(tmp_path: Path) -> None:
    linux = '[hosts.lin1]\nsystem = "linux"\naddress = "lin1"\nuser = "a"\njump = "win1"\nnotebook.password = { env = "N" }\n'
    (hop,) = loaded(tmp_path, HOST + KEY + linux, "lin1").hops  # type: ignore[union-attr]
    assert (hop.name, hop.text) == ("win1", f"WIN1\\anna@win1.example.com:22 SHA256:{'A' * 43}")


def test_the_shell_of_a_windows_host_in_a_list_of_ansible(tmp_path: Path) -> None:
    variables = {"ansible_connection": "ssh", "ansible_shell_type": "cmd", "ansible_user": "anna"}
    listed = {"_meta": {"hostvars": {"win9": variables}}, "all": {"hosts": ["win9"]}}
    (tmp_path / "hosts.json").write_text(json.dumps(listed))
    host = loaded(tmp_path, 'hosts_from = "hosts.json"\n[defaults]\nnotebook.password = { env = "N" }\n', "win9")
    assert (host.kind, host.transport, host.port, host.user) == ("windows", "ssh", 22, "anna")  # type: ignore[union-attr]
