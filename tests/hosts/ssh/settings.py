"""The settings of an SSH host, as the transport asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class SshHost:
    """Defaults as in the inventory, but for times."""

    port: int
    user: str
    name: str = "linux1"
    transport: Literal["ssh"] = "ssh"
    address: str = "127.0.0.1"
    key_file: Path | None = None
    agent: bool = False
    host_key: str | None = None
    known_hosts: Path | None = None
    connect_timeout: float = 20
    keepalive: float = 15
    sudo: bool = False
