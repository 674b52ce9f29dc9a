"""Fill the values of settings into a text about several hosts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

_PLACE = re.compile(r"\{([a-z_]+(?:\.[a-z_]+)*)\}")
FEW = 3  # as many different values are listed


def filled(text: str, hosts: Sequence[Mapping[str, str]]) -> str:
    """Return the text with the values of these hosts, which are JSON, for each `{key}`. Many values are named by their key."""

    def value(match: re.Match[str]) -> str:
        values = list(dict.fromkeys(host[match[1]] for host in hosts))
        if len(values) > FEW:
            return f"the {match[1]} of each host"
        return " or ".join(map(_plain, values))

    return _PLACE.sub(value, text)


def _plain(text: str) -> str:
    """Return a JSON value without its quotes. It stays ASCII, so that a letter that only looks like another one stands out."""
    value = json.loads(text)
    items = value if isinstance(value, list) else [value]
    return (
        ", ".join(json.dumps(item)[1:-1].replace("\\\\", "\\") if isinstance(item, str) else json.dumps(item) for item in items) or "none"
    )
