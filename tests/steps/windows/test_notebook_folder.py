"""The notebook folder: nobody may put another one in its place, and undo takes the service's access away."""

from __future__ import annotations

import json

import pytest

from nbserver.render.step_files import read_body
from tests.powershell.engine import Session, host_path
from tests.steps.windows.place import (
    ABOVE,
    NOTEBOOKS,
    PRIVATE,
    SERVICE,
    SETTINGS,
    Place,
    notebooks,
    place,
    session,
)
from tests.steps.windows.test_python import CLOSED, DRIVE, OPEN

__all__ = ["notebooks", "place", "session"]


# -- who may replace the notebook folder


@pytest.mark.parametrize(
    ("path", "sddl", "words"),
    [
        (NOTEBOOKS, OPEN, "S-1-5-11 can modify " + NOTEBOOKS),  # what a folder on a drive inherits
        (ABOVE, OPEN, "S-1-5-11 can modify " + ABOVE),
        (ABOVE, CLOSED + "(A;;DT;;;BU)", "S-1-5-32-545 can modify " + ABOVE),
        (ABOVE, CLOSED + "(A;;SD;;;BU)", "S-1-5-32-545 can modify"),
        (NOTEBOOKS, CLOSED + "(A;;WD;;;BU)", "S-1-5-32-545 can modify"),
        (NOTEBOOKS, CLOSED + "(A;;WO;;;WD)", "S-1-1-0 can modify"),
        (NOTEBOOKS, CLOSED + "(A;;GA;;;WD)", "S-1-1-0 can modify"),
        (ABOVE, CLOSED.replace("O:SY", "O:BU"), "is owned by S-1-5-32-545"),
        ("C:\\", DRIVE + "(A;;DT;;;BU)", "S-1-5-32-545 can modify C:\\"),
        ("C:\\", DRIVE + "(A;;WO;;;BU)", "S-1-5-32-545 can modify C:\\"),
    ],
)
def test_a_folder_that_others_may_replace_is_refused(notebooks: Place, path: str, sddl: str, words: str) -> None:
    notebooks.set_access(path, sddl)
    before = notebooks.access(NOTEBOOKS)
    said = notebooks.refused(f"Add-DataFolder '{NOTEBOOKS}'")
    assert words in said and "other accounts could replace it" in said
    assert notebooks.access(NOTEBOOKS) == before


def test_a_drive_that_this_host_does_not_have_is_named(notebooks: Place) -> None:
    said = notebooks.refused(r"Assert-DataFolder 'Q:\notebooks'")
    assert r"Q:\notebooks cannot be used for notebooks: this host has no drive Q:. Set notebook.directory" in said


@pytest.mark.parametrize(
    ("path", "sddl"),
    [
        (NOTEBOOKS, CLOSED),
        (
            NOTEBOOKS,
            CLOSED.replace("D:AI", "D:AI(A;OICI;0x1200af;;;BU)(A;OICIIO;SDGXGWGR;;;AU)(A;;DT;;;BU)"),
        ),  # people may write in it, and delete what is in it
        (NOTEBOOKS, PRIVATE.replace("O:BA", "O:S-1-5-21-1-2-3-1001") + "(A;OICI;FA;;;S-1-5-21-1-2-3-1001)(A;;FA;;;S-1-3-4)"),
        ("C:\\", DRIVE + "(A;;0x1301bf;;;AU)"),
    ],
)
def test_a_folder_that_stays_where_it_is_is_taken(notebooks: Place, path: str, sddl: str) -> None:
    notebooks.set_access(path, sddl)
    notebooks.run(f"Add-DataFolder '{NOTEBOOKS}'")
    assert f"(A;OICI;0x1301bf;;;{SERVICE})" in notebooks.access(NOTEBOOKS)


