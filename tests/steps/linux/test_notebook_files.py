"""Notebooks to a host and back: the real command, the real bootstrap and script, and a user scope on this machine."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import ScriptError, UsageError
from nbserver.commands import backups, notebooks
from nbserver.inventory import reader
from nbserver.notebooks import batches
from nbserver.notebooks.part import Part
from nbserver.render import render
from nbserver.render.bash import settings_block
from nbserver.render.script import Script
from nbserver.run import operation
from nbserver.run.options import Options
from nbserver.transports.local.linux import LocalTransport
from nbserver.transports.payload import Payload
from tests.linux.fixtures import run, sandbox
from tests.linux.parts import FILES, SETTINGS, prelude, require_bash
from tests.linux.sandbox import Sandbox
from tests.steps.linux.small_steps import SECRETS, STEPS, host

__all__ = ["host", "sandbox"]
FRENCH, JAPANESE = "Leçon/été à Genève.ipynb", "日本語/音の分析.ipynb"
SET_UP = """
is_set_up() { return 0; }
read_server_python() { REPLY=/usr/bin/python3; }
NOTEBOOK_FILE=$CONFIGURATION_FOLDER/jupyter_config.json CERTIFICATE_FILE=$CONFIGURATION_FOLDER/certificate.pem
KEY_FILE=$CONFIGURATION_FOLDER/key.pem
"""


class Said:
    """A view that keeps what is shown."""

    def begin(self, *given: Any) -> None: ...
    def host_began(self, *given: Any) -> None: ...
    def event(self, *given: Any) -> None: ...
    def host_ended(self, *given: Any) -> None: ...
    def interrupted(self) -> None: ...
    def end(self) -> None: ...

    def __init__(self) -> None:
        self.results: dict[str, Any] = {}

    def summary(self, mode: str, results: Any, folder: Path) -> None:
        self.results = results


class Both:
    """A folder of the workstation, and the notebooks of the host `local`."""

    def __init__(self, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.place, self.ours, self.theirs, self._capsys = place, place / "ours", place / "home" / "notebooks", capsys
        for folder in (self.ours, self.theirs):
            folder.mkdir(parents=True)

    def _run(self, act: Callable[[Path, notebooks.Task], int], mode: Any, folder: Path, dry_run: bool) -> tuple[int, dict[str, Any]]:
        loaded = reader.load_for(self.place / "nbserver.toml", ["local"])
        options = Options(runs=self.place / "runs", known=self.place / "nbserver.known")
        view = Said()
        task = notebooks.Task(mode, loaded, loaded.select(["local"]), options, None, view, dry_run, as_json=True)  # type: ignore[arg-type]
        self._capsys.readouterr()
        code = act(folder, task)
        said = [json.loads(line) for line in self._capsys.readouterr().out.splitlines()]
        assert code in (0, 4) or view.results["local"].error or said, view.results
        return code, {**said[-1], "error": view.results["local"].error} if said else {"error": view.results["local"].error}

    def push(self, dry_run: bool = False) -> tuple[int, dict[str, Any]]:
        return self._run(notebooks.push, "push", self.ours, dry_run)

    def back_up(self, file: Path, with_key: bool = False) -> tuple[int, dict[str, Any]]:
        return self._run(partial(backups.backup, with_key=with_key), "pull", file, False)

    def restore(self, file: Path) -> tuple[int, dict[str, Any]]:
        return self._run(backups.restore, "push", file, False)

    def pull(self, folder: Path, dry_run: bool = False) -> tuple[int, dict[str, Any]]:
        return self._run(notebooks.pull, "pull", folder, dry_run)


def send_and_close(process: Any, data: bytes) -> None:
    process.stdin.write(data)
    process.stdin.close()


def write(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


def tree(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file, also of hidden ones, except for what nbserver keeps on the workstation."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".nbserver" not in path.parts
    }


@pytest.fixture
def both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Both:
    require_bash()
    both = Both(tmp_path, capsys)
    (tmp_path / "nbserver.toml").write_text('[hosts.local]\nsystem = "linux"\ntransport = "local"\n')
    settings = {**SETTINGS, "scope": "user", "host": "local", "notebook": {**SETTINGS["notebook"], "directory": "~/notebooks"}}
    text = "\n".join([settings_block(settings), prelude("user"), SET_UP, (FILES / "main.sh").read_text("ascii")])
    sha256 = hashlib.sha256(text.encode("ascii")).hexdigest()
    script = Script(host="local", parts=(text,), settings={}, steps=(), sha256=sha256, body_sha256=sha256, extension="sh")
    monkeypatch.setattr(render, "render_all", lambda hosts: [(script, None)])
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(batches, "LARGEST", 300_000)
    return both


PRIVATE_KEY = b"-----BEGIN of a key that no script contains-----"
FILES_OF_A_LESSON = {FRENCH: b"{}", JAPANESE: b"x" * 700_001, "empty.txt": b"", "a b/c'd\"$(e).csv": os.urandom(299_999)}


def test_there_and_back_all_hashes_are_equal(both: Both) -> None:
    write(both.ours, FILES_OF_A_LESSON)
    write(both.ours, {".hidden/x": b"secret"})
    code, said = both.push()
    assert (code, said["error"], sorted(said["copied"])) == (0, "", sorted(FILES_OF_A_LESSON))
    assert tree(both.theirs) == {path: hashlib.sha256(data).hexdigest() for path, data in FILES_OF_A_LESSON.items()}
    write(both.theirs, {"work of a person.ipynb": b"work"})
    code, said = both.pull(both.place / "back")
    assert (code, said["error"]) == (0, "") and tree(both.place / "back" / "local") == tree(both.theirs)
    assert both.push()[1] | {"error": ""} == {
        "event": "notebooks",
        "host": "local",
        "mode": "push",
        "dry_run": False,
        "copied": [],
        "unchanged": 4,
        "not_copied": {},
        "error": "",
    }


def test_what_was_changed_on_both_sides_is_kept(both: Both) -> None:
    write(both.ours, {"a.ipynb": b"1", "b.ipynb": b"1", "c.ipynb": b"1"})
    assert both.push()[0] == 0
    write(both.ours, {"a.ipynb": b"2", "b.ipynb": b"2"})
    write(both.theirs, {"b.ipynb": b"of a person", "c.ipynb": b"of a person"})
    code, said = both.push(dry_run=True)
    assert (code, said["copied"], said["not_copied"]) == (4, ["a.ipynb"], {"b.ipynb": "conflict", "c.ipynb": "conflict"})
    assert (both.theirs / "a.ipynb").read_bytes() == b"1"
    code, said = both.push()
    assert (code, said["copied"], said["not_copied"]) == (4, ["a.ipynb"], {"b.ipynb": "conflict", "c.ipynb": "conflict"})
    assert [(both.theirs / f"{name}.ipynb").read_bytes() for name in "abc"] == [b"2", b"of a person", b"of a person"]
    assert both.pull(both.place / "back")[0] == 0
    work = both.place / "back" / "local"
    write(work, {"a.ipynb": b"changed after the pull"})
    write(both.theirs, {"a.ipynb": b"changed on the host", "b.ipynb": b"of a person, later"})
    code, said = both.pull(both.place / "back")
    assert (code, said["copied"], said["not_copied"]) == (4, ["b.ipynb"], {"a.ipynb": "conflict"})
    assert (work / "a.ipynb").read_bytes() == b"changed after the pull"


def test_no_link_is_followed_on_either_side(both: Both) -> None:
    outside = both.place / "outside"
    write(outside, {"kept.txt": b"kept"})
    write(both.ours, {"folder/kept.txt": b"new", "kept.txt": b"new", "fine.txt": b"new"})
    for side in (both.ours, both.theirs):
        (side / "link").symlink_to(outside)
        (side / "link.txt").symlink_to(outside / "kept.txt")
    (both.theirs / "folder").symlink_to(outside)
    (both.theirs / "kept.txt").symlink_to(outside / "kept.txt")
    code, said = both.push()
    assert (code, said["copied"]) == (4, ["fine.txt"])
    assert said["not_copied"] == {"folder/kept.txt": "conflict", "kept.txt": "conflict", "link": "link", "link.txt": "link"}
    work = both.place / "back" / "local"
    work.mkdir(parents=True)
    (both.theirs / "folder").unlink()
    write(both.theirs, {"folder/kept.txt": b"theirs"})
    (work / "folder").symlink_to(outside)
    code, said = both.pull(both.place / "back")
    assert (code, said["copied"], said["not_copied"]["folder/kept.txt"]) == (4, ["fine.txt"], "conflict")
    assert tree(outside) == {"kept.txt": hashlib.sha256(b"kept").hexdigest()}


def test_a_push_that_was_cut_off_leaves_no_half_file_and_continues(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    write(both.ours, {"a.bin": os.urandom(250_000), "b.bin": os.urandom(700_000)})
    runs: list[bool] = []

    def cut_in_third_push(self: LocalTransport, process: Any, head: bytes, data: Payload) -> None:
        runs.append(bool(data.size))
        whole = b"".join(data.blocks())
        send_and_close(process, head + (whole[:-1000] if sum(runs) == 3 else whole))

    monkeypatch.setattr(LocalTransport, "_send_all", cut_in_third_push)
    code, said = both.push()
    assert code == 3 and "the input ended before the end of the data" in said["error"]
    assert {path: sha256 for path, sha256 in tree(both.theirs).items() if "nbserver-push" not in path} == {
        "a.bin": tree(both.ours)["a.bin"]
    }
    code, said = both.push()
    assert (code, said["copied"], said["unchanged"]) == (0, ["b.bin"], 1) and tree(both.theirs) == tree(both.ours)


def test_a_push_that_is_too_large_or_has_bad_names_contacts_nobody(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operation, "operate", None)
    monkeypatch.setattr("nbserver.notebooks.tree.MOST_FILES", 2)
    write(both.ours, {"1": b"", "2": b"", "3": b""})
    with pytest.raises(UsageError, match="at most 2 files and 1,000 MB"):
        both.push()
    monkeypatch.setattr("nbserver.notebooks.tree.MOST_FILES", 9)
    write(both.ours, {"new\nline": b""})
    with pytest.raises(UsageError, match="the path contains a control character"):
        both.push()


def test_a_backup_is_restored_on_a_fresh_host_and_replaces_nothing(both: Both) -> None:
    write(both.theirs, FILES_OF_A_LESSON)
    write(both.place / "home" / ".config" / "nbserver", {"jupyter_config.json": b"{}", "key.pem": PRIVATE_KEY})
    file = both.place / "host.zip"
    code, said = both.back_up(file)
    assert (code, said) == (0, {"event": "backup", "host": "local", "file": str(file), "files": 5, "error": ""})
    assert file.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(file) as found:
        assert {*found.namelist()} == {
            "manifest.json",
            "configuration/jupyter_config.json",
            *(f"notebooks/{path}" for path in FILES_OF_A_LESSON),
        }
        assert PRIVATE_KEY not in b"".join(found.read(name) for name in found.namelist())
    assert not [
        line
        for events in both.place.rglob("events.jsonl")
        for line in events.read_text().splitlines()
        if "ZQ" in line and '"data":""' not in line
    ]
    assert both.back_up(file, with_key=True)[0] == 0 and file.stat().st_mode & 0o777 == 0o600
    with zipfile.ZipFile(file) as found:
        assert found.read("configuration/key.pem") == PRIVATE_KEY
    kept = b"".join(path.read_bytes() for path in (both.place / "runs").rglob("*") if path.is_file())
    assert PRIVATE_KEY not in kept and base64.b64encode(PRIVATE_KEY) not in kept
    (both.place / "home" / ".config" / "nbserver" / "key.pem").unlink()
    with pytest.raises(ScriptError, match="no private key file"):
        both.back_up(file, with_key=True)
    before = tree(both.theirs)
    shutil.rmtree(both.theirs)
    write(both.theirs, {FRENCH: b"newer work"})
    code, said = both.restore(file)
    assert (code, said["not_copied"]) == (4, {FRENCH: "conflict"}) and (both.theirs / FRENCH).read_bytes() == b"newer work"
    assert {path: sha256 for path, sha256 in tree(both.theirs).items() if path != FRENCH} == {
        path: sha256 for path, sha256 in before.items() if path != FRENCH
    }
    assert not list(both.place.glob(".nbserver-*"))


FOLDER_OF_MACHINE = SETTINGS["notebook"]["directory"]
TELL_STATUS = """
OPEN_WITH_PYTHON='
import os
links = {name: os.readlink("/proc/self/fd/" + name) for name in os.listdir("/proc/self/fd") if os.path.lexists("/proc/self/fd/" + name)}
held = [name for name, link in links.items() if name == "7" or link not in (links["7"], f"/proc/{os.getpid()}/fd")]
'$OPEN_WITH_PYTHON'
with open(os.open("status.txt", os.O_WRONLY | os.O_CREAT, dir_fd=ROOT), "w") as told, open("/proc/self/status") as status:
    told.write(status.read() + "Descriptors:\t" + " ".join(sorted(held)))
