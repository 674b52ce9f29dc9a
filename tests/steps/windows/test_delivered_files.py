"""Programs and wheels that the workstation sends, by the modes missing and deliver of the real script, on the real engine."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from nbserver.base.modes import Mode
from nbserver.notebooks.part import Part
from nbserver.run.envelope import Envelope
from nbserver.transports.payload import Payload
from nbserver.transports.winrm.bootstrap import data_lines
from tests.faults.small_disk import small_disk
from tests.formats import validate
from tests.powershell.engine import host_path, steps
from tests.steps.windows.place import Place, place, session
from tests.steps.windows.test_notebook_files import MAIN

__all__ = ["place", "session"]
WHEEL, PROGRAM = "Example_One-1.0-py3-none-any.whl", "python.zip"
DATA = os.urandom(3000)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def part(name: str, data: bytes, offset: int = 0, length: int | None = None) -> Part:
    return Part(name, len(data), sha256(data), offset, len(data) - offset if length is None else length)


class Receiver:
    """A host that accepts the wheel `WHEEL` and the program `PROGRAM`, both with the content `DATA`. `folder` is where they arrive.

    The program is the second source of Python: the workstation does not have the first one.
    """

    def __init__(self, place: Place) -> None:
        self.place, self.folder, self.source = place, place.state / "downloads", "push"

    def run(self, mode: Mode, *parts: Part, data: bytes = b"", also: str = "") -> list[dict[str, Any]]:
        """What the script reports in this mode."""
        lines = [*Envelope(mode, "run-1", parts=parts).lines(), *data_lines(Payload.of(data))]
        envelope = "$EnvelopeLines = " + ", ".join(f"'{line}'" for line in lines) + "; "
        act = "Read-Envelope; [void](Get-Said); & $Modes[$Run.Mode]; Get-Said"
        found = [json.loads(line) for line in self.place.run("\n".join([*self._set_up(), also, envelope + act]))]
        for event in found:
            validate("event", event)
        return found

    def refused(self, mode: Mode, *parts: Part, data: bytes = b"", also: str = "") -> str:
        """The message of the failure."""
        lines = [*Envelope(mode, "run-1", parts=parts).lines(), *data_lines(Payload.of(data))]
        envelope = "$EnvelopeLines = " + ", ".join(f"'{line}'" for line in lines)
        return self.place.refused("\n".join([*self._set_up(), also, envelope, "Read-Envelope; & $Modes[$Run.Mode]"]))

    def _set_up(self) -> list[str]:
        state, digest = host_path(self.place.state), sha256(DATA)
        first = f"@{{ url = 'https://example.com/first.zip'; sha256 = '{'1' * 64}'; size = 3000 }}"
        program = f"@{{ url = 'https://example.com/{PROGRAM}'; sha256 = '{digest}'; size = 3000 }}"
        return [
            MAIN,
            steps("packages"),
            f"$TopFolders = @('{host_path(self.folder.parent)}'); $Run.Step = ''",
            "$Mode = 'test'; $Run.Changed = 0; $Parts.Clear(); $PartData.Blocks.Clear(); $PartData.Position = 0; $StillHeld.Clear()",
            f"$Settings | Add-Member NoteProperty downloads @{{ source = '{self.source}' }} -Force; $DeliveredFolder = '{host_path(self.folder)}'; $CacheFolder = '{state}\\cache'",
            f"$Lock = 'example-one==1.0 --hash=sha256:{digest} --hash=sha256:{'0' * 64}', 'two==2 --hash=sha256:{'0' * 64}'",
            f"$Sources.python = @({first}, {program})",
        ]

    def states(self, mode: Mode, *parts: Part, data: bytes = b"") -> list[tuple[str, str, int]]:
        return [(event["path"], event["state"], event["size"]) for event in self.run(mode, *parts, data=data)]


@pytest.fixture
def receiver(place: Place) -> Iterator[Receiver]:
    yield Receiver(place)


def test_a_wheel_and_a_program_arrive_and_are_not_missing_any_more(receiver: Receiver) -> None:
    both = part(WHEEL, DATA), part(PROGRAM, DATA)
    assert receiver.states("missing", *both) == [(WHEEL, "absent", 0), (PROGRAM, "absent", 0)]
    assert not receiver.folder.exists()
    assert receiver.states("deliver", *both, data=DATA * 2) == [(WHEEL, "stored", 3000), (PROGRAM, "stored", 3000)]
    assert {file.name: file.read_bytes() for file in receiver.folder.iterdir()} == {WHEEL: DATA, PROGRAM: DATA}
    assert receiver.states("missing", *both) == [(WHEEL, "present", 3000), (PROGRAM, "present", 3000)]
    (record,) = map(json.loads, (receiver.place.state / "record.jsonl").read_text().splitlines())
    assert (record["kind"], record["key"], record["before"]) == ("folder", host_path(receiver.folder), None)
    program = f"(Get-UsableSource python) '{host_path(receiver.place.state)}\\here.part'"
    receiver.run("missing", also=f"Move-DeliveredProgram {program}")
    assert (receiver.place.state / "here.part").read_bytes() == DATA and not (receiver.folder / PROGRAM).exists()
    (receiver.place.state / "cache").mkdir()
    (receiver.place.state / "here.part").rename(receiver.place.state / f"cache/{sha256(DATA)[:16]}-{PROGRAM}")
    assert receiver.states("missing", both[1]) == [(PROGRAM, "present", 3000)]


def test_a_file_arrives_in_two_runs_and_continues_where_it_ended(receiver: Receiver) -> None:
    first, rest = part(WHEEL, DATA, 0, 1000), part(WHEEL, DATA, 1000)
    assert receiver.states("deliver", first, data=DATA[:1000]) == [(WHEEL, "incomplete", 1000)]
    assert receiver.states("missing", rest) == [(WHEEL, "partial", 1000)]
    assert receiver.states("deliver", part(WHEEL, DATA, 999), data=DATA[999:]) == [(WHEEL, "conflict", 3000)]
    assert "before all files had arrived" in receiver.refused("deliver", rest, data=DATA[1000:2500])
    assert receiver.states("missing", rest) == [(WHEEL, "partial", 2500)]
    assert receiver.states("deliver", part(WHEEL, DATA, 2500), data=DATA[2500:]) == [(WHEEL, "stored", 3000)]
    assert (receiver.folder / WHEEL).read_bytes() == DATA


def test_what_is_wrong_is_not_kept(receiver: Receiver) -> None:
    swapped = bytes([DATA[0] ^ 1]) + DATA[1:]
    assert receiver.states("deliver", part(WHEEL, DATA), data=swapped) == [(WHEEL, "damaged", 3000)]
    other = part("two-2-py3-none-any.whl", DATA), part("../x.whl", DATA), part("python.exe", DATA), part(WHEEL, swapped)
    assert {state for _, state, _ in receiver.states("deliver", *other, data=DATA * 3 + swapped)} == {"refused"}
    assert {state for _, state, _ in receiver.states("missing", *other)} == {"refused"}
    assert list(receiver.folder.iterdir()) == []
    (receiver.folder / WHEEL).write_bytes(swapped)
    (receiver.folder / "old-1-py3-none-any.whl").write_bytes(b"of an earlier lock")
    (receiver.folder / f"{PROGRAM}.part").symlink_to(receiver.place.target)  # a link to a file looks like a file under Wine
    assert receiver.states("missing", part(WHEEL, DATA), part(PROGRAM, DATA)) == [(WHEEL, "absent", 0), (PROGRAM, "absent", 0)]
    assert receiver.states("deliver", part(WHEEL, DATA), data=DATA) == [(WHEEL, "stored", 3000)]
    assert [file.name for file in receiver.folder.iterdir()] == [WHEEL]
    assert (receiver.place.target / "kept.txt").read_text() == "kept"


def test_a_script_with_another_source_takes_nothing(receiver: Receiver) -> None:
    receiver.source = "mirror"
    assert 'because downloads.source in its settings is not "push"' in receiver.refused("deliver", part(WHEEL, DATA), data=DATA)
    assert not receiver.folder.exists()


def test_a_link_in_place_of_the_folder_is_refused(receiver: Receiver) -> None:
    receiver.folder.symlink_to(receiver.place.target)
    for mode in ("missing", "deliver"):
        assert "is a link" in receiver.refused(mode, part(WHEEL, DATA), data=DATA)  # type: ignore[arg-type]
    assert [file.name for file in receiver.place.target.iterdir()] == ["kept.txt"]


def test_a_link_in_place_of_a_file_is_neither_read_nor_written(receiver: Receiver) -> None:
    """A link to a file looks like a file under Wine."""
    receiver.folder.mkdir()
    (receiver.folder / WHEEL).write_bytes(DATA)
    link = "function Test-Link([string]$Path) {{ (Split-Path -Leaf $Path) -ceq '{0}' }}; "
    (found,) = receiver.run("missing", part(WHEEL, DATA), also=link.format(WHEEL))
    assert found["state"] == "absent"
    (receiver.folder / WHEEL).unlink()
    assert "is a link" in receiver.refused("deliver", part(WHEEL, DATA), data=DATA, also=link.format(f"{WHEEL}.part"))
    assert list(receiver.folder.iterdir()) == []


def test_nobody_replaces_the_folder_while_files_arrive(receiver: Receiver) -> None:
    look = "function Receive-Delivery($List, $Part) { foreach ($file in [IO.Directory]::GetFiles($DeliveredFolder)) { "
    look += "try { [IO.File]::Delete($file) } catch { Write-FileState refused 'held' } } }; "
    assert [event["path"] for event in receiver.run("deliver", part(WHEEL, DATA), data=DATA, also=look)] == ["held"]


def test_a_full_disk_keeps_no_part(receiver: Receiver) -> None:
    data = os.urandom(2_000_000)
    with small_disk(1 << 20) as disk:
        if disk is None:
            pytest.skip("only root can mount a small disk")
        receiver.folder = disk.folder / "downloads"
        receiver.folder.mkdir()
        refused = receiver.refused("deliver", Part(WHEEL, len(data), sha256(DATA), 0, len(data)), data=data)
        assert "could not save the files" in refused and "the disk is full" in refused
        assert list(receiver.folder.iterdir()) == []
