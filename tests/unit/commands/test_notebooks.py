"""nbserver notebooks: what one host reports never ends the copies of the others."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import UsageError
from nbserver.commands import notebooks
from nbserver.inventory import reader
from nbserver.run import operation
from nbserver.run.batches import Policy
from nbserver.run.options import Options
from nbserver.run.result import Result
from nbserver.run.transfer import HostFile

SHA256 = "1" * 64
SETTINGS = 'system = "linux"\naddress = "192.0.2.7"\nuser = "admin"\nnotebook.password = { env = "N" }\n'
HOSTS = "".join(f"[hosts.{name}]\n{SETTINGS}" for name in ("bad", "good"))
FINE = HostFile("fine.ipynb", 1, SHA256, "present")


class Site:
    """Two hosts: what the first one reports is given, and the second one has one file. `asked` are the hosts of each run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.listed, self.results = folder, list[HostFile](), dict[str, Result]()
        self.asked: list[tuple[str, list[str]]] = []
        self.mode = ""  # of the summary
        self.interrupted = ""  # the mode in which Ctrl-C is pressed
        self.policy = Policy()
        self.canaries: list[list[str]] = []  # of each run

    def operate(
        self, mode: str, inventory: Any, hosts: Sequence[Any], options: Options, ask: Any, view: Any, *, stop: threading.Event
    ) -> dict[str, Result]:
        stages, _ = operation._policy([host.name for host in hosts], inventory, options)
        self.canaries.append(stages[0])
        if mode == self.interrupted:
            stop.set()
        self.asked.append((mode, [host.name for host in hosts]))
        stored = {
            name: [HostFile(part.path, part.size, part.sha256, "stored") for part in it.parts] for name, it in options.transfers.items()
        }
        files = {"bad": self.listed, "good": [FINE]} if mode == "list" else stored
        results = {host.name: Result(host.name, outcome="ok", files=files[host.name]) for host in hosts}
        view.summary(mode, results, self.folder)
        return results

    def pull(self, *, as_json: bool = True, quiet: bool = False, dry_run: bool = False) -> int:
        (self.folder / "nbserver.toml").write_text(HOSTS)
        loaded = reader.load(self.folder / "nbserver.toml")
        options = Options(policy=self.policy)
        task = notebooks.Task("pull", loaded, loaded.select(["bad", "good"]), options, None, self, dry_run, as_json, quiet)  # type: ignore[arg-type]
        return notebooks.pull(self.folder / "work", task)

    def summary(self, mode: str, results: dict[str, Result], folder: Path) -> None:
        self.results, self.mode = results, mode


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    site = Site(tmp_path)
    monkeypatch.setattr(operation, "operate", site.operate)
    return site


