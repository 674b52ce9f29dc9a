"""Write the text of a new inventory: the hosts, where their secrets are, and comments that say what else may be needed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

SecretPlace = Literal["prompt", "env", "keyring"]
PLACES: tuple[SecretPlace, ...] = ("prompt", "env", "keyring")

_HEAD = """\
# An inventory of nbserver: the hosts, and what differs from the defaults. Its keys are described in docs/inventory.md.
# It contains no secrets, only where they are: {{ env = "NAME" }}, {{ keyring = "NAME" }}, {{ file = "PATH" }},
# {{ command = ["PROGRAM", "ARGUMENT"] }}, or {{ prompt = true }}, which makes nbserver ask.
{keyring}"""
_KEYRING = "# To store a secret in the keyring, run: keyring set nbserver NAME\n"
_COLUMN = 44  # where comments begin


@dataclass(frozen=True)
class NewHost:
    """A host to write. `user` may be missing for a Windows host; `fingerprint` is that of its WinRM listener, if it is known."""

    system: Literal["windows", "linux", "local"]
    name: str
    address: str = ""
    user: str | None = None
    fingerprint: str | None = None
    over_ssh: bool = False  # a Windows host

    @property
    def is_remote(self) -> bool:
        """Whether it is another machine than the workstation."""
        return self.system != "local"

    @property
    def has_winrm(self) -> bool:
        """Whether it is reached over WinRM."""
        return self.system == "windows" and not self.over_ssh


def text_of(hosts: Sequence[NewHost], secrets: SecretPlace) -> str:
    """Return the text of an inventory with these hosts, whose secrets are in `secrets`."""
    tables = [_HEAD.format(keyring=_KEYRING if secrets == "keyring" else "")]
    remote = [host for host in hosts if host.is_remote]
    shared = len(remote) > 1
    if shared:
        defaults = [*_lines("notebook.password", _reference(secrets, "notebook"), "for the browser: at least 12 characters")]
        tables.append("\n".join(["# What all hosts have in common. A host can set any of these keys itself.", "[defaults]", *defaults, ""]))
    tables += [_host(host, secrets, shared) for host in hosts]
    return "\n".join(tables)


def _host(host: NewHost, secrets: SecretPlace, shared: bool) -> str:
    lines = [f"[hosts.{_key(host.name)}]"]
    if not host.is_remote:
        lines.append("# This machine. Without notebook.password, nbserver generates one")
        return "\n".join([*lines, ""])
    lines += _lines("system", _text(host.system))
    lines += _lines("address", _text(host.address))
    lines += (_windows if host.has_winrm else _linux if host.system == "linux" else _windows_over_ssh)(host, secrets)
    if not shared:
        reference = _reference(secrets, f"{host.name}-notebook")
        lines += _lines("notebook.password", reference, "for the browser: at least 12 characters")
    return "\n".join([*lines, ""])


def _windows(host: NewHost, secrets: SecretPlace) -> list[str]:
    if host.fingerprint:
        lines = _lines("fingerprint", _text(host.fingerprint), "the only certificate that the WinRM listener may show")
    else:
        lines = ["# If the WinRM listener has a self-signed certificate, pin it by its fingerprint, which enable-remoting.ps1 prints:"]
        lines += ['# fingerprint = "SHA256:..."']
    if host.user is None:
        return [*lines, "# Without user and password, nbserver logs on as the current Windows user."]
    return [*lines, *_lines("user", _text(host.user)), *_lines("password", _reference(secrets, host.name))]


def _windows_over_ssh(host: NewHost, secrets: SecretPlace) -> list[str]:
    return [*_lines("transport", _text("ssh")), *_ssh(host, secrets, "C:\\ProgramData\\ssh\\ssh_host_ed25519_key.pub")]


def _linux(host: NewHost, secrets: SecretPlace) -> list[str]:
    sudo = ["# If sudo asks for a password:", f"# sudo_password = {_reference(secrets, f'{host.name}-sudo')}"]
    return _ssh(host, secrets, "/etc/ssh/ssh_host_ed25519_key.pub", sudo)


def _ssh(host: NewHost, secrets: SecretPlace, key: str, sudo: Sequence[str] = ()) -> list[str]:
    return [
        *_lines("user", _text(host.user or "root")),
        "# nbserver tries the keys of the SSH agent. A key in a file, or a password:",
        '# key_file = "~/.ssh/id_ed25519"',
        f"# password = {_reference(secrets, host.name)}",
        *sudo,
        f"# If ~/.ssh/known_hosts does not have the host, what this prints there: ssh-keygen -lf {key}",
        '# host_key = "SHA256:..."',
    ]


def _lines(key: str, value: str, comment: str = "") -> list[str]:
    line = f"{key} = {value}"
    return [f"{line:<{_COLUMN}}# {comment}" if comment and len(line) < _COLUMN else line]


def _reference(secrets: SecretPlace, name: str) -> str:
    if secrets == "prompt":
        return "{ prompt = true }"
    if secrets == "keyring":
        return f"{{ keyring = {_text(name)} }}"
    variable = re.sub("[^A-Z0-9]", "_", name.upper())
    return f"{{ env = {_text(('_' if variable[0].isdigit() else '') + variable + '_PASSWORD')} }}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _text(name)


def _text(text: str) -> str:
    """Return the text as a string of TOML. In single quotes, a backslash has no special meaning."""
    if "\\" in text and "'" not in text:
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False)
