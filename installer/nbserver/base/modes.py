"""The modes of a script: what a run may be asked to do. No side effects.

The scripts have the same names in their own tables, and the schemas in docs/schemas/; a test compares them.
"""

from __future__ import annotations

from typing import Literal, get_args

Reading = Literal[
    "test",
    "check",
    "status",
    "missing",
    "list",
    "pull",
    "backup",
    "backup-key",
    "logs",
    "evidence",
]
Changing = Literal[
    "apply",
    "undo",
    "rotate",
    "request",
    "restart",
    "stop",
    "set-password",
    "rotate-certificate",
    "restore-key",
    "rollback",
    "deliver",
    "push",
]
Mode = Literal[Reading, Changing, "events"]
ByHand = Literal[
    "test",
    "check",
    "status",
    "apply",
    "undo",
    "rotate",
    "restart",
    "stop",
    "rollback",
    "set-password",
    "rotate-certificate",
    "request",
]

READING: tuple[Reading, ...] = get_args(Reading)
"""The modes of runs that change nothing and leave nothing on the host, not even their events."""

CHANGING: tuple[Changing, ...] = get_args(Changing)
"""The modes of runs that leave their events on the host."""

MODES: tuple[Mode, ...] = get_args(Mode)
"""All modes. The mode `events` is not a run: it asks for the events of one."""

BY_HAND: tuple[ByHand, ...] = get_args(ByHand)
"""The modes that a Windows script has without nbserver (`-Mode`). Only a script of machine scope has the mode `request`."""