def copied(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {line["host"]: (line["copied"], line["not_copied"]) for line in said}


def test_a_file_without_a_hash_is_left_out(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.listed = [
        HostFile("sparse.bin", 5_000_000_000, "", "large"),
        HostFile("small.bin", 1, "", "large"),
        HostFile("lie.bin", 1, "", "present"),
        HostFile("done.bin", 1, SHA256, "stored"),
        FINE,
    ]
    assert site.pull() == 0
    states = {"sparse.bin": "large", "small.bin": "large", "lie.bin": "unreadable"}
    assert copied(capsys) == {"bad": ([FINE.path], states), "good": ([FINE.path], {})}


def test_a_canary_with_nothing_to_copy_does_not_end_the_copies_of_the_others(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    """The later runs of a command are for the hosts with something left."""
    site.policy = Policy(canary=("bad",))
    assert site.pull() == 0
    assert [hosts for _, hosts in site.asked] == [["bad", "good"], ["good"]] and site.canaries == [["bad"], []]
    assert copied(capsys) == {"bad": ([], {}), "good": ([FINE.path], {})}


@pytest.mark.parametrize("mode", ["list", "pull"])
def test_ctrl_c_in_one_run_ends_the_others(site: Site, mode: str) -> None:
    """A host that was done with that run has not finished."""
    site.listed = [HostFile(f"{number}.bin", 6_000_000, SHA256, "present") for number in range(3)]
    site.interrupted = mode
    assert site.pull() == 3
    assert [mode for mode, _ in site.asked] == ["list", "pull"][: 1 + (mode == "pull")]
    ended = {name: result.outcome for name, result in site.results.items()}
    assert ended == {"bad": "stopped", "good": "stopped" if mode == "list" else "ok"}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("size", "bad: the folder exceeds what nbserver can copy: at most 10,000 files"),
        ("folder", "bad: could not use the folder .*work/bad"),
        ("known", ".*work/bad/.nbserver/bad.json: could not write"),
    ],
)
def test_an_error_of_one_host_is_its_failure(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fault: str, said: str
) -> None:
    site.listed = [HostFile("large.bin", 2_000_000_000, SHA256, "present") if fault == "size" else FINE]
    if fault == "folder":
        mkdir = Path.mkdir

        def refuse(self: Path, *given: Any, **more: Any) -> None:
            if self.name == "bad":
                raise PermissionError(13, "Permission denied", str(self))
            mkdir(self, *given, **more)

        monkeypatch.setattr(Path, "mkdir", refuse)
    if fault == "known":
        (site.folder / "work" / "bad").mkdir(parents=True)
        (site.folder / "work" / "bad" / ".nbserver").symlink_to(site.folder / "gone", target_is_directory=True)
    assert site.pull() == 3
    assert site.results["bad"].outcome == "failed" and re.match(said, site.results["bad"].error)
    assert site.results["good"].outcome == "ok" and copied(capsys)["good"] == ([FINE.path], {}) and "good" in site.asked[-1][1]


def test_a_host_does_not_fill_the_screen_and_conflicts_come_first(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.listed = [*(HostFile(f"{number:05}", 0, "", "link") for number in range(5000)), HostFile("z.ipynb", 1, "2" * 64, "present")]
    (site.folder / "work" / "bad").mkdir(parents=True)
    (site.folder / "work" / "bad" / "z.ipynb").write_text("work")
    assert site.pull(as_json=False) == 4
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 23 and "z.ipynb" in lines[1] and lines[21] == "    and 4981 more; --json shows all"
    assert site.pull(as_json=False, quiet=True) == 4 and capsys.readouterr().out.splitlines() == lines[:22]
    site.listed.pop()
    assert site.pull(as_json=False, quiet=True) == 0 and capsys.readouterr().out == ""


def test_a_dry_run_says_that_it_copied_nothing(site: Site) -> None:
    assert site.pull(dry_run=True) == 4 and site.mode == "list"
    assert [mode for mode, _ in site.asked] == ["list"] and not (site.folder / "work").exists()
    assert site.pull() == 0 and site.mode == "pull"


def test_names_that_windows_cannot_have_are_refused_before_a_host_is_contacted(site: Site) -> None:
    lesson = site.folder / "lesson"
    lesson.mkdir()
    for name in ("aux.txt", "a:b.ipynb", "fine.ipynb"):
        (lesson / name).touch()
    windows = '[hosts.win1]\nsystem = "windows"\naddress = "win1.example.com"\nnotebook.password = { env = "N" }\n'
    (site.folder / "nbserver.toml").write_text(HOSTS + windows)
    loaded = reader.load(site.folder / "nbserver.toml")

    def push(*hosts: str) -> int:
        task = notebooks.Task("push", loaded, loaded.select(hosts), Options(), None, site)  # type: ignore[arg-type]
        return notebooks.push(lesson, task)

    with pytest.raises(UsageError, match=r"these names \(2 in total\):\n.*") as refused:
        push("good", "win1")
    assert "aux.txt" in str(refused.value) and "a:b.ipynb" in str(refused.value) and site.asked == []
    for name in ("aux.txt", "a:b.ipynb"):
        (lesson / name).unlink()
    (lesson / "FINE.ipynb").touch()
    with pytest.raises(UsageError, match=r"FINE\.ipynb"):
        push("win1")
    assert site.asked == [] and push("good") in (0, 4) and site.asked[0] == ("list", ["good"]), "Linux has all of them"


def test_a_place_where_no_folder_can_be_is_refused_before_a_host_is_contacted(site: Site) -> None:
    (site.folder / "work").write_text("a file")
    with pytest.raises(UsageError, match=r"work/bad: could not read the folder \("):
        site.pull()
    assert not site.asked
