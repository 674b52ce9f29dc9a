"""The envelope: the only input of a run beside its script. Lines of `name value`, so mode and secrets change no hash."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

Mode = Literal["test", "apply", "undo", "request", "events"]

BOOT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
RUN_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
SECRET_NAME = re.compile(r"[a-z][a-z0-9_.]*")
SALT = re.compile(r"[A-Za-z0-9+/]{22}")  # 16 bytes, as in a PHC string


@dataclass(frozen=True)
class PasswordHash:
    """The hash of the notebook password for one host, computed when the host has answered, and what it may replace there.

    `compute` raises HostError and StopRequested.
    """

    compute: Callable[[], str]
    former_salt: str = ""
    new_salt: bool = False


@dataclass(frozen=True)
class Envelope:
    """What a run is asked to do. `after` belongs to mode events: send what `run` wrote after that event.

    `boot_before` belongs to modes apply and request: only begin when Windows has restarted since it started at that time (UTC, as the
    event `started` tells it).

    `restarts` (0 to 9) is how often the host may still restart Windows in this run, because the sender comes back after it.

    `time` is the workstation's clock (with its zone), for the host to compare its own with; without it nothing is compared.

    `former_salt` is the salt (as a hash shows it) of a password hash that may be replaced by one with another salt;
    with `new_salt` any may.

    Secrets are kept out of repr; they leave in `lines()` only.
    """

    mode: Mode
    run: str
    operator: str = ""
    after: int = 0
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    boot_before: str = ""
    time: datetime | None = None
    restarts: int = 0
    former_salt: str = ""
    new_salt: bool = False

    def __post_init__(self) -> None:
        if not RUN_ID.fullmatch(self.run):
            raise ValueError("a run's name is 1 to 64 letters, digits and hyphens")
        if self.after < 0:
            raise ValueError("events are counted from 1")
        if self.boot_before and not BOOT.fullmatch(self.boot_before):
            raise ValueError("a boot time is such as 2026-11-22T19:41:41Z")
        if not 0 <= self.restarts <= 9:
            raise ValueError("restarts are 0 to 9")
        if self.former_salt and not SALT.fullmatch(self.former_salt):
            raise ValueError("a salt is 22 characters of Base64")
        for name in self.secrets:
            if not SECRET_NAME.fullmatch(name):
                raise ValueError("a secret's name is lower-case letters, digits, '_' and '.'")

    def lines(self) -> list[str]:
        """The lines as they are sent, in ASCII."""
        lines = [f"mode {self.mode}", f"run {self.run}"]
        if self.operator:
            lines.append(f"operator {_base64(self.operator)}")
        if self.time:
            lines.append(f"time {self.time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}")
        if self.mode == "events":
            lines.append(f"after {self.after}")
        if self.boot_before:
            lines.append(f"boot-before {self.boot_before}")
        if self.restarts:
            lines.append(f"restarts {self.restarts}")
        if self.former_salt:
            lines.append(f"former-salt {self.former_salt}")
        if self.new_salt:
            lines.append("new-salt yes")
        return lines + [f"secret {name} {_base64(value)}" for name, value in sorted(self.secrets.items())]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8")).decode("ascii")
