"""Decide which host keys to trust: the one that the inventory pins, or those in known_hosts."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import asyncssh

from nbserver.base.errors import HostKeyError
from nbserver.base.message import Message, message
from nbserver.transports.ssh import known_hosts

if TYPE_CHECKING:
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.ssh_server import SshServer

# The order in which OpenSSH prefers plain keys.
_KINDS = {
    "ED25519": ["ssh-ed25519"],
    "ECDSA": ["ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"],
    "RSA": ["rsa-sha2-512", "rsa-sha2-256"],
}
_ALL = [algorithm for algorithms in _KINDS.values() for algorithm in algorithms]


class HostKeys:
    """The host keys that are trusted before the host is contacted. Raises HostKeyError if they cannot be read.

    `hops` are the jump hosts on the way. `shown` is the untrusted key that the host presented, if any.
    """

    def __init__(self, host: LinuxHost | SshServer, hops: Sequence[LinuxHost | SshServer] = ()) -> None:
        self._host, self._hops = host, hops
        self.shown: asyncssh.SSHKey | None = None
        self._pin = host.host_key
        self._file = known_hosts.file_of(host)
        if self._pin is None:
            self._trusted, self._authorities, self._revoked = known_hosts.read(host).keys(host.address, host.port)
        else:
            pinned = [] if self._pin.startswith("SHA256:") else [self._pinned_key(self._pin)]
            self._trusted, self._authorities, self._revoked = pinned, [], []

    def _pinned_key(self, text: str) -> asyncssh.SSHKey:
        try:
            return asyncssh.import_public_key(text)
        except asyncssh.KeyImportError:
            raise HostKeyError(
                "host-key-invalid",
                "host_key is not a valid public key",
                host=self._host.name,
                todo='Use "SHA256:..." as printed by ssh-keygen -lf, or a complete public key such as "ssh-ed25519 AAAA..."',
            ) from None

    def choices(self) -> list[dict[str, Any]]:
        """Return the options for each connection attempt, in order. A host presents only one key, of a requested kind."""
        options: dict[str, Any] = {"known_hosts": (self._trusted, self._authorities, self._revoked), "x509_trusted_certs": None}
        every_kind = {**options, "server_host_key_algs": _ALL}
        if self._trusted or self._authorities:
            return [options, every_kind]
        if self._pin is None:
            return [every_kind]
        return [every_kind, *({**options, "server_host_key_algs": algorithms} for algorithms in list(_KINDS.values())[1:])]

    def another_kind_may_do(self, error: Exception) -> bool:
        """Return whether to try the next choice.

        A fingerprint does not show the kind of its key. A host without a key of a known kind may close the connection; asking for
        another kind then shows that its key has changed.
        """
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            return self._pin is not None and not self._trusted and self.shown is not None
        return isinstance(error, (asyncssh.KeyExchangeFailed, asyncssh.ConnectionLost, ConnectionResetError))

    def accepts(self, key: asyncssh.SSHKey) -> bool:
        """Return whether a key that is not in the list of trusted keys is the pinned one."""
        if self._pin is not None and self._pin.startswith("SHA256:") and key.get_fingerprint() == f"SHA256:{self._pin[7:].rstrip('=')}":
            return True
        self.shown = self.shown or key
        return False

    def refusal(self, words: str) -> HostKeyError:
        """Return the error for a rejected key. `words` is asyncssh's message, used for a revoked key or a certificate."""
        host, place = self._host, f"{self._host.address}:{self._host.port}"
        if "revoked" in words:
            return HostKeyError(
                "host-key-revoked",
                "{place} presented a host key that {file} marks as revoked",
                host=host.name,
                todo="This may be an attack: ask the host's owner before you connect again",
                place=place,
                file=self._file,
            )
        if self.shown is None:
            return HostKeyError(
                "host-certificate-refused",
                "{place} presented a host certificate that this workstation does not accept: {reason}",
                host=host.name,
                todo="Check the @cert-authority line in {file}, and the principals and validity period of the certificate",
                place=place,
                reason=words.partition(" for host ")[0],
                file=self._file,
            )
        shown = describe(self.shown)
        if self._pin is not None:
            return HostKeyError(
                "host-key-not-pinned",
                "{place} presented a host key that does not match host_key in the inventory ({key})",
                host=host.name,
                todo="This may be an attack, or the host was reinstalled: ask the host's owner to confirm the new key. If "
                "the key is genuine, set host_key in the inventory to the new fingerprint",
                place=place,
                key=shown,
            )
        if not self._trusted and not self._authorities:
            return HostKeyError(
                "host-key-unknown",
                "the host key for {place} is not known on this workstation ({key})",
                host=host.name,
                todo='Compare the fingerprint with the output of ssh-keygen -lf /etc/ssh/ssh_host_{kind}_key.pub on the host. If they match, set host_key = "{fingerprint}" in the inventory, or {how}',
                place=place,
                key=shown,
                kind=_kind(self.shown).lower(),
                fingerprint=self.shown.get_fingerprint(),
                how=self._append(self.shown),
            )
        return HostKeyError(
            "host-key-changed",
            "the host key for {place} has changed: the host presented a key that is not in {file} ({key})",
            host=host.name,
            todo="This may be an attack, or the host was reinstalled: ask the host's owner to confirm the new key. If the key is genuine, remove the old key with: {command}",
            place=place,
            key=shown,
            file=self._file,
            command=self._remove(),
        )

    def _remove(self) -> str:
        """Return the command that removes the host's keys from the file."""
        named = self._host.address if self._host.port == known_hosts.DEFAULT_PORT else f"[{self._host.address}]:{self._host.port}"
        return f"ssh-keygen -R {_word(named)} -f {_word(str(self._file))}"

    def _on_jump_host(self) -> str:
        """Return the beginning of a command that runs on the last jump host: only that reaches the host."""
        if not self._hops:
            return ""
        *before, last = self._hops
        way = f"-J {_word(','.join(map(_jump, before)))} " if before else ""
        port = "" if last.port == known_hosts.DEFAULT_PORT else f"-p {last.port} "
        return f"ssh {way}{port}{_word(f'{last.user}@{last.address}')} "

    def _append(self, key: asyncssh.SSHKey) -> Message:
        """Return how to add the host's key of this kind to the file. In Windows PowerShell 5.1, >> would write UTF-16."""
        port = "" if self._host.port == known_hosts.DEFAULT_PORT else f" -p {self._host.port}"
        scan, file = f"{self._on_jump_host()}ssh-keyscan -t {_kind(key).lower()}{port} {self._host.address}", _word(str(self._file))
        if sys.platform == "win32":
            return message("run-in-powershell", "run in PowerShell: {command}", command=f"{scan} | Add-Content -Encoding Ascii {file}")
        return message("run-command", "run: {command}", command=f"{scan} >> {file}")


def _jump(server: LinuxHost | SshServer) -> str:
    """Return a server as -J of ssh has it."""
    address = f"[{server.address}]" if ":" in server.address else server.address
    return f"{server.user}@{address}:{server.port}"


def _word(text: str) -> str:
    """Return the text as one word of a command. On Windows, double quotes do in PowerShell and cmd, unless there is a $ or backtick."""
    if sys.platform != "win32":
        return shlex.quote(text)
    if re.fullmatch(r"[\w.:\\/~-]+", text, re.ASCII):
        return text
    return f'"{text}"' if not set("$`").intersection(text) else "'" + text.replace("'", "''") + "'"


def describe(key: asyncssh.SSHKey) -> str:
    """Return the key's fingerprint in the words of OpenSSH: `ED25519 key fingerprint is SHA256:...`."""
    return f"{_kind(key)} key fingerprint is {key.get_fingerprint()}"


def _kind(key: asyncssh.SSHKey) -> str:
    algorithm = key.get_algorithm()
    if algorithm.startswith("ecdsa-"):
        return "ECDSA"
    return {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}.get(algorithm, algorithm)
