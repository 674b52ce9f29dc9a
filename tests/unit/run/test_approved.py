"""Whether a run is approved: whatever is wrong is refused with exit code 5 and one message, before any host is contacted."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from nbserver.base import utc
from nbserver.base.errors import ApprovalError, UsageError
from nbserver.cli import program
from nbserver.commands import backups, events, notebooks, undo
from nbserver.commands import render as rendering
from nbserver.inventory import reader
from nbserver.render.render import render_all
from nbserver.run import approved
from nbserver.run.evidence import Evidence
from nbserver.run.options import Options
from nbserver.view.plain_lines import PlainLines
from tests import approvals, golden
from tests.approvals import ANNA, BEN, WEEK
from tests.unit.run.approved_site import INVENTORY, Contacted, Site, fifo, huge, link, rendered, site

__all__ = ["rendered", "site"]


def test_what_was_approved_may_run(site: Site) -> None:
    site.sign(site.anna, ANNA)
    assert site.accepted("apply") and site.accepted("test", "win1", "win2") and site.accepted("request")


def test_all_runs_of_a_command_are_approved_before_the_first_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push begins with a list, and a backup and an undo of notebooks with a pull, which the approval covers."""
    site.sign(site.anna, ANNA, modes=("push", "pull"))
    monkeypatch.setattr(backups, "_certificate", lambda file, host: object())
    loaded = reader.load(site.folder / "nbserver.toml")
    options = Options(approved=site.approved, signers=site.signers)
    task = notebooks.Task("push", loaded, loaded.select(["win1"]), options, None, PlainLines(lambda line: None))
    file = site.folder / "win1.zip"
    refused: list[tuple[Callable[[], int], str]] = [
        (lambda: backups.backup(file, task), "backup"),
        (lambda: backups.backup(file, task, with_key=True), "backup-key"),
        (lambda: backups.restore(file, task, with_key=True), "restore-key"),
        (lambda: undo.undo_with_notebooks(site.folder, task), "undo"),
    ]
    for command, mode in refused:
        with pytest.raises(ApprovalError, match=f"does not cover the mode {mode}, only pull, push"):
            command()
    (site.folder / "lessons").mkdir()
    with pytest.raises(Contacted):
        notebooks.push(site.folder / "lessons", task)
    shutil.rmtree(site.approved / "approvals")
    site.sign(site.anna, ANNA, modes=("pull",))
    with pytest.raises(ApprovalError, match="does not cover the mode push"):
        notebooks.push(site.folder / "lessons", task)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"modes": ("plan",)}, "the approval is not valid for this run: the approval does not cover the mode apply, only plan"),
        ({"hosts": ("win2",)}, "the approval does not cover the host win1"),
        ({"issued": utc.now() - 2 * WEEK}, "the approval expired at 20"),
        (
            {"issued": utc.now() + timedelta(days=1)},
            "the approval was issued at 20.*, which is in the future: the clock of this workstation shows 20",
        ),
        ({"release": "0.1.0"}, "the approval is for release 0.1.0, but the scripts are from release "),
        ({"manifest_sha256": "0" * 64}, "the approval is for a different manifest: expected SHA-256 0000.*, got "),
        ({"hosts": ("win1",), "manifest_sha256": 5}, "manifest_sha256: "),
        ({"namespace": "git"}, 'expected the namespace "nbserver-approval"'),
        ({"by": "eve@example.com"}, "allowed_signers does not allow eve@example.com to sign with the key SHA256:"),
    ],
)
def test_an_approval_for_something_else_does_not_count(site: Site, change: dict[str, Any], said: str) -> None:
    site.sign(site.anna, change.pop("by", ANNA), **change)
    assert re.search(said, site.refused())


def test_an_approval_that_was_issued_a_moment_ahead_counts(site: Site) -> None:
    site.sign(site.anna, ANNA, issued=utc.now() + timedelta(minutes=4))
    assert site.accepted()


def test_another_script_than_in_the_manifest_does_not_count(site: Site) -> None:
    site.sign(site.anna, ANNA, scripts={"win1": "0" * 64})
    assert "the script in the manifest for win1 is not the one that was approved" in site.refused()


def test_nobody_has_approved(site: Site) -> None:
    assert "nobody has approved the scripts in this folder. Have them approved with nbserver approve" in site.refused()
    (site.approved / "approvals").mkdir()
    assert "nobody has approved" in site.refused(approvals=2)


def test_the_key_must_be_that_of_the_person(site: Site) -> None:
    site.sign(site.ben, ANNA)
    assert "does not allow anna@example.com to sign with the key SHA256:" in site.refused()


def test_a_changed_document_does_not_count(site: Site) -> None:
    path = site.sign(site.anna, ANNA, modes=("plan",))
    path.write_bytes(path.read_bytes().replace(b'"plan"', b'"apply"'))
    assert "the signature does not match the file" in site.refused()


def test_an_approval_that_counts_is_enough_next_to_one_that_does_not(site: Site) -> None:
    site.sign(site.anna, ANNA, issued=utc.now() - 2 * WEEK)
    site.sign(site.ben, BEN)
    assert site.accepted()