def test_a_new_folder_does_not_inherit_what_a_drive_gives_everybody(notebooks: Place) -> None:
    new = ABOVE + r"\far\new\notebooks"
    notebooks.run(f"Add-DataFolder '{new}'")
    assert notebooks.access(new) == f"{PRIVATE}(A;OICI;0x1301bf;;;{SERVICE})"
    assert notebooks.access(ABOVE + r"\far") == notebooks.access(ABOVE + r"\far\new") == PRIVATE
    lines = [json.loads(line) for line in (notebooks.state / "record.jsonl").read_text().splitlines()]
    assert [(line["kind"], line["key"].removeprefix(ABOVE)) for line in lines] == [
        ("data_folder", r"\far"),
        ("data_folder", r"\far\new"),
        ("data_folder", r"\far\new\notebooks"),
        ("grant", r"\far\new\notebooks"),
    ]
    undo = "$lines = @(Read-Record); [Array]::Reverse($lines); foreach ($line in $lines) { Undo-Line $line }"
    there = notebooks.run(f"{undo}; foreach ($one in '{ABOVE}\\far', '{ABOVE}') {{ [string](Test-Path -LiteralPath $one) }}")
    assert there == ["False", "True"], "undo removes the folders above it too"


def test_a_folder_that_somebody_created_first_is_refused(notebooks: Place) -> None:
    """Windows leaves it as it is, with their list."""
    first = "function New-ClosedFolder($Path) { [void](New-Item -ItemType Directory -Path $Path) }; "
    said = notebooks.refused(f"{first}Add-DataFolder '{ABOVE}\\new'")
    assert f"another account created {ABOVE}\\new while nbserver was creating it: S-1-5-32-545 has access to" in said


def test_the_service_loses_its_access_to_an_earlier_folder(notebooks: Place) -> None:
    """What the settings name now is another one, so the record says which one it was."""
    notebooks.run(f"Add-DataFolder '{NOTEBOOKS}'; [IO.File]::WriteAllText('{NOTEBOOKS}\\b.ipynb', 'x')")
    assert SERVICE in notebooks.access(NOTEBOOKS)
    said = notebooks.run("Get-DroppedLine | ForEach-Object { $_.key; Undo-Line $_ | Out-Null }; [string]@(Read-Record).Count")
    assert said == [NOTEBOOKS, "0"] and SERVICE not in notebooks.access(NOTEBOOKS)


REFUSED = [
    "C:\\",
    "D:\\",
    r"C:\windows",
    r"C:\WINDOWS\System32\x",
    r"C:\Program Files",
    r"C:\Program Files\x",
    r"C:\Program Files (x86)\x",
    r"C:\ProgramData",
    r"C:\ProgramData\\",
    r"C:\Users",
    r"C:\users\anna",
    r"C:\PROGRA~1\x",
    r"C:\windows.\x",
    r"C:\data \x",
    r"D:\$Recycle.Bin\x",
    r"D:\System Volume Information",
    r"C:\ProgramData\nbserver",
    r"C:\ProgramData\nbserver\service",
    r"C:\ProgramData\nbserver\work\x",
    r"C:\ProgramData\nbserver\runs",
    r"C:\Program Files\nbserver",
    r"C:\\windows",
    r"C:\\Program Files\\x",
    "C:/windows",
    r"C:\data\..\windows",
    r"C:\windows::$INDEX_ALLOCATION",
    r"\\?\C:\windows",  # other names of these
]
TAKEN = [
    r"C:\ProgramData\nbserver\notebooks",
    r"C:\ProgramData\nbserver\notebooks\x",
    r"C:\notebooks",
    r"C:\ProgramData\site",
    r"C:\windows2",
    r"C:\Users\anna\notebooks",
    r"C:\~\x",
    "C:\\notebooks\\",
]


def test_folders_of_windows_are_refused_by_name(session: Session) -> None:
    script = f'{SETTINGS} foreach ($one in $input) {{ try {{ Assert-DataFolder $one; "taken $one" }} catch {{ "$_" }} }}'
    said = session.run(script, REFUSED)
    assert all(
        f"{path} cannot be used for notebooks: " in text and "Set notebook.directory in the inventory to another folder" in text
        for path, text in zip(REFUSED, said, strict=True)
    ), said
    assert session.run(script, TAKEN) == [f"taken {path}" for path in TAKEN]


def test_in_user_scope_the_user_chooses_any_folder() -> None:
    """The server has the user's rights anyway, so the body has neither these refusals nor the grant."""
    text = read_body("ps_scripts", "user").text
    assert "Add-DataFolder (Expand-Path" in text and "Assert-DataFolder" not in text and "$Restore.grant" not in text


# -- undo takes the service's access away


