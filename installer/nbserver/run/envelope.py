"""The envelope: the only input of a run apart from its script. It has lines `name value`, so that mode and secrets change no hash."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from nbserver.base.modes import Mode
from nbserver.notebooks.part import Part
from nbserver.run.log_request import LogRequest

BOOT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
RUN_ID = re.compile(r"[0-9A-Za-z-]{1,64}")
SECRET_NAME = re.compile(r"[a-z][a-z0-9_.]*")
SHA256 = re.compile(r"[0-9a-f]{64}")
SALT = re.compile(r"[A-Za-z0-9+/]{22}")  # 16 bytes, as in a PHC string


@dataclass(frozen=True)
class PasswordHash:
    """The hash of the notebook password for one host, computed once the host has answered, and which hashes it may replace.

    `compute` raises HostError and StopRequested.
    """

    compute: Callable[[], str] = field(repr=False)
    former_salt: str = ""
    new_salt: bool = False


@dataclass(frozen=True)
class Envelope:
    """What a run is asked to do.

    `after` applies to mode events: send the events that `run` wrote after that event.

    `boot_before` applies to modes apply and request: begin only if Windows has restarted since this boot time (UTC, as reported
    by the event `started`).

    `restarts` (0 to 9) is how often the host may still restart Windows in this run; the sender reconnects after each restart.

    `time` is the workstation's time with its zone, which the host compares with its own clock. Without it, nothing is compared.

    `former_salt` is the salt (as written in a hash) of a password hash that may be replaced by one with another salt. With
    `new_salt`, any hash may be replaced.

    `evidence` is the head of the chain of the run directory (run/chain.py), which the host writes to its own log.

    With `thorough`, the host reads all installed files and compares their hashes. With `repair`, which applies to mode apply, it
    installs the packages again.

    `archived`, which applies to mode undo, is the hash of the notebooks in an archive: exactly these are removed.

    `parts` are the parts of files that the modes push, pull, and deliver copy, or those that mode missing asks about. `log` is what mode logs sends.

    The repr leaves out the secrets; only `lines()` contains them.
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
    thorough: bool = False
    repair: bool = False
    evidence: str = ""
    archived: str = ""
    parts: tuple[Part, ...] = ()
    log: LogRequest | None = None

    def __post_init__(self) -> None:
        if not RUN_ID.fullmatch(self.run):
            raise ValueError("a run ID must be 1 to 64 letters, digits, and hyphens")
        if self.after < 0:
            raise ValueError("after must not be negative: events are counted from 1")
        if self.boot_before and not BOOT.fullmatch(self.boot_before):
            raise ValueError("a boot time must have the form 2026-11-22T19:41:41Z")
        if not 0 <= self.restarts <= 9:
            raise ValueError("restarts must be from 0 to 9")
        if self.former_salt and not SALT.fullmatch(self.former_salt):
            raise ValueError("a salt must be 22 Base64 characters")
        if any(value and not SHA256.fullmatch(value) for value in (self.evidence, self.archived)):
            raise ValueError("a hash must be 64 lower-case hex digits")
        for name in self.secrets:
            if not SECRET_NAME.fullmatch(name):
                raise ValueError("a secret's name must consist of lower-case letters, digits, '_', and '.'")

    def lines(self) -> list[str]:
        """Return the lines to send, in ASCII."""
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
        if self.thorough:
            lines.append("thorough yes")
        if self.repair:
            lines.append("repair yes")
        if self.archived:
            lines.append(f"archived {self.archived}")
        if self.evidence:
            lines.append(f"evidence {self.evidence}")
        if self.log:
            lines.append(self.log.line())
        lines += [part.line() for part in self.parts]
        return lines + [f"secret {name} {_base64(value)}" for name, value in sorted(self.secrets.items())]

    def without_secrets(self) -> list[str]:
        """Return the lines with the names of the secrets instead of their values."""
        return [*replace(self, secrets={}).lines(), *(f"secret {name}" for name in sorted(self.secrets))]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8")).decode("ascii")