def test_a_document_without_its_signature_does_not_hide_one_that_counts(site: Site) -> None:
    site.sign(site.anna, ANNA)
    left = site.sign(site.ben, BEN)
    left.with_name(left.name + ".sig").unlink()
    assert site.accepted()


def test_four_eyes_are_two_people_with_two_keys(site: Site) -> None:
    site.sign(site.anna, ANNA)
    assert "2 approvals by different people with different keys are required, but this folder has 1: anna@" in site.refused(approvals=2)
    site.sign(site.anna, ANNA, modes=("apply",))
    assert "this folder has 1: anna@example.com (SHA256:" in site.refused(approvals=2)
    other = approvals.key(site.folder / "other")
    with site.signers.open("a") as file:
        file.write(approvals.line(ANNA, other) + approvals.line("ann@example.com", site.anna))
    site.sign(other, ANNA)  # the same person with another key
    assert "this folder has 1" in site.refused(approvals=2)
    site.sign(site.anna, "ann@example.com")  # another name, and a key that anna has, who has two
    assert site.accepted(approvals=2)
    site.sign(site.ben, BEN)
    assert site.accepted(approvals=2) and site.accepted(approvals=3)
    assert "4 approvals" in site.refused(approvals=4)


@pytest.mark.parametrize(
    ("names", "name"),
    [
        (f"{ANNA},anna.privat@example.com", "anna.privat@example.com"),
        ("anna*", "anna.privat@example.com"),
        (f"{ANNA},Anna.Privat@example.com", "Anna.Privat@example.com"),
    ],
)
def test_names_that_one_line_allows_are_one_person(site: Site, names: str, name: str) -> None:
    other = approvals.key(site.folder / "other")
    with site.signers.open("a") as file:
        file.write(approvals.line(names, other))
    site.sign(site.anna, ANNA)
    site.sign(other, name)
    assert "this folder has 1" in site.refused(approvals=2)
    site.sign(site.ben, BEN)
    assert site.accepted(approvals=2)


def test_one_key_of_two_people_is_one_approval(site: Site) -> None:
    site.signers.write_text(approvals.line("*", site.anna))
    site.sign(site.anna, ANNA)
    site.sign(site.anna, BEN)
    assert "this folder has 1" in site.refused(approvals=2)


# ---- what runs must be what was approved


def test_another_target_is_refused(site: Site) -> None:
    site.sign(site.anna, ANNA)
    site.inventory(INVENTORY.replace("[hosts.win1]", "[hosts.win1]\nport = 5999"))
    assert "the target of win1 does not match the approved one: expected port = 5986, got 5999" in site.refused()
    assert site.accepted("apply", "win2")


def test_another_script_is_refused(site: Site) -> None:
    site.sign(site.anna, ANNA)
    site.inventory(INVENTORY.replace("[hosts.win1]", "[hosts.win1]\nnotebook.port = 8888"))
    assert "the script for win1 does not match the approved one" in site.refused()


@pytest.mark.parametrize("swapped", ["site-catalog.toml", "site-lock.txt"])
def test_a_catalog_or_lock_that_was_swapped_is_refused(site: Site, swapped: str) -> None:
    for name in ("site-catalog.toml", "site-lock.txt"):
        shutil.copy(golden.FOLDER / name, site.folder)
    arm = '[hosts.arm]\naddress = "192.0.2.3"\narchitecture = "arm64"\ncatalog = "site-catalog.toml"\npython.version = "3.13"\nopenssl.version = "3.5"\n'
    site.inventory(INVENTORY + arm)
    rendering.write(rendering.files(list(reader.load(site.folder / "nbserver.toml").hosts.values())), site.approved)
    site.sign(site.anna, ANNA)
    assert site.accepted("apply", "arm")
    path = site.folder / swapped
    text = path.read_text("utf-8")
    path.write_text(re.sub(r"[0-9a-f]{64}", "f" * 64, text))
    assert "the script for arm does not match the approved one" in site.refused("apply", "arm")


def test_a_manifest_of_an_earlier_version_cannot_be_approved(site: Site) -> None:
    path = site.approved / "manifest.json"
    content = json.loads(path.read_bytes())
    for entry in content["hosts"].values():
        del entry["target"], entry["signed_sha256"]
    path.write_text(json.dumps(content | {"v": 2}))
    site.sign(site.anna, ANNA)
    assert "a manifest that names the target of each host, but a manifest of version 2 does not" in site.refused()


def test_a_manifest_alone_is_accepted_as_before(site: Site) -> None:
    assert site.accepted(approved=site.approved / "manifest.json", signers=None)
    assert "nobody has approved" in site.refused(approved=site.approved / "manifest.json")
    site.sign(site.anna, ANNA)
    assert site.accepted(approved=site.approved / "manifest.json")


# ---- files that are not what they should be


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


PLACES = {
    "manifest": lambda site, path: site.approved / "manifest.json",
    "document": lambda site, path: path,
    "signature": lambda site, path: path.with_name(path.name + ".sig"),
    "signers": lambda site, path: site.signers,
}


