"""Whatever is changed in a rendered folder, `nbserver audit` refuses it: bytes of every file, and every field of the manifest.

There are two changes that it accepts, and it must: bytes of manifest.json that mean the same value, and another valid target, which
cannot be computed from anything; the report then shows the other target. The changes are the same in every run. With
NBSERVER_TEST_FULL=1 it is every byte and every field of the manifest, and every line of a script, of which only the hash is compared.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbserver.approval import audit
from nbserver.approval.reference import Reference
from nbserver.base.errors import ApprovalError
from tests import rendered_folders
from tests.rendered_folders import MANIFEST, put
from tests.tier import FULL

BYTES, FIELDS = 700, 700  # changes of all folders together, where it is not all of them
KINDS = ("machines", "linux_user", "windows_user")
CHANGES = ("insert", "flip", "delete")
VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    1,
    2,
    -1,
    10**6,
    10**15,
    1.0,
    -0.0,
    1.5,
    "",
    "x",
    " ",
    "null",
    "true",
    "1",
    "~",
    "*",
    "Any",
    "/",
    "/srv/x",
    "C:\\x",
    "%TEMP%\\x",
    "win1.ps1",
    "lin1.sh",
    "local",
    "host",
    "machine",
    "user",
    "linux",
    "windows",
    "zip",
    "msi",
    "x64",
    "arm64",
    "0" * 64,
    "f" * 64,
    "A" * 64,
    "3.12",
    "0.1.0",
    "https://example.com/x",
    "x\n",
    "\x1b[31m",
    "\u202e",
    "\u0430",
    "\ud800",
    "\0",
    [],
    {},
    [[]],
    [None],
    ["x"],
    ["firewall"],
    ["Any", "Any"],
    {"x": 1},
    {"": {}},
]


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.load()


def rendered(kind: str, folder: Path) -> dict[str, bytes]:
    return rendered_folders.machines(folder) if kind == "machines" else getattr(rendered_folders, kind)()


def chosen(changes: list[Any], count: int, always: int = 0) -> Iterator[Any]:
    """All of the changes, or the first `always` of them and a sample that is the same in every run."""
    if FULL:
        return iter(changes)
    rest = changes[always:]
    return iter(changes[:always] + random.Random(11).sample(rest, min(max(count - always, 0), len(rest))))


def meaning(data: bytes) -> str | None:
    """What a JSON text means, in one form; None where it is no JSON, or names a key twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError
        return dict(pairs)

    try:
        return json.dumps(json.loads(data.decode("utf-8"), object_pairs_hook=once), sort_keys=True)
    except ValueError:
        return None


def is_accepted(folder: Path, reference: Reference) -> list[str]:
    """The report without its first line, which has the hash of the manifest; empty if the folder is refused."""
    try:
        return audit.audit(folder, reference)[1:]
    except ApprovalError as error:
        assert error.exit_code == 5 and str(error).isprintable()
        return []


def without_targets(data: bytes) -> Any:
    content = json.loads(data)
    for entry in content["hosts"].values():
        del entry["target"]
    return content


def is_as_it_must_be(report: list[str], original: list[str], data: bytes, unchanged: bytes) -> bool:
    """Whether this is the report on a changed manifest: the original one, none, or one that shows another target."""
    if meaning(data) == meaning(unchanged):
        return report == original
    return not report or (report != original and without_targets(data) == without_targets(unchanged))


def changed(data: bytes, at: int, kind: str, byte: int) -> bytes:
    middle = {"insert": bytes([byte, data[at]]), "flip": bytes([data[at] ^ (byte or 1)]), "delete": b""}[kind]
    return data[:at] + middle + data[at + 1 :]


def every_byte(name: str, data: bytes) -> Iterator[tuple[str, int, str, bytes]]:
    seeded = random.Random(7)
    for at in range(len(data)):
        byte = seeded.randrange(256)
        for kind in CHANGES:
            yield name, at, f"{kind} {byte}", changed(data, at, kind, byte)
    yield name, len(data), "append", data + b" "


def every_line(name: str, data: bytes) -> Iterator[tuple[str, int, str, bytes]]:
    """One change in each line, the end of the line included. One in three is an insertion, a flip, a deletion."""
    seeded, start = random.Random(7), 0
    for number, line in enumerate(data.splitlines(keepends=True)):
        at, byte, kind = start + seeded.randrange(len(line)), seeded.randrange(256), CHANGES[number % 3]
        yield name, at, f"{kind} {byte}", changed(data, at, kind, byte)
        start += len(line)


