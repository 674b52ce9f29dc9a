"""Notebooks to a Windows host and back, by the modes list, push, and pull of the real script, on the real engine."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.modes import Mode
from nbserver.notebooks.part import ABSENT, Part
from nbserver.render.step_files import read_part
from nbserver.run.envelope import Envelope
from nbserver.transports.payload import Payload
from nbserver.transports.winrm.bootstrap import data_lines
from tests.formats import validate
from tests.powershell.engine import host_path, part
from tests.steps.windows.place import PRIVATE, Place, place, session

__all__ = ["place", "session"]
MAIN = read_part("ps_scripts", "main").partition("$ScriptText =")[0]
SET_UP = "function Test-Record { $true }; $UnfinishedFolder = \"$StateFolder\\unfinished\"; $ConfigurationFile = 'x'; $Mode = 'test'; $Run.Step = ''; $Parts.Clear(); $PartData.Blocks.Clear(); $PartData.Position = 0; "
FRENCH, JAPANESE = "Leçon/été à Genève.ipynb", "日本語/音の分析.ipynb"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def run(place: Place, mode: Mode, *parts: Part, data: bytes = b"", also: str = "") -> list[dict[str, Any]]:
    """What the script reports in this mode, in the order of its events."""
    lines = [*Envelope(mode, "run-1", parts=parts).lines(), *data_lines(Payload.of(data))]
    envelope = "$EnvelopeLines = " + ", ".join(f"'{line}'" for line in lines) + "; "
    act = "Read-Envelope; [void](Get-Said); & $Modes[$Run.Mode]; Get-Said"
    found = [json.loads(line) for line in place.run("\n".join([MAIN, SET_UP + envelope + also + act]))]
    for event in found:
        validate("event", event)
    return found


def refused(place: Place, mode: Mode, *parts: Part, data: bytes = b"") -> str:
    """The message of the failure in this mode."""
    lines = [*Envelope(mode, "run-1", parts=parts).lines(), *data_lines(Payload.of(data))]
    envelope = "$EnvelopeLines = " + ", ".join(f"'{line}'" for line in lines) + "; "
    return place.refused("\n".join([MAIN, SET_UP + envelope + "Read-Envelope; & $Modes[$Run.Mode]"]))


def push(place: Place, files: dict[str, bytes], before: str = ABSENT, also: str = "") -> dict[str, str]:
    parts = [Part(path, len(data), sha256(data), 0, len(data), before) for path, data in files.items()]
    return states(run(place, "push", *parts, data=b"".join(files.values()), also=also))


def states(events: list[dict[str, Any]]) -> dict[str, str]:
    return {event["path"]: event["state"] for event in events}


@pytest.fixture
def notebooks(place: Place) -> Path:
    folder = place.folder / "data"
    folder.mkdir()
    return folder


def test_there_and_back_all_hashes_are_equal(place: Place, notebooks: Path) -> None:
    files = {FRENCH: b"{}", JAPANESE: os.urandom(300_001), "empty.txt": b"", "a b/c'd $(e).csv": b"1"}
    assert push(place, files) == dict.fromkeys(files, "stored")
    assert {path: (notebooks / path).read_bytes() for path in files} == files
    (notebooks / ".hidden").write_bytes(b"x")
    listed = run(place, "list")
    assert {event["path"]: (event["size"], event["sha256"]) for event in listed} == {
        path: (len(data), sha256(data)) for path, data in files.items()
    }
    pulled: dict[str, bytes] = dict.fromkeys(files, b"")
    for event in run(place, "pull", *(Part(path, len(data), sha256(data), 0, len(data)) for path, data in files.items())):
        assert event["offset"] == len(pulled[event["path"]])
        pulled[event["path"]] += base64.b64decode(event["data"])
    assert pulled == files


def test_a_large_file_comes_in_parts_and_what_is_in_the_way_is_kept(place: Place, notebooks: Path) -> None:
    data = os.urandom(1000)
    first, rest = Part("a.bin", 1000, sha256(data), 0, 600), Part("a.bin", 1000, sha256(data), 600, 400)
    assert run(place, "push", first, data=data[:600]) == []
    # A notebook could replace it by a hard link before the next run: it is where only administrators have access.
    unfinished = place.state / "unfinished"
    assert list(notebooks.iterdir()) == [] and [path.name for path in unfinished.iterdir()] == [f".nb{sha256(data)[:8]}"]
    assert place.access(unfinished) == PRIVATE
    assert states(run(place, "push", rest, data=data[600:])) == {"a.bin": "stored"} and (notebooks / "a.bin").read_bytes() == data
    assert list(unfinished.iterdir()) == []
    assert states(run(place, "push", rest, data=data[600:])) == {"a.bin": "incomplete"}
    assert push(place, {"a.bin": b"new", "a.bin/below": b"new"}) == {"a.bin": "conflict", "a.bin/below": "conflict"}
    (notebooks / "a.bin").chmod(0o444)  # to be read only says nothing about who may replace it
    assert push(place, {"a.bin": b"new"}, before=sha256(data)) == {"a.bin": "stored"} and (notebooks / "a.bin").read_bytes() == b"new"
    (notebooks / ".nb00000000").write_bytes(b"of an interrupted run")
    wrong = Part("b.bin", 3, "1" * 64, 0, 3)
    assert states(run(place, "push", wrong, data=b"new")) == {"b.bin": "damaged"}
    assert [path.name for path in notebooks.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("path", ["../x", "a/../x", ".x", "a:b", "a\\b", "a//b", "a./b"])
def test_a_path_that_leads_elsewhere_is_refused(place: Place, notebooks: Path, path: str) -> None:
    part = Part(path, 3, sha256(b"new"), 0, 3)
    for mode in ("push", "pull"):
        assert "nbserver sent a path that is not valid: " in refused(place, mode, part, data=b"new")  # type: ignore[arg-type]
    assert list(notebooks.iterdir()) == [] and not (place.folder / "x").exists()


def test_a_backup_has_the_record_and_not_the_key(place: Place, notebooks: Path) -> None:
    for name in ("record.jsonl", "key.pem"):
        (place.state / name).write_text(name)
    script = SET_UP + "$CertificateFile = 'x'; [void](Get-Said); & $Modes.backup; Get-Said"
    (event,) = [json.loads(line) for line in place.run("\n".join([MAIN, script]))]
    assert (event["path"], base64.b64decode(event["data"])) == ("record.jsonl", b"record.jsonl")
    script = script.replace("$Modes.backup", "$Modes['backup-key']").replace(
        "$Certificate", f"$KeyFile = '{host_path(place.state)}\\key.pem'; $Certificate"
    )
    found = {event["path"]: base64.b64decode(event["data"]) for event in map(json.loads, place.run("\n".join([MAIN, script])))}
    assert found == {"record.jsonl": b"record.jsonl", "configuration/key.pem": b"key.pem"}


@pytest.mark.parametrize(
    ("key", "name"),
    [
        (r"Windows\PowerShell\Transcription", "EnableTranscripting"),
        (r"Windows\PowerShell\ModuleLogging", "EnableModuleLogging"),
    ],
)
@pytest.mark.parametrize("enabled", [True, False])
def test_a_key_that_windows_would_log_is_not_sent(place: Place, notebooks: Path, key: str, name: str, enabled: bool) -> None:
    """A transcript has what a session outputs: PowerShell ends each pipeline with Out-Default -Transcript."""
    (place.state / "key.pem").write_text("key.pem")
    policy = rf"HKCU:\SOFTWARE\Policies\Microsoft\{key}"
    script = (
        SET_UP + f"$CertificateFile = 'x'; $KeyFile = '{host_path(place.state)}\\key.pem'; [void](Get-Said)\n"
        f"[void](New-Item -Path '{policy}' -Force); Set-ItemProperty -LiteralPath '{policy}' -Name {name} -Value {int(enabled)} -Type DWord\n"
        f"try {{ & $Modes['backup-key']; Get-Said }} finally {{ Remove-Item -LiteralPath '{policy}' }}"
    )
    if not enabled:
        assert [json.loads(line)["path"] for line in place.run("\n".join([MAIN, script]))] == ["configuration/key.pem"]
        return
    refused = place.refused("\n".join([MAIN, script]))
    assert rf"logs what PowerShell outputs on this host ({policy}\{name}), so the private key would be in a log. Run nbserver" in refused
    assert place.run("\n".join([MAIN, SET_UP, "Get-Said"])) == []


def test_the_policies_of_both_powershells_count(place: Place) -> None:
    """Those of PowerShell 7 are not set here: the engine itself would obey them."""
    policies = place.run("$LoggingPolicies")
    assert len(policies) == len(set(policies)) == 8
    assert r"HKLM:\SOFTWARE\Policies\Microsoft\PowerShellCore\Transcription|EnableTranscripting" in policies


def test_a_list_has_no_path_that_is_too_long_or_too_deep(place: Place, notebooks: Path) -> None:
    deep = "/".join(["d"] * 32)
    (notebooks / deep).mkdir(parents=True)
    (notebooks / deep / "far.txt").write_bytes(b"")
    (notebooks / deep).with_name("near.txt").write_bytes(b"")
    near = "/".join(["d"] * 31) + "/near.txt"
    assert states(run(place, "list")) == {near: "present", f"{deep}/far.txt": "name"}
    script = "$item = @{ Attributes = 0 }; Write-ListedFile @{} $item ('x' * 1001); Get-Said"
    (event,) = [json.loads(line) for line in place.run("\n".join([MAIN, SET_UP + "[void](Get-Said); " + script]))]
    assert (event["state"], event["path"]) == ("name", "x" * 200 + "...")


def test_push_reads_no_more_than_a_list_had(place: Place, notebooks: Path) -> None:
    before = sha256(b"known")
    with (notebooks / "a.bin").open("wb") as sparse:
        sparse.truncate(1 << 40)
    assert push(place, {"a.bin": b"new"}, before=before) == {"a.bin": "conflict"}
    assert states(run(place, "list")) == {"a.bin": "large"}


def test_a_file_that_cannot_be_written_does_not_prevent_the_others(place: Place, notebooks: Path) -> None:
    (notebooks / f".nb{sha256(b'1')[:8]}").mkdir()
    assert push(place, {"a.txt": b"1", "b.txt": b"2"}) == {"a.txt": "unreadable", "b.txt": "stored"}


def test_no_link_is_followed(place: Place, notebooks: Path) -> None:
    (notebooks / "link").symlink_to(place.target)  # a link to a file looks like a file under Wine
    assert states(run(place, "list")) == {"link": "link"}
    assert push(place, {"link/kept.txt": b"new", "link": b"new"}) == {"link/kept.txt": "conflict", "link": "conflict"}
    assert states(run(place, "pull", Part("link/kept.txt", 4, "0" * 64, 0, 4))) == {"link/kept.txt": "unreadable"}
    assert (place.target / "kept.txt").read_bytes() == b"kept"


def test_a_link_in_place_of_the_folder_is_refused(place: Place) -> None:
    (place.folder / "data").symlink_to(place.target)
    one = Part("kept.txt", 4, sha256(b"kept"), 0, 4)
    for mode, parts, data in (("list", (), b""), ("pull", (one,), b""), ("push", (one,), b"kept")):
        assert "is a link" in refused(place, mode, *parts, data=data)  # type: ignore[arg-type]
    assert [path.name for path in place.target.iterdir()] == ["kept.txt"]


def test_a_link_that_comes_when_a_file_is_opened_is_not_followed(place: Place, notebooks: Path) -> None:
    """As a notebook could make one, between the look and the opening."""
    (notebooks / "a.txt").write_bytes(b"of somebody else")
    comes = "$looks = @{ Count = 0 }; function Get-Link($Path) { $looks.Count++; if ($looks.Count -gt 1) { $Path } }; "
    path = host_path(notebooks / "a.txt")
    released = f"try {{ Open-Notebook '{path}' }} catch {{ (Get-FailureField $_.Exception).code }}; [IO.File]::Open('{path}', 'Open', 'Read', 'None').Close()"
    assert place.run("\n".join([MAIN, SET_UP, comes + released])) == ["link-in-path"]
    new = "function Test-Link([string]$Path) { (Split-Path -Leaf $Path) -clike '.nb*' }; "
    refusal = "try { [void](Write-Part '%s\\.nb0' @{ Offset = 0; Length = 0 }) } catch { (Get-FailureField $_.Exception).code }"
    assert place.run("\n".join([MAIN, SET_UP, new + refusal % host_path(notebooks)])) == ["link-in-path"]


def test_nobody_replaces_a_folder_while_a_file_gets_into_it(place: Place, notebooks: Path) -> None:
    held = (
        "$held = New-Object Collections.ArrayList; function Look($Folder) { foreach ($file in [IO.Directory]::GetFiles($Folder, 'nb-*')) { "
    )
    held += "try { [IO.File]::Delete($file) } catch { [void]$held.Add((Split-Path -Leaf $Folder)) } } }; "
    held += "function New-Item($ItemType, $Path) { Look (Split-Path $Path); [IO.Directory]::CreateDirectory($Path) }; "
    held += "function Write-Part([string]$New, $Part) { Look (Split-Path $New); Write-FileState absent ($held -join ' ') }; "
    assert list(push(place, {"a/b.txt": b"1"}, also=held)) == ["data a"]


def test_what_changes_while_a_file_arrives_is_kept(place: Place, notebooks: Path) -> None:
    path = host_path(notebooks / "a.txt")
    changes = f"$write = ${{function:Write-Part}}; function Write-Part($New, $Part) {{ [IO.File]::WriteAllText('{path}', 'theirs'); . $write $New $Part }}; "
    assert push(place, {"a.txt": b"new"}, also=changes) == {"a.txt": "conflict"}
    assert {file.name: file.read_text() for file in notebooks.iterdir()} == {"a.txt": "theirs"}


# -- undo with notebooks


WORK = {FRENCH: b"{}", JAPANESE: b"x" * 300_001, "empty.txt": b"", "AA.txt": b"1", "Z/b.txt": b"2", "a/c/plot.png": b"png"}


def archive_hash(files: dict[str, bytes]) -> str:
    lines = (f"{sha256(data)} {len(data)} {path}\0".encode() for path, data in sorted(files.items(), key=lambda item: item[0].encode()))
    return sha256(b"".join(lines))


def undo(files: dict[str, bytes], act: str = "Remove-Notebook") -> str:
    """What undo does before it restores anything. The server stops before `act`."""
    lines = ", ".join(f"'{line}'" for line in Envelope("undo", "run-1", archived=archive_hash(files)).lines())
    return "\n".join([MAIN, SET_UP, f"$EnvelopeLines = {lines}; Read-Envelope; [void](Get-Said); Compare-WithArchive; {act}; Get-Said"])


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def test_what_is_in_the_archive_is_removed(place: Place, notebooks: Path) -> None:
    fill(notebooks, {**WORK, "a/.ipynb_checkpoints/plot-checkpoint.ipynb": b"copy", ".nb0123abcd": b"unfinished"})
    (notebooks / "no files").mkdir()
    (notebooks / "empty.txt").chmod(0o444)
    found = [json.loads(line) for line in place.run(undo(WORK))]
    assert [event["code"] for event in found] == ["removing-notebooks", "notebooks-removed"]
    assert list(notebooks.iterdir()) == []


def test_a_folder_without_folders(place: Place, notebooks: Path) -> None:
    fill(notebooks, {"one.txt": b"1"})
    place.run(undo({"one.txt": b"1"}))
    assert list(notebooks.iterdir()) == []
    place.run(undo({}))


def test_the_order_of_the_paths_is_the_same_in_every_culture(place: Place, notebooks: Path) -> None:
    """In Danish, AA comes after AB: these letters are in the bytes of the names."""
    files = {"\N{LATIN SMALL LETTER E WITH CIRCUMFLEX}": b"1", "\N{LATIN SMALL LETTER E WITH DIAERESIS}": b"2"}
    fill(notebooks, files)
    culture = "[Threading.Thread]::CurrentThread.CurrentCulture"
    place.run(
        undo(
            files,
            f"$before = {culture}; {culture} = [Globalization.CultureInfo]'da-DK'; try {{ Compare-WithArchive }} finally {{ {culture} = $before }}",
        )
    )


def test_names_of_temporary_files_leave_room_for_the_folder(place: Place, notebooks: Path) -> None:
    """.NET Framework accepts 247 characters of a folder and 259 of a file."""
    names = place.run(
        "\n".join(
            [
                MAIN,
                f"""$lock = Lock-Folder '{host_path(notebooks)}'; Split-Path -Leaf $lock.Name; $lock.Close()
        function Write-Part([string]$New, $Part) {{ Split-Path -Leaf $New }}; function Complete-File {{ }}
        Receive-Part '{host_path(notebooks)}' @{{ Path = 'a.txt'; Sha256 = 'a1' * 32; Offset = 0; Length = 1; Size = 1; Before = '-' }} @{{}}""",
            ]
        )
    )
    assert [len(name) for name in names] == [11]


@pytest.mark.parametrize("more", ["more.txt", "a/more.txt"])
def test_nothing_is_removed_if_a_file_is_not_in_the_archive(place: Place, notebooks: Path, more: str) -> None:
    fill(notebooks, {**WORK, more: b""})
    assert "do not match the archive" in place.refused(undo(WORK, "throw 'compared'"))
    assert {path: (notebooks / path).read_bytes() for path in WORK} == WORK


def test_a_file_that_changes_while_the_server_stops_is_kept(place: Place, notebooks: Path) -> None:
    fill(notebooks, WORK)
    changed = f"[IO.File]::WriteAllText('{host_path(notebooks)}\\AA.txt', 'new')"
    assert "do not match the archive" in place.refused(undo(WORK, f"{changed}; Remove-Notebook"))
    assert {path.name for path in notebooks.iterdir()} == {path.partition("/")[0] for path in WORK}
    fill(notebooks, WORK)
    compared = "$top = Get-NotebookFolder; $content = Get-ArchivedContent $top"
    assert "was changed while" in place.refused(undo(WORK, f"{compared}; {changed}; Remove-NotebookContent $content $top"))
    assert (notebooks / "AA.txt").read_text() == "new"


@pytest.mark.parametrize("name", ["link", ".hidden"])
def test_what_an_archive_cannot_have_is_named(place: Place, notebooks: Path, name: str) -> None:
    fill(notebooks, WORK)
    if name == "link":
        (notebooks / name).symlink_to(place.target)
    else:
        (notebooks / name).write_bytes(b"secret")
    said = place.refused(undo(WORK, "throw 'compared'"))
    assert f"contains {name}, which cannot be archived" in said and ("it is a reparse point" in said) == (name == "link")
    assert (place.target / "kept.txt").exists() and (notebooks / name).exists() and (notebooks / "AA.txt").exists()


# -- the process


def test_missing_rights_are_named_before_the_state_folder_is_read(place: Place) -> None:
    """Windows refuses to show its access list: "Attempted to perform an unauthorized operation" helps nobody."""
    script = """function Assert-Administrator { throw (New-Failure not-administrator 'no rights') }
    function Use-AccessControl { throw (New-Object UnauthorizedAccessException 'Attempted to perform an unauthorized operation.') }
    function Start-Change { Assert-StateFolder }; $Settings = @{ release = ''; host = ''; scope = 'machine' }; $ScriptText = ''
    foreach ($mode in 'test', 'status', 'apply', 'undo') {
        $Run.Mode = $mode
        try { [void](Start-Run) } catch { "$mode $((Get-FailureField $_.Exception).code)" }
    }
    $Run.Mode = 'check'; Start-Run; [void](Get-Said)
    foreach ($name in 'Assert-DotNet', 'Write-CodeIntegrity', 'Invoke-Test', 'Assert-RotationComplete') { Set-Item "function:$name" { } }
    $Hooks.Check = @(); & $Modes.check; Get-Said | ForEach-Object { $one = ConvertFrom-Json $_; "$($one.name) $($one.state)" }"""
    own = "$Hooks = $Hooks.Clone(); $Steps = New-Object Collections.ArrayList"
    said = place.run("\n".join([MAIN, SET_UP, own, part("steps/machine/preflight"), script]))
    assert said[:4] == [f"{mode} not-administrator" for mode in ("test", "status", "apply", "undo")]
    assert "state_folder unknown" in said[4:]


def test_a_run_whose_id_this_host_knows_does_not_begin(place: Place) -> None:
    """Its events would be added to those of the other run, which are evidence."""
    place.set_access(place.state, PRIVATE)
    start = """try { Start-Change; 'begun' } catch { (Get-FailureField $_.Exception).code } finally { Exit-Lock; $Run.EventFile = '' }; """
    own = "$LockFile = \"$StateFolder\\lock\"; $Run.Mode = 'apply'; $Run.Id = 'r1'; "
    assert place.run("\n".join([MAIN, SET_UP, own, start * 2])) == ["begun", "run-id-used"]


def test_only_a_check_and_events_start_in_a_32_bit_process(place: Place) -> None:
    """It has other folders and registry keys than those in the record."""
    script = """function Assert-SixtyFourBit { throw 'refused' }
    function Start-Change { }; function Assert-StateFolder { }; function Write-Event { }; $Settings = @{ release = ''; host = '' }; $ScriptText = ''
    foreach ($mode in @($Modes.Keys)) { $Run.Mode = $mode; try { [void](Start-Run); $mode } catch { if ("$_" -cne 'refused') { throw } } }"""
    assert sorted(place.run("\n".join([MAIN, SET_UP, script]))) == ["check", "events"]