@pytest.mark.skipif(os.name == "nt", reason="this needs POSIX")
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (huge, "larger than"),
        (fifo, "must be a regular file"),
        (link, "found a link"),
        (folder, "must be a regular file"),
        (Path.unlink, "could not read"),
    ],
)
def test_only_plain_files_are_read(site: Site, place: str, change: Callable[[Path], None], said: str) -> None:
    change(PLACES[place](site, site.sign(site.anna, ANNA)))
    found = site.refused()
    if change is Path.unlink:
        said = {"document": "does not belong in this folder", "signature": "is not valid for this run: the approval's signature file "}.get(
            place, said
        )
    assert said in found


def test_a_device_is_refused(site: Site) -> None:
    site.sign(site.anna, ANNA)
    assert "must be a regular file" in site.refused(signers=Path(os.devnull))
    assert "must be a regular file" in site.refused(approved=Path(os.devnull))


def test_a_strange_file_among_the_approvals_is_refused(site: Site) -> None:
    site.sign(site.anna, ANNA).with_name("notes.txt").write_text("x")
    assert "notes.txt does not belong in this folder" in site.refused()


def test_a_link_instead_of_the_folder_of_approvals_is_refused(site: Site) -> None:
    site.sign(site.anna, ANNA)
    (site.approved / "approvals").rename(site.folder / "elsewhere")
    (site.approved / "approvals").symlink_to(site.folder / "elsewhere")
    assert "expected a folder, found a link" in site.refused()


@pytest.mark.skipif(os.name == "nt", reason="this needs POSIX")
def test_signers_that_others_may_write_are_refused(site: Site) -> None:
    site.sign(site.anna, ANNA)
    site.signers.chmod(0o666)
    assert (
        "allowed_signers: every user can write to this file or its folder. Make your account or an administrator the owner of both, and remove write access for everyone else"
        in site.refused()
    )
    place = site.folder / "open"
    place.mkdir()
    shutil.copy(site.signers, place)
    (place / "allowed_signers").chmod(0o644)
    assert site.accepted(signers=place / "allowed_signers")
    place.chmod(0o777)
    assert "every user can write" in site.refused(signers=place / "allowed_signers")


def test_options_that_have_no_effect_are_refused(site: Site) -> None:
    with pytest.raises(UsageError, match="require --approved"):
        site.run(approved=None)
    with pytest.raises(UsageError, match="require --approved"):
        site.run(approved=None, signers=None, approvals=1)


# ---- from the command line, and what the run records


def test_every_command_that_sends_a_script_takes_an_approval(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(site.folder)
    options = ["--approved", "approved", "--allowed-signers", "allowed_signers", "--approvals", "2", "--site", "site.toml"]
    (site.folder / "site.toml").write_text("")
    site.sign(site.anna, ANNA, modes=("apply", "plan", "undo"))
    for command in (["plan", "win1"], ["apply", "win1"], ["undo", "win1"], ["up"], ["set-password", "local"], ["events", "1", "win1"]):
        monkeypatch.setattr("sys.argv", ["nbserver", *command, *options])
        with pytest.raises(SystemExit) as ended:
            program.main()
        said = capsys.readouterr().err.splitlines()
        assert ended.value.code == 5 and said[-1].startswith("nbserver: approved")


def test_up_signs_its_evidence_like_every_run(site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HOME", str(site.folder))
    monkeypatch.setattr(
        "sys.argv", ["nbserver", "up", "-i", str(site.folder / "nbserver.toml"), "--evidence-key", str(site.folder / "absent")]
    )
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 5 and "absent: could not read the file" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", [*sys.argv[:-1], str(site.anna)])
    with pytest.raises(Contacted):
        program.main()


def test_events_are_fetched_with_an_approval_of_any_mode(site: Site) -> None:
    loaded = reader.load(site.folder / "nbserver.toml")
    (host,) = loaded.select(["win1"])
    options = Options(approved=site.approved, signers=site.signers)

    def fetch() -> None:
        events.events(loaded, "1", host, None, None, PlainLines(lambda line: None), options)

    with pytest.raises(ApprovalError, match="nobody has approved"):
        fetch()
    site.sign(site.anna, ANNA, modes=("undo",))
    with pytest.raises(Contacted):
        fetch()


def test_the_modes_are_those_of_the_commands() -> None:
    assert approved.name_of("check") == "plan", "a check reads less than a plan, and sends the same script"
    assert {"plan", "apply", "undo"} <= set(approved.MODES) and not {"", "test", "request", "events"} & set(approved.MODES)


def test_the_run_records_who_approved(site: Site) -> None:
    path = site.sign(site.anna, ANNA)
    loaded = reader.load(site.folder / "nbserver.toml")
    hosts = loaded.select(["win1"])
    scripts = {script.host: script for script, _ in render_all(hosts)}
    found = approved.require("apply", hosts, scripts, Options(approved=site.approved, signers=site.signers))
    recorded = Evidence(approved=found).as_json(str)["approved"]
    (one,) = recorded["approvals"]
    assert (one["file"], one["by"]) == (str(path), ANNA) and one["key"].startswith("SHA256:")
    assert recorded["manifest"] == str(site.approved / "manifest.json")
