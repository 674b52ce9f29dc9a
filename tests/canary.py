"""Looks for secrets where none may be: in files, in what was sent, in the command lines of all processes."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

_STREAM = re.compile(rb"<rsp:(?:Stream|Arguments)[^>]*>([^<]*)</rsp:(?:Stream|Arguments)>")


def forms(secret: str) -> list[bytes]:
    """How a secret may stand in a text: as it is, escaped for JSON, as UTF-16, and in base64 of a text that has it anywhere."""
    plain = _plain(secret)
    return [*plain, *(_in_base64(data, before) for data in plain for before in range(3))]


def _plain(secret: str) -> list[bytes]:
    texts = dict.fromkeys([secret, json.dumps(secret, ensure_ascii=False)[1:-1], json.dumps(secret)[1:-1]])
    return [secret.encode("utf-16-le"), *(text.encode("utf-8") for text in texts)]


def _in_base64(data: bytes, before: int) -> bytes:
    """What base64 makes of the data, wherever the number of bytes before them is `before`, or that and a multiple of 3.

    Characters that depend on the bytes before and behind the data, too, are left out.
    """
    return base64.b64encode(bytes(before) + data)[-(-8 * before // 6) : 8 * (before + len(data)) // 6]


def files_with(secrets: Mapping[str, str], folders: Iterable[Path]) -> dict[str, list[Path]]:
    """Name of a secret -> the files that hold it: as text, escaped for JSON, as UTF-16, or in base64 that begins with it."""
    wanted = {
        name: [*_plain(secret), *(_in_base64(secret.encode(code), 0) for code in ("utf-8", "utf-16-le"))]
        for name, secret in secrets.items()
    }
    found: dict[str, list[Path]] = {name: [] for name in secrets}
    for folder in folders:
        for path in files(folder):
            try:
                data = path.read_bytes()
            except FileNotFoundError:  # a program's temporary file, gone meanwhile
                continue
            for name, needles in wanted.items():
                if any(needle in data for needle in needles):
                    found[name].append(path)
    return found


def files(folder: Path) -> Iterator[Path]:
    """All regular files below a folder; links are not followed."""
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            if path.is_file() and not path.is_symlink():
                yield path


def sent(requests: Iterable[bytes]) -> bytes:
    """What WSMan requests carry, their base64 taken off, one after the other."""
    return b"\n".join(base64.b64decode(part) for request in requests for part in _STREAM.findall(request))


def command_lines() -> set[bytes]:
    """The command lines of all processes of this machine, arguments separated by NUL; Wine's among them."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found.add(path.read_bytes())
        except OSError:  # it has ended meanwhile
            continue
    return found


@contextlib.contextmanager
def watching(found: set[bytes]) -> Iterator[None]:
    """Adds the command lines of all processes that are seen meanwhile, looking several times a second."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.2):
            found.update(command_lines())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def lines_with(secrets: Mapping[str, str], lines: Iterable[bytes]) -> dict[str, list[bytes]]:
    """Name of a secret -> the command lines that hold it, in any of its forms."""
    seen = list(lines)
    return {name: [line for line in seen if any(form in line for form in forms(secret))] for name, secret in secrets.items()}