'
"""
BECOMES_A_LINK = f"""
assert_notebooks() {{ mv {FOLDER_OF_MACHINE} /srv/people/kept; ln -s /etc/cron.d {FOLDER_OF_MACHINE}; }}
"""


@pytest.fixture
def served(host: Sandbox) -> Sandbox:
    """The whole machine: its folder for notebooks belongs to a user of its own, as which the server runs."""
    assert run(host, "apply", STEPS, secrets=SECRETS).outcome == "ok"
    return host


def push_to_machine(host: Sandbox, files: dict[str, bytes], further: str = "") -> Any:
    host.write("/tmp/data", b"".join(files.values()))
    parts = [Part(path, len(data), hashlib.sha256(data).hexdigest(), 0, len(data)).line() for path, data in files.items()]
    return run(host, "push", [*STEPS, SET_UP, further], secrets="".join(f"{line}\n" for line in parts))


def test_for_the_whole_machine_the_files_belong_to_the_user_of_the_server(served: Sandbox) -> None:
    in_the_way = "mkdir -p locked folder/.nbserver-push-1/x; truncate -s 1T folder/large.txt; chown -R nbserver: folder"
    served.run("bash", "-c", f"cd {FOLDER_OF_MACHINE}; {in_the_way}")
    files = {"locked/b.ipynb": b"{}", "folder/large.txt": b"2", "folder/a.ipynb": b"{}"}
    done = push_to_machine(served, files, TELL_STATUS)
    assert [event["state"] for event in done.of("file")] == ["unreadable", "conflict", "stored"], done.lines
    assert served.read(f"{FOLDER_OF_MACHINE}/folder/a.ipynb") == b"{}"
    assert served.access(f"{FOLDER_OF_MACHINE}/folder/a.ipynb") == "nbserver:nbserver 644"
    assert served.access(f"{FOLDER_OF_MACHINE}/folder") == "nbserver:nbserver 755"
    told = dict(line.split(":\t", 1) for line in served.read(f"{FOLDER_OF_MACHINE}/status.txt").decode().splitlines())
    number, group = (served.run("id", word, "nbserver").stdout.decode().strip() for word in ("-u", "-g"))
    assert number != "0" and told["Uid"].split() == [number] * 4 and told["Gid"].split() == [group] * 4
    assert (told["Groups"].strip(), told["NoNewPrivs"]) == ("", "1")
    assert told["Descriptors"] == "0 1 2 7"
    (held,) = {told[f"Cap{kind}"] for kind in ("Prm", "Eff", "Amb")}
    assert int(held, 16) in (0, 1 << 11), "CAP_NET_BROADCAST, which means nothing"


def test_for_the_whole_machine_a_link_leads_to_nothing_that_only_root_may_change(served: Sandbox) -> None:
    served.run("mkdir", "-p", "/etc/cron.d")
    before = served.run("ls", "/etc/cron.d").stdout
    done = push_to_machine(served, {"nbserver-test": b"* * * * * root true\n"}, BECOMES_A_LINK)
    assert done.of("failed")[0]["code"] == "path-is-link" and done.of("file") == [], done.lines
    assert served.run("ls", "/etc/cron.d").stdout == before
    served.run("chmod", "700", "/etc/cron.d")
    listed = run(served, "list", [*STEPS, SET_UP, "assert_notebooks() { return 0; }"])
    assert listed.outcome == "failed" and listed.of("file") == [], listed.lines


def test_a_program_that_somebody_stops_is_ended(served: Sandbox) -> None:
    served.run("mkdir", "/run/shorter")
    served.write("/run/shorter/timeout", '#!/bin/bash\nif [[ $2 == 900 ]]; then set -- "$1" 1 "${@:3}"; fi\nexec /usr/bin/timeout "$@"\n')
    served.run("chmod", "755", "/run/shorter/timeout")
    stopped = "\nOPEN_WITH_PYTHON+='os.kill(os.getpid(), 19)\n'\nPATH=/run/shorter:$PATH\n"
    done = run(served, "list", [*STEPS, SET_UP, stopped])
    assert [event["code"] for event in done.of("failed")] == ["notebooks-slow"], done.lines
    run(served, "list", [*STEPS, SET_UP])
    by_hand = served.run("bash", "-c", "cd /tmp && bash lin1.sh list && ls").stdout.decode().splitlines()
    assert json.loads(by_hand[-2])["outcome"] == "ok" and by_hand[-1] == "lin1.sh"


def test_paths_that_are_too_long_are_left_out_and_the_others_are_copied(both: Both) -> None:
    write(both.theirs, {"/".join(["d"] * 31 + ["fine.txt"]): b"1", "/".join(["d"] * 32 + ["deep.txt"]): b"1"})
    nested = f"cd '{both.theirs}'; for i in {{1..18}}; do mkdir {'n' * 250}; cd {'n' * 250}; done; echo 1 >x"
    subprocess.run(["bash", "-c", nested], check=True)
    code, said = both.pull(both.place / "back")
    assert (code, said["error"], said["copied"]) == (0, "", ["/".join(["d"] * 31 + ["fine.txt"])])
    assert {*said["not_copied"].values()} == {"name"} and len(said["not_copied"]) == 2, said
