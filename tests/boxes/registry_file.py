"""Windows' registration files (.reg, version 5): reading what `reg export` writes, and writing one to import."""

from __future__ import annotations

import re
from collections.abc import Mapping

HEADER = "Windows Registry Editor Version 5.00"
EXPAND_SZ, MULTI_SZ = 2, 7
ENTRY = re.compile(r'(@|"(?:[^"\\]|\\.)*")=(.*)$', re.S)


def string(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def expandable(text: str) -> str:
    """A REG_EXPAND_SZ value."""
    data = (text + "\0").encode("utf-16-le")
    return f"hex({EXPAND_SZ}):" + ",".join(f"{byte:02x}" for byte in data)


def dword(number: int) -> str:
    return f"dword:{number:08x}"


def write(keys: Mapping[str, Mapping[str, str]]) -> bytes:
    """`keys` maps a key's full name to its values, each already written by one of the functions above."""
    lines = [HEADER, ""]
    for key, values in keys.items():
        lines.append(f"[{key}]")
        lines += [f"{string(name)}={value}" for name, value in values.items()]
        lines.append("")
    return "\r\n".join(lines).encode("utf-16")


def read(data: bytes) -> dict[str, dict[str, str]]:
    """Key -> value name -> the raw value with its type, as the file has it (REG_EXPAND_SZ and REG_MULTI_SZ decoded)."""
    text = re.sub(r"\\\r?\n\s*", "", data.decode("utf-16"))  # long values go on in the next line
    keys: dict[str, dict[str, str]] = {}
    values: dict[str, str] = {}
    for line in re.split(r"\r?\n(?=\[|@|\"|\r?\n|$)", text):
        if line.startswith("[") and line.endswith("]"):
            values = keys.setdefault(line[1:-1], {})
        elif entry := ENTRY.match(line):
            name = "" if entry[1] == "@" else re.sub(r"\\(.)", r"\1", entry[1][1:-1])
            values[name] = _readable(entry[2].strip())
    return keys


def _readable(value: str) -> str:
    match = re.match(r"hex\(([27])\):(.*)$", value)
    if not match:
        return value
    kind = "REG_EXPAND_SZ" if int(match[1]) == EXPAND_SZ else "REG_MULTI_SZ"
    words = bytes(int(pair, 16) for pair in match[2].split(",") if pair.strip())
    return f"{kind}:{words.decode('utf-16-le').removesuffix(chr(0))}"
