"""The certificates of many hosts in one file: it is written a few times, and not once for each of them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import ApprovalError
from nbserver.run import known_certificates
from nbserver.run.found_certificates import FoundCertificates
from tests.unit.run.test_host_run import ended, event
from tests.unit.run.two_hosts import PRINT, Hosts, hosts

__all__ = ["hosts"]

A = "SHA256:" + "a1" * 32
B = "SHA256:" + "b2" * 32


class File:
    """The file, which is only written once somebody says `go`, and what was written at a time."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.written = folder / "nbserver.known", list[set[str]]()
        self.is_written, self.go = threading.Event(), threading.Event()
        remember = known_certificates.remember

        def slowly(path: Path, found: Mapping[str, str], run: str, **more: Any) -> None:
            self.is_written.set()
            assert self.go.wait(60)
            self.written.append(set(found))
            remember(path, found, run, **more)

        monkeypatch.setattr(known_certificates, "remember", slowly)

    def entries(self) -> dict[str, tuple[str, str]]:
        return {name: (entry.fingerprint, entry.run) for name, entry in known_certificates.read(self.path).items()}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> File:
    return File(tmp_path, monkeypatch)


def add_six(file: File) -> list[BaseException | None]:
    """Add a host, and five more while the first is being written. Return their errors."""
    certificates = FoundCertificates(file.path, "run-1", {})
    with ThreadPoolExecutor(6) as pool:
        futures = [pool.submit(certificates.add, "win0", A)]
        assert file.is_written.wait(60)
        futures += [pool.submit(certificates.add, f"win{number}", B) for number in range(1, 6)]
        while len(certificates._next.found) < 5:
            threading.Event().wait(0.01)
        file.go.set()
        return [future.exception() for future in futures]


def test_hosts_that_end_while_the_file_is_written_share_the_next_time(file: File) -> None:
    assert add_six(file) == [None] * 6
    assert file.written == [{"win0"}, {f"win{number}" for number in range(1, 6)}]
    assert file.entries() == {"win0": (A, "run-1")} | {f"win{number}": (B, "run-1") for number in range(1, 6)}


def test_a_failure_is_that_of_each_host_in_the_file(file: File) -> None:
    file.path.mkdir()
    assert all(isinstance(error, ApprovalError) for error in add_six(file))


def test_what_was_known_gets_the_run_at_its_end_unless_another_run_has_replaced_it(file: File) -> None:
    file.go.set()
    known_certificates.remember(file.path, {"win1": A, "WIN2": A, "win3": A}, "run-1")
    certificates = FoundCertificates(file.path, "run-2", known_certificates.fingerprints(file.path))
    certificates.add("win1", A)
    certificates.add("win2", A)
    assert len(file.written) == 1
    known_certificates.remember(file.path, {"win1": B}, "run-3")
    certificates.end()
    assert file.entries() == {"win1": (B, "run-3"), "win2": (A, "run-2"), "win3": (A, "run-1")}


@pytest.mark.parametrize(
    ("mode", "state", "warned"), [("test", "unchanged", True), ("apply", "unchanged", True), ("apply", "changed", False)]
)
def test_another_certificate_that_the_run_has_not_made_is_a_warning(
    hosts: Hosts, capsys: pytest.CaptureFixture[str], mode: str, state: str, warned: bool
) -> None:
    """As after a host was restored from a snapshot from before a rotation. The host `good` is known for the first time."""
    path = hosts.folder / "nbserver.known"
    known_certificates.remember(path, {"BAD": A}, "run-1")
    hosts.bad = lambda started: [started, event(2, state, "certificate"), ended(3, "ok", fingerprint=PRINT)]
    for expected in (warned, False):
        results = hosts.apply(mode)
        assert results["bad"].outcome == "ok"
        said = capsys.readouterr().err
        assert said.count("did not replace the certificate") == expected and said.count("nbserver rotate again") == expected, said
        assert known_certificates.fingerprints(path) == {"bad": PRINT, "good": PRINT}
