"""What an upgrade removes: only what the record has, only what is not wanted, and never what the server runs from."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.powershell.engine import Session, host_path, part, prelude, require_engine, steps

PROGRAMS, CACHE = r"C:\Program Files\nbserver", r"C:\ProgramData\nbserver\cache"
SETTINGS: dict[str, Any] = {
    "architecture": "x64",
    "python": {
        "version": "3.13.2",
        "kind": "zip",
        "executable": ["python.exe"],
        "url": "https://x.example.com/python.zip",
        "sha256": "cdef" * 16,
    },
    "openssl": {"version": "3.5.7", "kind": "exe", "url": "https://x.example.com/openssl.msi", "sha256": "89ab" * 16},
    "packages": {"lock_sha256": "0123456789abcdef"},
}
ENVIRONMENT = {"kind": "folder", "step": "packages", "key": PROGRAMS + r"\env-3.13.1-ffffffff"}
PYTHON = {"kind": "folder", "step": "python", "key": PROGRAMS + r"\python-3.13.1"}
BUNDLE = {"kind": "bundle", "step": "python", "key": r"C:\ProgramData\nbserver\cache\0123-python-3.13.1-amd64.exe"}
RUNTIME = {"kind": "bundle", "step": "vc_redist", "key": r"C:\ProgramData\nbserver\cache\4567-vc.exe"}
OPENSSL = {"kind": "inno", "step": "openssl", "key": PROGRAMS + r"\openssl-3.5.6"}
PACKAGE = {"kind": "msi", "step": "openssl", "key": CACHE + r"\89ab89ab89ab89ab-openssl.msi"}
WANTED = [
    {"kind": "folder", "step": "python", "key": PROGRAMS},
    {"kind": "folder", "step": "python", "key": PROGRAMS + r"\python-3.13.2"},
    {"kind": "folder", "step": "packages", "key": PROGRAMS + r"\env-3.13.2-01234567"},
    {"kind": "inno", "step": "openssl", "key": PROGRAMS + r"\openssl-3.5.7"},
]
OTHERS = [
    {"kind": "folder", "step": "packages", "key": r"C:\ProgramData\nbserver\cache"},
    {"kind": "folder", "step": "python", "key": r"C:\elsewhere\python-3.13.1"},
    {"kind": "folder", "step": "packages", "key": PROGRAMS + r"\env-3.13.1-ffffffff\below"},
    {"kind": "path_entry", "step": "path", "key": PROGRAMS + r"\python-3.13.1"},
    {"kind": "msi", "step": "tool", "key": CACHE + r"\89ab89ab89ab89ab-tool.msi"},
    RUNTIME,
]


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        files = prelude(
            "run",
            "record",
            "set_aside",
            "registry",
            "downloads",
            "path_access",
            "restarted_server",
            "unused_programs",
            "dropped_settings",
            "switch",
            "part_data",
            "delivered_files",
        )
        own = steps("python", "openssl", "packages", "cleanup")
        opened.keep(f"{files}\n{own}\n$Programs = '{PROGRAMS}'; $CacheFolder = '{CACHE}'")
        yield opened


def dropped(session: Session, folder: Path, lines: list[dict[str, Any]], directory: str, skip: list[str]) -> list[str]:
    """The keys that would be restored, in their order."""
    record = folder / "record.jsonl"
    record.write_text("".join(json.dumps({"v": 1, "before": None, **line}) + "\n" for line in lines), "ascii")
    settings = json.dumps({**SETTINGS, "skip": skip, "notebook": {"directory": directory}})
    script = f"function Test-FirewallRunning {{ $true }}; $Settings = ConvertFrom-Json @($input)[0]; $RecordFile = '{host_path(record)}'; Get-DroppedLine | ForEach-Object {{ $_.key }}"
    return session.run(script, [settings])


def former(session: Session, folder: Path, lines: list[dict[str, Any]], before: str = "", /, **python: str) -> list[str]:
    """The keys that would go, in their order; `openssl` is the kind that is wanted."""
    record = folder / "record.jsonl"
    record.write_text("".join(json.dumps({"v": 1, "before": None, **line}) + "\n" for line in lines), "ascii")
    wanted = {**SETTINGS, "openssl": {**SETTINGS["openssl"], "kind": python.pop("openssl", "exe")}}
    settings = json.dumps({**wanted, "python": {**SETTINGS["python"], **python}})
    script = f"{before}\n$Settings = ConvertFrom-Json '{settings}'; $RecordFile = '{host_path(record)}'; Get-UnusedLine | ForEach-Object {{ $_.key }}"
    return session.run(script)


def test_what_is_not_wanted_any_more_goes_newest_first(session: Session, tmp_path: Path) -> None:
    lines = [WANTED[0], PYTHON, BUNDLE, OPENSSL, ENVIRONMENT, *WANTED[1:], *OTHERS]
    assert former(session, tmp_path, lines) == [line["key"] for line in (ENVIRONMENT, OPENSSL, BUNDLE, PYTHON)]


def test_nothing_goes_that_is_wanted_or_of_others(session: Session, tmp_path: Path) -> None:
    assert former(session, tmp_path, [*WANTED, *OTHERS]) == []
    assert former(session, tmp_path, []) == []


@pytest.mark.parametrize("kind", ["zip", "exe"])
def test_an_installer_of_the_python_that_is_wanted_stays(session: Session, tmp_path: Path, kind: str) -> None:
    """Also when the inventory now says that it should have been a zip: the folder is the same."""
    assert former(session, tmp_path, [PYTHON, BUNDLE], version="3.13.1", kind=kind) == []


def test_the_installer_of_the_python_that_is_wanted_stays_wherever_its_line_is(session: Session, tmp_path: Path) -> None:
    """A repair by an earlier release appended it behind a Python of another version."""
    repaired = {**BUNDLE, "key": CACHE + r"\cdefcdefcdefcdef-python.zip"}
    assert former(session, tmp_path, [*WANTED, PYTHON, repaired], kind="exe") == [PYTHON["key"]]


def test_the_python_that_the_environment_was_created_from_stays(session: Session, tmp_path: Path) -> None:
    """python.kind = "exe" now finds a Python of this version that an administrator has installed."""
    base = f"function Get-BaseFolder([string]$Environment) {{ if ($Environment -like '*-3.13.2-01234567') {{ '{PYTHON['key']}' }} }}"
    assert former(session, tmp_path, [*WANTED, PYTHON, BUNDLE], base) == []


def test_the_package_of_openssl_goes_when_another_or_none_is_wanted(session: Session, tmp_path: Path) -> None:
    lines = [*WANTED, PACKAGE]
    assert former(session, tmp_path, lines, openssl="msi") == []
    for kind in ("exe", "zip"):
        assert former(session, tmp_path, lines, openssl=kind) == [PACKAGE["key"]]
    other = {**PACKAGE, "key": PACKAGE["key"].replace("89ab", "cdef")}
    assert former(session, tmp_path, [*lines, other], openssl="msi") == [other["key"]]


def test_the_environment_that_is_kept_needs_its_python(session: Session, tmp_path: Path) -> None:
    kept = f"function Get-KeptFolder {{ '{ENVIRONMENT['key']}'; '{PYTHON['key']}' }}"
    lines = [*WANTED, PYTHON, BUNDLE, OPENSSL, ENVIRONMENT, {**ENVIRONMENT, "key": PROGRAMS + r"\env-3.13.1-eeeeeeee"}]
    assert former(session, tmp_path, lines, kept) == [lines[-1]["key"], OPENSSL["key"]]
    own = part("prelude/user/unused_programs")
    assert former(session, tmp_path, lines[:1] + lines[-2:], own + kept, version="3.13", kind="present") == [lines[-1]["key"]]


def test_in_user_scope_only_an_earlier_environment_goes(session: Session, tmp_path: Path) -> None:
    lines = [WANTED[0], ENVIRONMENT, {**ENVIRONMENT, "key": PROGRAMS + r"\env-3.13-01234567"}]
    own = part("prelude/user/unused_programs")
    assert former(session, tmp_path, lines, own, version="3.13", kind="present", folder=r"C:\Python313") == [ENVIRONMENT["key"]]


RULE = {"kind": "firewall_rule", "step": "firewall", "key": "nbserver"}
OTHER_RULE = {"kind": "firewall_rule_state", "step": "takeover", "key": "{6D2F0F38}"}
ENTRY = {"kind": "path_entry", "step": "path", "key": PROGRAMS + r"\python-3.13.2"}
REMOVED_ENTRY = {"kind": "path_removal", "step": "takeover", "key": r"C:\Python27"}
FOLDERS = [{"kind": kind, "step": "notebook", "key": key} for key in (r"D:\old", r"D:\old\notebooks") for kind in ("data_folder", "grant")]


def test_what_a_step_did_that_is_left_out_now_is_dropped(session: Session, tmp_path: Path) -> None:
    lines = [*WANTED, RULE, OTHER_RULE, ENTRY, REMOVED_ENTRY]
    assert dropped(session, tmp_path, lines, r"D:\notebooks", []) == []
    assert dropped(session, tmp_path, lines, r"D:\notebooks", ["firewall", "ie_esc"]) == [OTHER_RULE["key"], RULE["key"]]
    assert dropped(session, tmp_path, lines, r"D:\notebooks", ["path"]) == [REMOVED_ENTRY["key"], ENTRY["key"]]


def test_an_earlier_folder_for_notebooks_is_dropped_unless_the_present_one_is_in_it(session: Session, tmp_path: Path) -> None:
    lines = [*WANTED, *FOLDERS]
    assert dropped(session, tmp_path, lines, r"d:\OLD\notebooks\\", []) == []
    assert dropped(session, tmp_path, lines, r"D:\old\notebooks\deeper", []) == []
    assert dropped(session, tmp_path, lines, r"D:\new", []) == [line["key"] for line in reversed(FOLDERS)]
    assert dropped(session, tmp_path, lines, r"D:\old2", []) == [line["key"] for line in reversed(FOLDERS)]


def test_an_earlier_folder_with_files_stays_until_undo(session: Session, tmp_path: Path) -> None:
    """It may have only the first page, which undo removes before it: then the folder was nbserver's alone."""
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "Welcome.ipynb").write_text("{}")
    lines = [{**line, "key": host_path(tmp_path / "old")} for line in FOLDERS[:2]]
    assert dropped(session, tmp_path, lines, r"D:\new", []) == [lines[1]["key"]]
    (tmp_path / "old" / "Welcome.ipynb").unlink()
    assert dropped(session, tmp_path, lines, r"D:\new", []) == [line["key"] for line in reversed(lines)]
