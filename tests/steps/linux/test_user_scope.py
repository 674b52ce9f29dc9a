"""User scope, whoever the user is: one without a name, without a home folder, without a systemd of their own that runs."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import UsageError
from nbserver.inventory import reader
from tests.linux import parts

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this machine itself is set up on Linux only")
HASH = "c2hhMTowMTIzNDU2Nzg5YWI6MDEyMw=="  # sha1:0123456789ab:0123 in Base64
NUMBER = itertools.count()  # of runs: a run's name is used once


@pytest.fixture
def nameless() -> Iterator[Path]:
    """The home folder of a user whose number has no name, as in a container that is run with --user."""
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("to be a user without a name needs root's rights and setpriv")
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, 54321, 54322)
        yield Path(name)


def run_nameless(home: Path, mode: str) -> list[dict[str, Any]]:
    """The events of a run of the steps that need no package, in user scope."""
    file = home / "local.sh"
    file.write_text(
        parts.script(
            [parts.step(name, "user") for name in ("certificate", "notebook")],
            scope="user",
            notebook={**parts.SETTINGS["notebook"], "directory": "~/notebooks"},
        )
    )
    file.chmod(0o644)
    envelope = f"mode {mode}\nrun {mode}-{next(NUMBER)}\nsecret notebook.password_hash {HASH}\n"
    command = ["setpriv", "--reuid=54321", "--regid=54322", "--clear-groups", "bash", str(file), "envelope"]
    done = subprocess.run(
        command, input=envelope, env={"HOME": str(home), "PATH": "/usr/bin:/bin"}, cwd="/", capture_output=True, text=True, check=False
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_user_without_a_name_has_their_own_files(nameless: Path) -> None:
    events = run_nameless(nameless, "apply")
    assert (events[-1]["event"], events[-1]["outcome"], events[-1]["changed"]) == ("finished", "ok", 2), events
    files = [*nameless.glob(".config/nbserver/*"), *nameless.glob(".local/state/nbserver/*"), nameless / "notebooks"]
    assert len(files) > 7 and {(path.stat().st_uid, path.stat().st_gid) for path in files} == {(54321, 54322)}
    assert {path.stat().st_mode & 0o777 for path in files if path.is_file()} == {0o600}
    assert run_nameless(nameless, "apply")[-1]["changed"] == 0
    (nameless / ".config/nbserver/key.pem").chmod(0o644)
    (told,) = (event for event in run_nameless(nameless, "test") if event["event"] == "difference")
    assert (told["is"], told["should"]) == ("54321:54322 644", "54321:54322 600")
    assert run_nameless(nameless, "undo")[-1]["outcome"] == "ok"
    assert not (nameless / ".config").exists() and not (nameless / "notebooks").exists()


@pytest.mark.parametrize("name", ["j\u00e9r\u00f4me b\u00e4r", "a;b&c (d) *,#="])
def test_a_home_folder_may_have_any_name_that_units_can_have(nameless: Path, name: str) -> None:
    home = nameless / name
    home.mkdir()
    os.chown(home, 54321, 54322)
    for mode, changed in (("apply", 2), ("apply", 0), ("undo", 0)):
        events = run_nameless(home, mode)
        assert (events[-1]["outcome"], events[-1]["changed"]) == ("ok", changed), events
    assert not (home / ".config").exists() and not (home / "notebooks").exists()


@pytest.mark.parametrize("name", ["it's", "a$b", "a%b", 'a"b', "a\\b", "a:b", "a\tb"])
def test_a_home_folder_that_units_cannot_have_is_refused(nameless: Path, name: str) -> None:
    home = nameless / name
    home.mkdir()
    os.chown(home, 54321, 54322)
    events = run_nameless(home, "apply")
    (failed,) = (event for event in events if event["event"] == "failed")
    assert failed["code"] == "home-invalid" and "an absolute path without quotation marks, control characters, or any of" in failed["text"]
    assert [path.name for path in home.iterdir()] == ["local.sh"]


def test_an_undo_without_the_users_systemd_is_refused_before_it_begins(nameless: Path) -> None:
    """As in su, in cron and after a logout: the unit could not be stopped."""
    assert run_nameless(nameless, "apply")[-1]["outcome"] == "ok"
    record, unit = nameless / ".local/state/nbserver/state/record.jsonl", nameless / ".config/systemd/user/nbserver.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=true\n")
    with record.open("a") as file:
        file.write('{"v":1,"step":"service","kind":"unit","key":"nbserver.service","before":null}\n')
    before = record.read_text()
    events = run_nameless(nameless, "undo")
    (failed,) = (event for event in events if event["event"] == "failed")
    assert (
        failed["step"] == "service"
        and "which is not running. Log in at a console or with SSH, or run loginctl enable-linger" in failed["text"]
    )
    assert events[-1]["outcome"] == "failed" and [event for event in events if event["event"] == "restored"] == []
    assert record.read_text() == before and unit.exists() and (nameless / ".config/nbserver/key.pem").exists()


def test_a_user_without_a_home_folder_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_user(number: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", no_such_user)
    with pytest.raises(UsageError, match=r"no home folder\. Set HOME"):
        reader.own_inventory("linux")


def test_what_belongs_to_another_user_is_refused(nameless: Path) -> None:
    state = nameless / ".local/state/nbserver"
    (state / "state").mkdir(parents=True)
    failed = next(event for event in run_nameless(nameless, "apply") if event["event"] == "failed")
    assert f"{state} cannot be used, because it belongs to root, who could change what undo restores. Check its files" in failed["text"]


def test_a_link_of_ones_own_is_followed_and_what_others_can_exchange_is_refused(nameless: Path) -> None:
    """Nobody is root here: a link below the home folder is its user's, unless somebody else can write there."""
    elsewhere = nameless / "disk" / "configuration"
    elsewhere.mkdir(parents=True)
    (nameless / ".config").symlink_to(elsewhere)
    for path in (elsewhere.parent, elsewhere):
        os.chown(path, 54321, 54322)
    os.chown(nameless / ".config", 54321, 54322, follow_symlinks=False)
    assert run_nameless(nameless, "apply")[-1]["outcome"] == "ok" and (elsewhere / "nbserver/key.pem").exists()
    assert run_nameless(nameless, "undo")[-1]["outcome"] == "ok" and not (elsewhere / "nbserver").exists()
    for folder in (elsewhere.parent, nameless):
        folder.chmod(0o777)
        failed = next(event for event in run_nameless(nameless, "apply") if event["event"] == "failed")
        assert f"every user can write to {folder}" in failed["text"] and f"chmod o-w {folder}" in failed["text"]
        folder.chmod(0o755)
    assert not (elsewhere / "nbserver").exists()
