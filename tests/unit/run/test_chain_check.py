"""Every change of a run directory is found that does not also rewrite what was written outside of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.approval import document, sshsig
from nbserver.approval.approved_folder import Signed
from nbserver.base import file_lock
from nbserver.base.errors import ApprovalError
from nbserver.events.reader import Event, parse
from nbserver.inventory import reader
from nbserver.render.render import render_all
from nbserver.run import chain, chain_check
from nbserver.run.approved import Approved
from nbserver.run.chain import Chain, Head, Written
from nbserver.run.envelope import Envelope
from nbserver.run.evidence import Evidence, now
from nbserver.run.journal import HostJournal, Journal

INVENTORY = """
[hosts.lin1]
system = "linux"
address = "192.0.2.7"
user = "anna"
host_key = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
notebook.password = { env = "PASSWORD" }
[hosts.lin2]
system = "linux"
address = "192.0.2.8"
user = "anna"
host_key = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
notebook.password = { env = "PASSWORD" }
"""
STARTED = {"host": "lin1", "mode": "apply", "operator": "anna", "release": "0.5.0", "run": "run-1", "script_sha256": "0a" * 32}
FINISHED = {"outcome": "ok", "differs": True, "changed": 1, "reboot": False, "fingerprint": ""}
SECRET = "argon2:$argon2id$v=19$secret"


def event(n: int, name: str, fields: dict[str, Any]) -> Event:
    return parse(json.dumps({"v": 1, "n": n, "time": "2026-11-22T10:00:00.0000000Z", "step": "", "event": name, **fields}))


KEY = sshsig.PublicKey(sshsig.ED25519, b"blob", b"point")
APPROVAL: dict[str, Any] = {
    "by": "anna",
    "hosts": {},
    "modes": ("apply",),
    "manifest_sha256": "0a" * 32,
    "release": "0.5.0",
    "issued": datetime.now(UTC),
    "expires": datetime.now(UTC),
    "sha256": "0b" * 32,
}


class Site:
    """The directory of a finished run: lin1 ran, and nothing was sent to lin2. `anchors` are in the log of the workstation."""

    def __init__(self, folder: Path) -> None:
        (folder / "nbserver.toml").write_text(INVENTORY)
        scripts = [script for script, _ in render_all(list(reader.load(folder / "nbserver.toml").hosts.values()))]
        signed = Signed(folder / "one.json", document.Approval(**APPROVAL), KEY, b"{}\n", b"signature\n")
        approved = Approved(folder / "manifest.json", "0a" * 32, (signed,), b"{}\n")
        evidence = Evidence(["lin1", "lin2"], command=("apply", "lin1"), approved=approved)
        self.script = scripts[0]
        self.run = Journal(folder / "runs", "run-1", "apply", "anna@desk", evidence=evidence)
        self.anchors = [self.run.head]
        one, two = (self.run.host(script) for script in scripts)
        self.sent = one.sent(Envelope("apply", "run-1", "anna", secrets={"notebook.password_hash": SECRET}).without_secrets())
        one.event(event(1, "started", STARTED))
        one.event(event(2, "finished", FINISHED))
        two.note("lin2 did not answer")
        one.close()
        two.close()
        self.run.finish({"lin1": {"outcome": "ok", "seconds": 0.2}, "lin2": {"outcome": "failed"}})
        self.anchors.append(self.run.head)
        self.folder = self.run.folder

    def check(self, folder: Path | None = None, *hashes: str) -> chain_check.Checked:
        return chain_check.check(folder or self.folder, self.anchors, hashes)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


@pytest.fixture
def copy(site: Site, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    return Path(shutil.copytree(site.folder, tmp_path / "run-1"))


def code(site: Site, folder: Path, *hashes: str) -> str:
    with pytest.raises(ApprovalError) as caught:
        site.check(folder, *hashes)
    assert caught.value.exit_code == 5
    faults = caught.value.values.get("differences")
    return ", ".join(fault.code for fault in faults.messages) if faults else caught.value.code  # type: ignore[union-attr]


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_run_as_it_was_written(site: Site) -> None:
    assert site.check(None, site.sent.sha256).head == site.anchors[-1]
    assert not any(SECRET.encode() in path.read_bytes() for path in files(site.folder))
    assert "secret notebook.password_hash\n" in (site.folder / "lin1" / "envelope.txt").read_text()
    assert not (site.folder / "lin2" / "envelope.txt").exists()


@pytest.mark.skipif(os.name == "nt", reason="mode bits are those of POSIX")
def test_only_its_owner_has_access(site: Site) -> None:
    assert {path.stat().st_mode & 0o777 for path in files(site.folder)} == {0o600}
    assert {path.stat().st_mode & 0o777 for path in [site.folder, *site.folder.iterdir()] if path.is_dir()} == {0o700}


def test_sha256sum_computes_the_same(site: Site) -> None:
    """The head that the host gets covers the script and the envelope."""
    lines = (site.folder / "chain.jsonl").read_text().splitlines(keepends=True)

    def sha256sum(text: str) -> str:
        return subprocess.run(["sha256sum"], input=text, capture_output=True, text=True, check=True).stdout[:64]

    assert [json.loads(line)["previous"] for line in lines[1:]] == [sha256sum(line) for line in lines[:-1]]
    covered = [json.loads(line)["file"] for line in lines[: site.sent.n]]
    assert covered[-3:] == ["lin1/script.sh", "lin1/script.sha256", "lin1/envelope.txt"]
    assert sha256sum(lines[site.sent.n - 1]) == site.sent.sha256


@given(st.data())
def test_any_single_mutation_of_any_file_is_found(site: Site, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = Path(shutil.copytree(site.folder, tmp_path_factory.mktemp("copy") / "run-1"))
    path = data.draw(st.sampled_from(files(folder)))
    content = path.read_bytes()
    place = data.draw(st.integers(0, max(len(content) - 1, 0)))
    lines = content.splitlines(keepends=True)
    row = data.draw(st.integers(0, max(len(lines) - 1, 0)))
    mutations: dict[str, Callable[[], bytes]] = {
        "change a byte": lambda: content[:place] + bytes([content[place] ^ data.draw(st.integers(1, 255))]) + content[place + 1 :],
        "insert": lambda: content[:place] + data.draw(st.binary(min_size=1, max_size=4)) + content[place:],
        "truncate": lambda: content[:place],
        "remove a line": lambda: b"".join(lines[:row] + lines[row + 1 :]),
        "repeat a line": lambda: content + lines[row],
        "move a line to the end": lambda: b"".join([*lines[:row], *lines[row + 1 :], lines[row]]),
    }
    changed = mutations[data.draw(st.sampled_from(sorted(mutations)) if content else st.just("insert"))]()
    if changed != content:
        path.write_bytes(changed)
        with pytest.raises(ApprovalError):
            site.check(folder)
    shutil.rmtree(folder.parent)


@pytest.mark.parametrize(
    "name", ["run.json", "chain.jsonl", "summary.json", "lin1/script.sh", "lin1/envelope.txt", "approval/one.json.sig"]
)
def test_a_removed_file_is_found(site: Site, copy: Path, name: str) -> None:
    (copy / name).unlink()
    assert code(site, copy) == ("run-without-chain" if name == "chain.jsonl" else "run-file-missing")


def test_a_removed_host_and_an_added_file_are_found(site: Site, copy: Path) -> None:
    (copy / "lin1" / "more.txt").write_text("")
    (copy / "lin1" / "more.txt").chmod(0o600)
    assert code(site, copy) == "run-file-not-in-chain"
    shutil.rmtree(copy / "lin1")
    assert code(site, copy) == ", ".join(["run-file-missing"] * 5)


def test_a_lock_that_could_not_be_removed_is_no_change(site: Site, copy: Path) -> None:
    """On Windows, a virus scanner can have it open just then."""
    lock = file_lock.beside(copy / chain_check.FILE)
    with file_lock.locked(copy / chain.FILE, 0):
        assert lock.exists()
        assert site.check(copy).head == site.anchors[-1]
    lock.touch(0o600)
    assert site.check(copy).head == site.anchors[-1]
    lock.write_bytes(b"x")
    assert code(site, copy) == "run-file-not-in-chain"


def rewrite(folder: Path, until: int | None = None) -> None:
    """Write a chain that fits the files, as somebody can who knows how nbserver does it."""
    found = [chain.parse(line) for line in (folder / "chain.jsonl").read_bytes().splitlines(keepends=True)]
    (folder / "chain.jsonl").unlink()
    previous, lines = chain.BEGINNING, []
    for link in found[:until]:
        data = (folder / link.file).read_bytes()
        if link.file == "run.json" and link.n == 1:
            data = chain_check.without_end(data)
        line = chain.Link(link.n, link.time, link.file, len(data), chain.sha256(data), previous).line()
        previous = chain.sha256(line)
        lines.append(line)
    (folder / "chain.jsonl").write_bytes(b"".join(lines))
    (folder / "chain.jsonl").chmod(0o600)


def test_a_chain_that_was_rewritten_as_a_whole_is_caught_by_what_is_outside(site: Site, copy: Path) -> None:
    events = copy / "lin1" / "events.jsonl"
    events.write_text(events.read_text().replace('"ok"', '"failed"'))
    rewrite(copy)
    assert chain_check.check(copy, []).links  # nothing in the directory shows it
    assert code(site, copy) == "chain-not-as-logged"
    sent = copy / "lin1" / "script.sh"
    sent.write_text(sent.read_text() + "# more\n")
    rewrite(copy)
    with pytest.raises(ApprovalError, match=r"no line of chain\.jsonl has the SHA-256"):
        chain_check.check(copy, [], [site.sent.sha256])


def test_a_chain_with_fewer_or_more_lines_is_caught_by_what_is_outside(site: Site, copy: Path) -> None:
    log = copy / "lin1" / "log.txt"
    with log.open("a") as file:
        file.write("more\n")
    Chain(copy).add(now(), Written.of(log, log.read_bytes()))
    assert chain_check.check(copy, []).links  # nothing in the directory shows it
    assert code(site, copy) == "chain-longer-than-logged"
    rewrite(copy, site.anchors[0].n)
    assert code(site, copy).startswith("run-file-not-in-chain")


def test_what_a_killed_run_leaves(tmp_path: Path, site: Site) -> None:
    """Nothing vouches for events that were not added to the chain; the script and the envelope are in it since they were sent."""
    run = Journal(tmp_path, "run-1", "apply", "anna@desk")
    host = run.host(site.script)
    sent = host.sent(["mode apply"])
    host.event(event(1, "started", STARTED))
    with pytest.raises(ApprovalError, match="the run has no recorded end") as caught:
        chain_check.check(run.folder, [run.head])
    assert "lin1/events.jsonl is not listed in chain.jsonl" in str(caught.value)
    assert "script" not in str(caught.value)
    host.close()
    again = HostJournal.reopened(run.folder / "lin1", site.script)  # nbserver events
    again.event(event(2, "finished", FINISHED))
    again.close()
    run.finish({"lin1": {"outcome": "ok"}})
    found = chain_check.check(run.folder, [run.head], [sent.sha256])
    assert [link.file for link in found.links].count("lin1/events.jsonl") == 2


def test_what_was_changed_while_a_run_was_going_on_is_found(tmp_path: Path, site: Site) -> None:
    """The chain has what nbserver wrote, not what is on disk when it is written."""
    run = Journal(tmp_path, "run-1", "apply", "anna@desk")
    host = run.host(site.script)
    with (host.folder / "script.sh").open("a") as file:
        file.write("# more\n")
    host.sent(["mode apply"])
    with (host.folder / "log.txt").open("a") as file:
        file.write("more\n")
    host.event(event(1, "started", STARTED))
    host.close()
    run.finish({"lin1": {"outcome": "ok"}})
    with pytest.raises(ApprovalError) as caught:
        chain_check.check(run.folder, [run.head])
    assert "lin1/script.sh does not match its hash" in str(caught.value) and "lin1/log.txt does not match its hash" in str(caught.value)


@pytest.mark.parametrize("name", ["events.jsonl", "log.txt"])
def test_events_are_not_added_to_files_that_were_changed(tmp_path: Path, site: Site, name: str) -> None:
    """The new line of the chain would vouch for the change."""
    run = Journal(tmp_path, "run-1", "apply", "anna@desk")
    host = run.host(site.script)
    host.sent(["mode apply"])
    host.event(event(1, "started", STARTED))
    host.close()
    with (host.folder / name).open("a") as file:
        file.write("more\n")
    with pytest.raises(ApprovalError, match="it was changed after the run"):
        HostJournal.reopened(host.folder, site.script)


def test_events_of_a_killed_run_stay_out_of_the_chain(tmp_path: Path, site: Site) -> None:
    run = Journal(tmp_path, "run-1", "apply", "anna@desk")
    run.host(site.script).sent(["mode apply"])
    before = run.chain.head()
    again = HostJournal.reopened(run.folder / "lin1", site.script)
    again.event(event(1, "started", STARTED))
    again.close()
    assert run.chain.head() == before


@pytest.mark.skipif(os.name == "nt", reason="needs links, FIFOs, and mode bits")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("writable folder", "run-file-writable"),
        ("writable host", "run-file-writable"),
        ("writable file", "run-file-writable"),
        ("link to a file", "run-file-is-link"),
        ("link to the folder", "folder-is-link"),
        ("fifo", "run-file-not-regular"),
        ("fifo as chain", "run-file-not-regular"),
        ("device", "run-file-not-regular"),
        ("folder in a host", "run-file-not-regular"),
        ("large chain", "file-too-large"),
        ("large file", "run-file-differs"),
        ("no folder", "folder-unreadable"),
    ],
)
def test_what_cannot_be_trusted_is_refused(site: Site, copy: Path, name: str, expected: str) -> None:
    log = copy / "lin1" / "log.txt"
    if name.startswith("writable"):
        {"folder": copy, "host": copy / "lin1", "file": log}[name.split()[1]].chmod(0o777)
    elif name == "link to a file":
        log.rename(copy.parent / "log.txt")
        log.symlink_to(copy.parent / "log.txt")
    elif name == "link to the folder":
        copy = copy.rename(copy.parent / "moved")
        (copy.parent / "run-1").symlink_to(copy)
        copy = copy.parent / "run-1"
    elif name in ("fifo", "fifo as chain"):
        path = log if name == "fifo" else copy / "chain.jsonl"
        path.unlink()
        os.mkfifo(path, 0o600)
    elif name == "device":
        if os.geteuid():
            pytest.skip("a device needs root")
        log.unlink()
        os.mknod(log, 0o020600, os.makedev(1, 5))
    elif name == "folder in a host":
        log.unlink()
        log.mkdir(0o700)
    elif name.startswith("large"):
        os.truncate(copy / "chain.jsonl" if name == "large chain" else log, chain_check.LARGEST + 1)
    else:
        shutil.rmtree(copy)
    assert code(site, copy) == expected


@given(st.binary(max_size=300))
def test_a_line_is_read_only_as_nbserver_writes_it(data: bytes) -> None:
    with pytest.raises(ValueError):
        chain.parse(data)


@given(st.integers(1, 10**9), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100), st.integers(0, 10**12))
def test_a_line_is_read_as_it_was_written(n: int, file: str, size: int) -> None:
    link = chain.Link(n, now(), file, size, "0a" * 32, chain.BEGINNING)
    assert chain.parse(link.line()) == link


def test_each_line_is_read_once_for_all_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is continued asks for two files of each host."""
    parse, read = chain.parse, list[bytes]()
    monkeypatch.setattr(chain, "parse", lambda line: read.append(line) or parse(line))  # type: ignore[func-returns-value]
    asked, other = Chain(tmp_path), Chain(tmp_path)
    paths = [tmp_path / f"{number}.txt" for number in range(20)]
    other.add(now(), *(Written.of(path, b"a") for path in paths))
    assert [link.n for path in paths if (link := asked.last(path))] == [*range(1, 21)]
    other.add(now(), Written.of(paths[0], b"ab"))
    link = asked.last(paths[0])
    assert link and (link.n, link.size) == (21, 2) and asked.last(tmp_path / "other.txt") is None
    assert len(read) < 25


def test_a_lock_that_another_process_keeps_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "LOCK_SECONDS", 0.0)
    with file_lock.locked(tmp_path / chain.FILE, 0), pytest.raises(TimeoutError) as caught:
        Chain(tmp_path).add(now())
    assert caught.value.strerror == "another process has locked it", "it is the reason in a message"


def test_several_processes_may_add(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    one, two = Chain(tmp_path), Chain(tmp_path)
    for number in range(1, 9):
        assert (one if number % 2 else two).add(now(), Written.of(tmp_path / "a.txt", b"a")).n == number
    assert one.head() == two.head() != Head()
