"""plan asks whether the files that a host would download are still there."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from nbserver.commands import moved_downloads
from nbserver.inventory import reader
from nbserver.run.result import Result
from tests.served import served

HEX = "0123456789abcdef" * 4


def plan(folder: Path, url: str, *, second: str = "", settings: str = "", **steps: str) -> list[str]:
    """The warnings for a host whose plan reported these steps. Its Python is at `url`, and at `second`."""
    (folder / "site.toml").write_text(
        f'[[python]]\nversion = "3.13.20"\narchitecture = "x64"\nkind = "zip"\nurl = "{url}"\nsha256 = "{HEX}"\nexecutable = "python.exe"\n'
    )
    if second:
        with (folder / "site.toml").open("a") as file:
            file.write(f'[[python.sources]]\nurl = "{second}"\nsha256 = "{HEX}"\n')
    host = '[hosts.win{}]\nsystem = "windows"\naddress = "win{}"\ncatalog = "site.toml"\nnotebook.password = {{ env = "X" }}\n' + settings
    (folder / "nbserver.toml").write_text(host.format(1, 1) + host.format(2, 2))
    hosts = list(reader.load(folder / "nbserver.toml").hosts.values())
    results = {one.name: Result(one.name, "differs", steps=dict(steps)) for one in hosts}
    return [str(warning) for warning in moved_downloads.moved(hosts, results)]


def test_a_file_that_is_gone_is_a_warning_for_all_its_hosts(tmp_path: Path) -> None:
    (tmp_path / "there.zip").write_bytes(b"x")
    with served(tmp_path) as url:
        (warning,) = plan(tmp_path, f"{url}gone.zip", python="differs")
        assert warning.startswith(
            f"Python 3.13.20 is no longer at {url}gone.zip (HTTP 404), so apply will fail on win1, win2. Create a site"
        )
        assert plan(tmp_path, f"{url}there.zip", python="differs") == []
        assert plan(tmp_path, f"{url}gone.zip", second=f"{url}there.zip", python="differs") == [], "one source is sufficient"
        assert len(plan(tmp_path, f"{url}gone.zip", second=f"{url}gone-too.zip", python="differs")) == 1
        assert plan(tmp_path, f"{url}gone.zip", python="unchanged", notebook="differs") == []
        push = 'downloads.source = "push"\ndownloads.bundle = "bundle"\n'
        assert plan(tmp_path, f"{url}gone.zip", settings=push, python="differs") == [], "the bundle has it"
    assert plan(tmp_path, f"{url}gone.zip", python="differs") == [], "nobody answers"


def test_a_server_that_does_not_answer_costs_no_more_than_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, leave = threading.Event(), threading.Event()

    def silent(url: str, statuses: dict[str, int]) -> None:
        asked.set()
        leave.wait()

    monkeypatch.setattr(moved_downloads, "SECONDS", 0.05)
    monkeypatch.setattr(moved_downloads, "_head", silent)
    try:
        assert plan(tmp_path, "http://192.0.2.1/x.zip", python="differs") == []
        assert asked.is_set()
    finally:
        leave.set()
