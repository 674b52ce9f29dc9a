"""The jump hosts on the way to each host: the key `jump`, resolved from host to host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from nbserver.base.message import Message, message
from nbserver.inventory.hosts import AnyHost
from nbserver.inventory.ssh_server import SshServer, is_server, of_host, of_text
from nbserver.settings.faults import Nearest
from nbserver.settings.toml_lines import Key

SSH = "ssh"


class Jumps:
    """The ways to hosts. `found` has the faults: where each one is, and what is wrong.

    `names` are all names of the inventory. `host` returns the host of a name, or None if its settings are wrong; `table` returns
    the table that a host has its `jump` from.
    """

    def __init__(self, names: Sequence[str], host: Callable[[str], AnyHost | None], table: Callable[[str], Key]) -> None:
        self._names, self._by_name = names, {name.lower(): name for name in names}
        self._host, self._table = host, table
        self._server = cache(lambda name: of_host(hop) if (hop := host(name)) is not None else None)
        self._nearest = Nearest()
        self.found: list[tuple[Key, Message]] = []

    def with_hops(self, host: AnyHost) -> AnyHost:
        """Return the host with its jump hosts, the nearest to the workstation first."""
        hops: list[SshServer] = []
        seen, current = {host.name}, host
        while (jump := getattr(current, "jump", None)) is not None:
            if is_server(jump):
                hops.append(of_text(jump))
                break
            hop = self._named(current.name, jump)
            server = None if hop is None else self._server(hop.name)
            if hop is None or server is None:
                break
            if hop.name in seen:
                circle = message(
                    "jump-in-circle",
                    "jump: the jump hosts for {name} form a loop: {other} is reached twice",
                    name=host.name,
                    other=hop.name,
                )
                self._fault(current.name, circle)
                break
            seen.add(hop.name)
            hops.append(server)
            current = hop
        return host.model_copy(update={"hops": tuple(reversed(hops))}) if hops else host

    def _named(self, name: str, jump: str) -> AnyHost | None:
        """Return the jump host of a host, or None if there is none, or if it is not usable.

        A host whose own name is its jump, because [defaults] or a group has it, is reached directly.
        """
        other = self._by_name.get(jump.lower())
        if other == name:
            if self._table(name) == ("hosts", name):
                self._fault(name, message("jump-to-itself", "jump: must not be the name of the host itself"))
            return None
        hop = None if other is None else self._host(other)
        if other is None:
            self._fault(name, self._unknown(jump))
        elif hop is not None and hop.transport != SSH:
            self._fault(
                name, message("jump-not-linux", "jump: {name} is not a Linux host; a jump host must be reached over SSH", name=other)
            )
            return None
        return hop

    def _fault(self, name: str, reason: Message) -> None:
        self.found.append(((*self._table(name), "jump"), reason))

    def _unknown(self, jump: str) -> Message:
        near = self._nearest.of(jump, self._names)
        if near:
            return message(
                "jump-unknown-near",
                'jump: no host has this name (did you mean "{near}"?); expected the name of a Linux host in the inventory, or user@address:port',
                near=near,
            )
        return message(
            "jump-unknown", "jump: no host has this name; expected the name of a Linux host in the inventory, or user@address:port"
        )
