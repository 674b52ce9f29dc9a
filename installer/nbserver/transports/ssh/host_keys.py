"""Which key a host may show: one that the inventory pins, or what known_hosts says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh

from nbserver.base.errors import HostKeyError

if TYPE_CHECKING:
    from nbserver.inventory.linux_host import LinuxHost

DEFAULT_KNOWN_HOSTS = "~/.ssh/known_hosts"
DEFAULT_PORT = 22
# The order in which OpenSSH prefers plain keys.
_KINDS = {
    "ED25519": ["ssh-ed25519"],
    "ECDSA": ["ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"],
    "RSA": ["rsa-sha2-512", "rsa-sha2-256"],
}
_ALL = [algorithm for algorithms in _KINDS.values() for algorithm in algorithms]


class HostKeys:
    """What is known about a host's keys before it is contacted. Raises HostKeyError where that cannot be read.

    `shown` is the key that it showed and that is not trusted, once it did.
    """

    def __init__(self, host: LinuxHost) -> None:
        self._host = host
        self.shown: asyncssh.SSHKey | None = None
        self._pin = host.host_key
        self._file = host.known_hosts or Path(DEFAULT_KNOWN_HOSTS).expanduser()
        if self._pin is None:
            self._trusted, self._authorities, self._revoked = self._known()
        else:
            pinned = [] if self._pin.startswith("SHA256:") else [self._pinned_key(self._pin)]
            self._trusted, self._authorities, self._revoked = pinned, [], []

    def _pinned_key(self, text: str) -> asyncssh.SSHKey:
        try:
            return asyncssh.import_public_key(text)
        except asyncssh.KeyImportError:
            raise HostKeyError(
                "host_key is no public key",
                host=self._host.name,
                todo='Write "SHA256:..." as ssh-keygen -lf prints it, or a whole line such as "ssh-ed25519 AAAA..."',
            ) from None

    def _known(self) -> tuple[Sequence[asyncssh.SSHKey], Sequence[asyncssh.SSHKey], Sequence[asyncssh.SSHKey]]:
        """Keys, authorities and revoked keys for the host's name: as in OpenSSH, an entry for its IP address alone does not count.

        An entry without a port counts for every port, where there is none with this port.
        """
        try:
            known = asyncssh.import_known_hosts(self._file.read_text("utf-8")) if self._file.exists() else asyncssh.import_known_hosts("")
        except (OSError, ValueError) as error:
            words = error.strerror if isinstance(error, OSError) else error
            raise HostKeyError(
                f"{self._file} cannot be read: {words}", host=self._host.name, todo="Correct that file, or name another one in known_hosts"
            ) from None
        name = self._host.address.lower()
        port = self._host.port if self._host.port != DEFAULT_PORT else None
        found = known.match(name, "", port)
        # That drops what is revoked for this port where it falls back to entries without one.
        also = [known.match(place, "", None)[2] for place in (name, f"[{name}]:{port}")]
        return found[0], found[1], [*found[2], *also[0], *also[1]]

    def choices(self) -> list[dict[str, Any]]:
        """Options for one attempt to connect after the other: a host shows one key, of a kind that is asked for."""
        options: dict[str, Any] = {"known_hosts": (self._trusted, self._authorities, self._revoked), "x509_trusted_certs": None}
        every_kind = {**options, "server_host_key_algs": _ALL}
        if self._trusted or self._authorities:
            return [options, every_kind]
        if self._pin is None:
            return [every_kind]
        return [every_kind, *({**options, "server_host_key_algs": algorithms} for algorithms in list(_KINDS.values())[1:])]

    def another_kind_may_do(self, error: Exception) -> bool:
        """Whether to try the next of the choices. A fingerprint does not tell the kind of its key; and a host that has no key

        of a kind that is known of it may just close the connection: one of another kind shows that it has changed.
        """
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            return self._pin is not None and not self._trusted and self.shown is not None
        return isinstance(error, (asyncssh.KeyExchangeFailed, asyncssh.ConnectionLost, ConnectionResetError))

    def accepts(self, key: asyncssh.SSHKey) -> bool:
        """Whether a key that is not in a list of trusted keys is the pinned one."""
        if self._pin is not None and self._pin.startswith("SHA256:") and key.get_fingerprint() == f"SHA256:{self._pin[7:].rstrip('=')}":
            return True
        self.shown = self.shown or key
        return False

    def refusal(self, words: str) -> HostKeyError:
        """What to tell when the key was refused. `words` are asyncssh's, for a revoked key or a certificate."""
        host, place = self._host, f"{self._host.address}:{self._host.port}"
        if "revoked" in words:
            return HostKeyError(
                f"{place} shows a host key that {self._file} marks as revoked", host=host.name, todo="Do not go on; ask the host's owner"
            )
        if self.shown is None:
            return HostKeyError(
                f"{place} shows a host certificate that is not accepted: {words}",
                host=host.name,
                todo=f"Check @cert-authority in {self._file} and the certificate's principals and dates",
            )
        shown = describe(self.shown)
        if self._pin is not None:
            return self._changed(
                f"{place} shows another host key than host_key in the inventory: its {shown}", "put the new one into host_key"
            )
        if not self._trusted and not self._authorities:
            named = host.address if host.port == DEFAULT_PORT else f"-p {host.port} {host.address}"
            return HostKeyError(
                f"the host key of {place} is not known here: its {shown}",
                host=host.name,
                todo="Compare the fingerprint with what this prints on the host itself: ssh-keygen -lf "
                f'/etc/ssh/ssh_host_{_kind(self.shown).lower()}_key.pub . If it is the same, put host_key = "{self.shown.get_fingerprint()}" '
                f"into the inventory, or append the output of ssh-keyscan {named} to {self._file}",
            )
        return self._changed(f"the host key of {place} has changed: its {shown}, which is not among those in {self._file}", self._remove())

    def _changed(self, what: str, then: str) -> HostKeyError:
        todo = f"Somebody may be in between, or the host was set up anew: find out from its owner before you go on. Only then {then}"
        return HostKeyError(what, host=self._host.name, todo=todo)

    def _remove(self) -> str:
        if self._pin is not None:
            return "put the new one into host_key"
        named = self._host.address if self._host.port == DEFAULT_PORT else f"[{self._host.address}]:{self._host.port}"
        return f"remove the old one with ssh-keygen -R '{named}' -f {self._file}"


def describe(key: asyncssh.SSHKey) -> str:
    """As OpenSSH says it: `ED25519 key fingerprint is SHA256:...`."""
    return f"{_kind(key)} key fingerprint is {key.get_fingerprint()}"


def _kind(key: asyncssh.SSHKey) -> str:
    algorithm = key.get_algorithm()
    if algorithm.startswith("ecdsa-"):
        return "ECDSA"
    return {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}.get(algorithm, algorithm)
