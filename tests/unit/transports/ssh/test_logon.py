"""What a logon offers if the SSH agent is of no use."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from nbserver.inventory.ssh_server import SshServer
from nbserver.transports.ssh.errors import explain
from nbserver.transports.ssh.logon import Logon

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs the socket of an agent")


@pytest.mark.parametrize("answers", [True, False])
def test_an_agent_without_keys_or_without_an_answer_leaves_the_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    """One that was forwarded over a connection that hangs takes every request, and says nothing."""
    monkeypatch.setenv("SSH_AUTH_SOCK", str(tmp_path / "agent"))

    async def agent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(5)
        if answers:
            writer.write(b"\0\0\0\5\x0c\0\0\0\0")  # no keys
        await reader.read()  # until it is hung up on
        writer.close()

    async def keys_and_password() -> tuple[Any, Any]:
        async with await asyncio.start_unix_server(agent, tmp_path / "agent"):
            logon = Logon([], True, "correct horse", None, 0.2)  # type: ignore[arg-type]
            found = await asyncio.wait_for(logon.public_key_auth_requested(), 30), logon.password_auth_requested()
            logon.connection_lost(None)
            assert logon.tried == ["password"]
            return found

    assert asyncio.run(keys_and_password()) == (None, "correct horse")


def test_no_character_of_a_password_is_shown() -> None:
    """A variable that is not UTF-8 has lone surrogates, which cannot be sent."""
    server = SshServer("lin1", "192.0.2.7", "anna")
    told = explain(UnicodeEncodeError("utf-8", "correct\udce4horse", 7, 8, "surrogates not allowed"), server)
    assert str(told).startswith("lin1: the user name or a password for 192.0.2.7:22 is not valid Unicode")
    assert "dce4" not in str(told) and "position" not in str(told)
