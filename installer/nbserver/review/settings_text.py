"""Fill the values of settings into a text about several hosts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from nbserver.base.message import PLACEHOLDER, phrase

FEW = 3  # as many different values are listed


def filled(text: str, hosts: Sequence[Mapping[str, str]]) -> str:
    """Return the text with the values of these hosts, which are JSON, for each `{key}`. Many values are named by their key.

    In a place, the periods of a key are underscores.
    """
    keys = {key.replace(".", "_"): key for settings in hosts for key in settings}
    return phrase(text, **{place: _value(keys[place], hosts) for place in PLACEHOLDER.findall(text)})


def _value(key: str, hosts: Sequence[Mapping[str, str]]) -> str:
    values = list(dict.fromkeys(settings[key] for settings in hosts))
    if len(values) > FEW:
        return phrase("the {key} of each host", key=key)
    first, *others = map(_plain, values)
    for other in others:
        first = phrase("{one} or {other}", one=first, other=other)
    return first


def _plain(text: str) -> str:
    """Return a JSON value without its quotes. It stays ASCII, so that a letter that only looks like another one stands out."""
    value = json.loads(text)
    items = value if isinstance(value, list) else [value]
    shown = (json.dumps(item)[1:-1].replace("\\\\", "\\") if isinstance(item, str) else json.dumps(item) for item in items)
    return ", ".join(shown) or phrase("none")