def test_undo_takes_the_access_away_and_what_the_service_made(notebooks: Place) -> None:
    made = NOTEBOOKS + r"\made"
    notebooks.run(
        f"Add-DataFolder '{NOTEBOOKS}'; [void](New-Item -ItemType Directory '{made}'); [IO.File]::WriteAllText('{made}\\a.ipynb', 'x'); [IO.File]::WriteAllText('{NOTEBOOKS}\\b.ipynb', 'x')"
    )
    own = f"(A;OICI;FA;;;{SERVICE})"
    notebooks.set_access(made, f"O:LSD:PAI(A;OICI;FA;;;BA){own}(A;OICI;FA;;;LS)")
    notebooks.set_access(made + r"\a.ipynb", "O:LSD:AI(A;ID;FA;;;BA)(A;;FA;;;LS)")  # no order that Windows would make
    notebooks.set_access(NOTEBOOKS + r"\b.ipynb", f"O:S-1-5-21-1-2-3-1001D:AI(A;;FA;;;LS)(A;;FA;;;{SERVICE})(A;ID;FA;;;BA)")
    notebooks.run(f"& $Restore.grant '{NOTEBOOKS}'")
    assert SERVICE not in notebooks.access(NOTEBOOKS)
    assert notebooks.access(made) == "O:BAD:AI"
    assert notebooks.access(made + r"\a.ipynb") == "O:BAD:AI"
    assert notebooks.access(NOTEBOOKS + r"\b.ipynb") == "O:S-1-5-21-1-2-3-1001D:AI(A;;FA;;;LS)(A;ID;FA;;;BA)", (
        "what others made and gave stays so"
    )
    notebooks.run(f"Add-DataFolder '{NOTEBOOKS}'")
    assert f"(A;OICI;0x1301bf;;;{SERVICE})" in notebooks.access(NOTEBOOKS), "and the next apply gives it back"
    notebooks.set_access(NOTEBOOKS, OPEN.replace("D:AI", f"D:AI(A;OICI;0x1301bf;;;{SERVICE})"))
    notebooks.run(f"& $Restore.grant '{NOTEBOOKS}'")
    assert SERVICE not in notebooks.access(NOTEBOOKS), "also from a folder that others could replace by now"


def test_what_a_link_leads_to_keeps_its_access(place: Place) -> None:
    data = place.folder / "data"
    (data / "inner").mkdir(parents=True)
    (data / "inner" / "a.ipynb").write_text("x")
    for folder in (data, data / "inner"):
        (folder / "link").symlink_to(place.target)
    seen = "$seen = New-Object Collections.ArrayList; function Remove-Grant([string]$Path) { [void]$seen.Add((Split-Path -Leaf $Path)) }; "
    assert place.run(f"{seen}& $Restore.grant '{host_path(data)}'; $seen -join ' '") == ["inner a.ipynb data"]


def test_what_could_not_be_taken_away_is_reported_and_the_rest_goes_on(notebooks: Place) -> None:
    notebooks.run(f"Add-DataFolder '{NOTEBOOKS}'; [IO.File]::WriteAllText('{NOTEBOOKS}\\b.ipynb', 'x')")
    stubborn = "$real = ${function:Remove-Grant}; function Remove-Grant([string]$Path) { if ($Path -like '*.ipynb') { throw 'denied' }; . $real $Path }; "
    refused = notebooks.refused(f"{stubborn}& $Restore.grant '{NOTEBOOKS}'")
    assert f"could not remove the service's access to 1 of the files and folders in {NOTEBOOKS}." in refused
    assert f"First error: nbserver did not change the permissions of {NOTEBOOKS}\\b.ipynb: denied" in refused
    assert SERVICE not in notebooks.access(NOTEBOOKS)


@pytest.mark.parametrize("entry", ["(D;OICI;0x1301bf;;;{0})", "(A;OICIIO;0x1301bf;;;{0})", "(A;;0x1301bf;;;{0})"])
def test_an_entry_that_lets_nobody_in_is_no_access(notebooks: Place, entry: str) -> None:
    notebooks.set_access(NOTEBOOKS, CLOSED + entry.format(SERVICE))
    assert notebooks.run(f"[string](Test-ServiceGrant '{NOTEBOOKS}')") == ["False"]
