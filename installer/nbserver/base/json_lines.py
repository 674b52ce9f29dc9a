"""JSON that is easy to audit: sorted, one key per line, an array of plain values on the line of its key, pure ASCII.

Settings look the same in a manifest and in the script of a Windows host. An apostrophe is \\u0027 in both, because it would
end the PowerShell literal that contains them.
"""

from __future__ import annotations

import json
from json.encoder import encode_basestring_ascii
from typing import Any


def dumps(value: Any, indent: int = 2, level: int = 0) -> str:
    """Return the text without a final line end. `level` is the nesting level where it will be inserted."""
    inside, outside = "\n" + " " * indent * (level + 1), "\n" + " " * indent * level
    if isinstance(value, dict) and value:
        lines = [f"{_plain(key)}: {dumps(value[key], indent, level + 1)}" for key in sorted(value)]
        return "{" + inside + ("," + inside).join(lines) + outside + "}"
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return "[" + inside + ("," + inside).join(dumps(item, indent, level + 1) for item in value) + outside + "]"
    if isinstance(value, list):
        return "[" + ", ".join(map(_plain, value)) + "]"
    return _plain(value)


def _plain(value: Any) -> str:
    text = encode_basestring_ascii(value) if isinstance(value, str) else json.dumps(value)
    return text.replace("'", "\\u0027").replace("\x7f", "\\u007f")
