"""Files and folders that another program holds, on the real engine: moved, replaced and removed as soon as it lets go.

A handle without FileShare.Delete is a sharing violation under Wine as on Windows. Wine renames a folder with open files, which
Windows refuses: a mount of the folder on itself refuses it here (as a lock violation). A mount of a file on itself makes a
replacement fail halfway, as ERROR_UNABLE_TO_MOVE_REPLACEMENT does: the old file is gone, the new one has its own name.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.powershell.engine import host_path
from tests.steps.windows.place import Place, place, session

__all__ = ["place", "session"]

PAUSES = "$HeldPatience = 5; $Pauses = New-Object Collections.ArrayList; function Start-Pause([int]$Milliseconds) {{ [void]$Pauses.Add($Milliseconds); if ($Pauses.Count -eq {after}) {{ {release} }} }}; "
MOUNTS = "[IO.File]::ReadAllText('Z:\\proc\\mounts')"
HOLD = "$script:held = [IO.File]::Open('{path}', 'Open', 'Read', 'ReadWrite'); "


@contextmanager
def mounted(path: Path) -> Iterator[str]:
    """Mounts the path on itself, and returns the command that ends this."""
    if os.geteuid():
        pytest.skip("only root mounts a folder on itself, which stands for a folder with open files")
    subprocess.run(["mount", "--bind", path, path], check=True)
    try:
        yield unmount(path)
    finally:
        subprocess.run(["umount", path], check=False, stderr=subprocess.DEVNULL)


def unmount(path: Path | str) -> str:
    """Wine does not wait for a program of Linux."""
    return f"& 'Z:\\bin\\umount' '{path}'; while ({MOUNTS}.Contains(' {path} ')) {{ [Threading.Thread]::Sleep(10) }}"


def test_a_folder_is_moved_when_its_files_are_released(place: Place) -> None:
    new = place.state / "x.new"
    new.mkdir()
    (new / "file").write_text("x")
    path = host_path(place.state / "x")
    with mounted(new) as release:
        said = place.run(
            PAUSES.format(after=7, release=release)
            + f"[void](Get-Said); Invoke-FileChange 'move-folder' '{path}.new' '{path}'; Get-Said; $Pauses -join ' '"
        )
    assert not new.exists() and (place.state / "x" / "file").exists()
    *events, pauses = said
    assert pauses == "50 100 200 400 800 1600 3200"
    assert [(event["event"], event["what"]) for event in map(json.loads, events)] == [
        ("progress", f"Waiting for another program to release {path}.new")
    ], "once"


CHANGES = {
    "a text file": ("{path}.new", "Write-TextFile '{path}' 'new'", "new"),
    "a text file whose old one is held": ("{path}", "Write-TextFile '{path}' 'new'", "new"),
    "a replacement": ("{path}.new", "Move-Over '{path}.new' '{path}'", "other"),
    "a file": ("{path}", "Remove-SingleFile '{path}'", None),
    "undo of a file": ("{path}", "& $Restore.file '{path}' '{path}.before'", "before"),
    "undo of a new file": ("{path}", "& $Restore.file '{path}' $null", None),
    "a folder and all in it": ("{path}", "Remove-Folder '{folder}'", None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_is_changed_when_it_is_released(place: Place, change: str) -> None:
    held, script, left = CHANGES[change]
    file = place.state / "work" / "x"
    file.parent.mkdir()
    path = host_path(file)
    for name, text in (("x", "old"), ("x.new", "other"), ("x.before", "before")):
        (file.parent / name).write_text(text)
    hold = HOLD.format(path=held.format(path=path))
    if "Write-TextFile" in script and held.endswith(".new"):  # a scanner opens what was written a moment ago
        hold = "$write = ${function:Move-Over}; function Move-Over($New, $Path) { $script:held = [IO.File]::Open($New, 'Open', 'Read', 'ReadWrite'); . $write $New $Path }; "
    pauses = place.run(
        PAUSES.format(after=3, release="$script:held.Close()")
        + hold
        + script.format(path=path, folder=host_path(file.parent))
        + "; $Pauses -join ' '"
    )
    assert pauses == ["50 100 200"]
    assert (file.read_text() if file.exists() else None) == left
    assert "Remove-Folder" not in script or not file.parent.exists()


def test_what_replaces_a_file_is_on_the_disk_first(place: Place) -> None:
    """Else a power failure leaves the name of the new record, with zeros in it. Windows flushes no file that is read-only."""
    file = place.state / "x"
    path = host_path(file)
    log = "$plain = ${function:Write-ThroughCache}; function Write-ThroughCache([string]$Path) { [void]$Log.Add($Path + [IO.File]::ReadAllText($Path)); & $plain $Path }; "
    changes = f"Write-TextFile '{path}' 'new'; Copy-File '{path}' '{path}.1'; [IO.File]::SetAttributes('{path}.1', 'ReadOnly'); Copy-File '{path}.1' '{path}.2'"
    said = place.run(f"$Log = New-Object Collections.ArrayList; {log}{changes}; [IO.File]::SetAttributes('{path}.1', 'Normal'); $Log")
    assert said == [f"{path}.newnew", f"{path}.1new", f"{path}.2new"] and file.read_text() == "new"


def test_a_replacement_that_failed_halfway_loses_nothing(place: Place) -> None:
    """Windows has removed the old record by then: a run that is killed in the pause leaves the new one, under its own name."""
    record = place.state / "record.jsonl"
    place.run("Save-Before 'file' 'C:\\one' $null")
    mount = f"$write = ${{function:Move-Over}}; function Move-Over($New, $Path) {{ & 'Z:\\bin\\mount' '--bind' '{record}.new' '{record}.new'; while (-not {MOUNTS}.Contains(' {record}.new ')) {{ [Threading.Thread]::Sleep(10) }}; . $write $New $Path }}; "
    read = "@(Read-Record | ForEach-Object { $_.key }) -join ' '"
    with mounted(place.state):  # skips where it is not possible
        pass
    release = f"$script:seen = {read}; {unmount(f'{record}.new')}"
    try:
        said = place.run(PAUSES.format(after=1, release=release) + mount + f"Save-Before 'file' 'C:\\two' $null; $seen; {read}")
    finally:
        subprocess.run(["umount", f"{record}.new"], check=False, stderr=subprocess.DEVNULL)
    assert said == ["C:\\one C:\\two"] * 2
    record.rename(f"{record}.new")
    Path(f"{record}.new").write_text(Path(f"{record}.new").read_text() + '{"v":1,"st')
    assert place.run(read) == ["C:\\one C:\\two"], "a line that was not written to its end is of nothing that was changed"


def test_what_stays_held_is_reported_with_what_probably_holds_it(place: Place) -> None:
    (place.state / "x").write_text("old")
    path, folder = host_path(place.state / "x"), host_path(place.state)
    release = "; $script:held.Close()"
    catch = "try { Remove-SingleFile '" + path + "' } catch { ConvertTo-Json (Get-FailureField $_.Exception) -Depth 4 -Compress }"
    process = "function Get-Process { foreach ($name in 'explorer', 'MsMpEng') { New-Object PSObject -Property @{ Name = $name; Path = $null } } }; "
    named, unknown = map(
        json.loads, place.run(f"{HOLD.format(path=path)}$HeldPatience = 0; {process}{catch}; function Get-Process {{ }}; {catch}{release}")
    )
    assert named["code"] == "file-held-by" and named["values"]["program"] == "Microsoft Defender Antivirus"
    assert f"could not open, move, replace, or remove {path} within 0 seconds: " in named["text"]
    assert (
        f"Microsoft Defender Antivirus is probably using it. Stop Microsoft Defender Antivirus, or exclude {folder} from its scans, then try again"
        in named["text"]
    )
    assert unknown["code"] == "file-held" and "such as a virus scanner" in unknown["text"]
    assert "used by another process" in unknown["values"]["cause"] and "Exception calling" not in unknown["text"]


def test_other_errors_are_reported_at_once(place: Place) -> None:
    path = host_path(place.state / "missing" / "x")
    assert "Could not find" in place.refused(PAUSES.format(after=1, release="throw 'paused'") + f"Move-Over '{path}.new' '{path}'")
