"""The rules between the settings of a logon over SSH, the same for Linux and for Windows hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbserver.base.message import Message, message


def rules(settings: Mapping[str, Any]) -> list[tuple[str, bool, Message]]:
    """Return (key, whether the rule is broken, reason) for each rule. Missing keys have their defaults."""
    has = {key for key in ("key_file", "key_password", "password", "host_key", "known_hosts") if settings.get(key) is not None}
    return [
        ("key_password", "key_password" in has and "key_file" not in has, message("only-with-key-file", "requires key_file")),
        (
            "known_hosts",
            has >= {"known_hosts", "host_key"},
            message("known-hosts-with-host-key", "cannot be combined with host_key; use one or the other"),
        ),
        (
            "agent",
            settings.get("agent", True) is False and not has & {"key_file", "password"},
            message("no-agent-without-credentials", "must be true unless key_file or password is set"),
        ),
    ]
