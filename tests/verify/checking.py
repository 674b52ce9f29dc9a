"""Calls verify() and keeps what it reported."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from nbserver.inventory.linux_host import LinuxHost
from nbserver.verify.checks import Verification, verify
from tests.notebook_server import (
    PASSWORD,
)

OTHER = "SHA256:" + "0" * 64


def host(port: int, address: str, public_url: str | None = None) -> LinuxHost:
    notebook = {"port": port, "public_url": public_url, "password": {"env": "N"}}
    host = LinuxHost.model_validate({"name": "box", "system": "linux", "address": "box", "user": "u", "notebook": notebook})
    return host.model_copy(update={"address": address})  # also one that no inventory could have


@dataclass
class Run:
    """Calls verify() and keeps the steps that were reported."""

    steps: list[tuple[str, str]] = field(default_factory=list)

    def verify(
        self,
        port: int,
        *,
        address: str = "127.0.0.1",
        public_url: str | None = None,
        password: str = PASSWORD,
        fingerprint: str | None = OTHER,
        png_directory: Path | None = None,
        url: str | None = None,
        wait: float = 0,
    ) -> Verification:
        return verify(
            host(port, address, public_url),
            password=password,
            fingerprint=fingerprint,
            png_directory=png_directory,
            url=url,
            on_step=lambda name, text: self.steps.append((name, text)),
            wait=wait,
        )

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(name for name, _ in self.steps)