def sampled_bytes(files: dict[str, bytes], count: int) -> Iterator[tuple[str, int, str, bytes]]:
    """As many changes of each file, at places spread over the whole of it. One in three is an insertion, a flip, a deletion."""
    seeded = random.Random(7)
    for name, data in sorted(files.items()):
        for number in range(count // len(files)):
            at, byte, kind = seeded.randrange(len(data)), seeded.randrange(256), CHANGES[number % 3]
            yield name, at, f"{kind} {byte}", changed(data, at, kind, byte)


@pytest.mark.parametrize("kind", KINDS)
def test_no_byte_of_any_file_can_be_changed(kind: str, tmp_path: Path, reference: Reference) -> None:
    files = rendered(kind, tmp_path)
    folder = put(files, tmp_path / "rendered")
    original = is_accepted(folder, reference)
    assert original
    every = (change for name, data in sorted(files.items()) for change in (every_byte if name == MANIFEST else every_line)(name, data))
    tried = 0
    for name, at, what, data in every if FULL else sampled_bytes(files, BYTES * len(files) // 7):
        (folder / name).write_bytes(data)
        report = is_accepted(folder, reference)
        assert is_as_it_must_be(report, original, data, files[name]) if name == MANIFEST else not report, (name, at, what)
        (folder / name).write_bytes(files[name])
        tried += 1
    assert tried > BYTES * len(files) // 7 - 10


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to everything in a value, itself too."""
    yield at
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*at, key))


def at_place(value: Any, at: tuple[Any, ...]) -> Any:
    for key in at:
        value = value[key]
    return value


def structural(content: Any) -> list[tuple[str, tuple[Any, ...], Any]]:
    """Every key and item removed, every key renamed, one added to every object and array, items of an array turned round."""
    found: list[tuple[str, tuple[Any, ...], Any]] = []
    for at in places(content):
        here = at_place(content, at)
        if at:
            found.append(("remove", at, None))
        if at and isinstance(at[-1], str):
            found += [("rename", at, name) for name in (at[-1] + "x", at[-1].upper(), "")]
        if isinstance(here, dict):
            found += [("add", (*at, key), value) for key in ("x", "", "Host", "\u0440ort") for value in (None, 1, {})]
        if isinstance(here, list):
            found += [("append", at, value) for value in (None, "x", *here[:1])]
            found += [("reverse", at, None)] if len(here) > 1 else []
    return found


def other_values(content: Any) -> list[tuple[str, tuple[Any, ...], Any]]:
    """Every value replaced: by others of its type and of other types, by its neighbours, and by nearly itself."""
    found = []
    for at in places(content):
        here = at_place(content, at)
        near: list[Any] = []
        if isinstance(here, str):
            near = [here + " ", here + "\n", here.upper(), here.swapcase(), here[:-1], here[::-1], [here], {here: here}]
        elif isinstance(here, int):
            near = [here + 1, -here, float(here), str(here), [here]]
        elif isinstance(here, list):
            near = [{str(key): item for key, item in enumerate(here)}, [here]]
        elif isinstance(here, dict):
            near = [list(here.values()), list(here), [here]]
        found += [("set", at, value) for value in VALUES + near]
    return found


def made(content: Any, change: tuple[str, tuple[Any, ...], Any]) -> Any:
    what, at, value = change
    new = copy.deepcopy(content)
    if not at:
        return value if what == "set" else new
    table = at_place(new, at[:-1])
    if what in ("set", "add"):
        table[at[-1]] = value
    elif what == "remove":
        del table[at[-1]]
    elif what == "rename":
        table[value] = table.pop(at[-1])
    elif what == "append":
        table[at[-1]].append(value)
    else:
        table[at[-1]].reverse()
    return new


@pytest.mark.parametrize("kind", KINDS)
def test_no_field_of_the_manifest_can_be_changed(kind: str, tmp_path: Path, reference: Reference) -> None:
    files = rendered(kind, tmp_path)
    folder = put(files, tmp_path / "rendered")
    original, content = is_accepted(folder, reference), json.loads(files[MANIFEST])
    first = structural(content)
    count = FIELDS // 2 if kind == "machines" else FIELDS // 4
    random.Random(5).shuffle(first)
    changes = [*first, *other_values(content)]
    tried = 0
    for change in chosen(changes, count, always=count // 2):
        data = json.dumps(made(content, change)).encode("ascii")
        (folder / MANIFEST).write_bytes(data)
        assert is_as_it_must_be(is_accepted(folder, reference), original, data, files[MANIFEST]), change
        tried += 1
    assert tried >= count
