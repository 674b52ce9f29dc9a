"""Answer a host's questions at logon."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import asyncssh

from nbserver.transports.ssh.host_keys import HostKeys

KEY_FILE, AGENT, PASSWORD = "key_file", "agent", "password"  # what a logon has tried


class Logon(asyncssh.SSHClient):
    """Answers a host's questions at logon: with the key file, then the agent's keys, then the password, which is sent only once.

    `tried` lists what was offered, and `notice` is the last text that the host sent after that, such as that the account has expired.
    `patience` is how many seconds the agent may take to list its keys.
    """

    def __init__(
        self, keys: Sequence[asyncssh.SSHKeyPair], agent: bool, password: str | None, host_keys: HostKeys, patience: float
    ) -> None:
        self._keys, self._use_agent, self._password = list(keys), agent, password
        self.host_keys, self._patience = host_keys, patience
        self._agent: asyncssh.SSHAgentClient | None = None
        self.tried: list[str] = []
        self.notice = ""
        self.has_password = password is not None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._agent is not None:
            self._agent.close()

    def auth_banner_received(self, msg: str, lang: str) -> None:
        """A banner before the first attempt is for everybody, and says nothing about this account."""
        if self.tried:
            self.notice = msg

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        return self.host_keys.accepts(key)

    async def public_key_auth_requested(self) -> Sequence[asyncssh.SSHKeyPair] | None:
        if self._keys:
            keys, self._keys = self._keys, []
            self.tried.append(KEY_FILE)
            return keys
        if self._use_agent:
            self._use_agent = False
            with suppress(OSError, ValueError, asyncssh.Error):  # a missing or unresponsive agent counts as one without keys
                found = await asyncio.wait_for(self._keys_of_agent(), self._patience)
                if found:
                    self.tried.append(AGENT)
                    return list(found)
        return None

    async def _keys_of_agent(self) -> Sequence[asyncssh.SSHKeyPair]:
        self._agent = await asyncssh.connect_agent()
        return await self._agent.get_keys()

    def password_auth_requested(self) -> str | None:
        password, self._password = self._password, None
        if password is not None:
            self.tried.append(PASSWORD)
        return password

    def kbdint_auth_requested(self) -> str | None:
        return None if self._password is None else ""

    def kbdint_challenge_received(self, name: str, instructions: str, lang: str, prompts: Any) -> Sequence[str] | None:
        """A single question with a hidden answer asks for the password, in any language. Returning None gives up."""
        if PASSWORD in self.tried:  # the password was right, and the host has something to add, or asks for more
            self.notice = " ".join(" ".join([instructions, *(prompt for prompt, _ in prompts)]).split())
        if not prompts:
            return []
        if len(prompts) > 1 or prompts[0][1]:
            return None
        password = self.password_auth_requested()
        return None if password is None else [password]
