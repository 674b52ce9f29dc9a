"""Mode logs on Windows: the last lines of the server's file, those after a cursor, and no secrets, on the real engine."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest

from nbserver.run.envelope import Envelope
from nbserver.run.log_request import LogRequest
from tests.formats import validate
from tests.powershell.engine import host_path
from tests.steps.windows.place import Place, place, session
from tests.steps.windows.test_notebook_files import MAIN

__all__ = ["place", "session"]
HOUR = timedelta(hours=1)
NOW = datetime.now(UTC).replace(microsecond=0)
FIRST = f"[I {NOW - 3 * HOUR:%Y-%m-%d %H:%M:%S}.123 ServerApp] started\r\n"


@pytest.fixture
def log(place: Place) -> Place:
    (place.folder / "notebook.log").write_bytes(FIRST.encode())
    return place


def add(place: Place, text: str) -> None:
    with (place.folder / "notebook.log").open("ab") as file:
        file.write(text.encode())


def read(place: Place, request: LogRequest) -> tuple[str, str]:
    """The lines that the script sends, and the cursor."""
    lines = ", ".join(f"'{line}'" for line in Envelope("logs", "run-1", log=request).lines())
    set_up = f"function Assert-Installed {{ }}; $Mode = 'test'; $Parts.Clear(); $LogSent.SetLength(0); $ServerLog = '{host_path(place.folder)}\\notebook.log'; "
    act = f"$EnvelopeLines = {lines}; Read-Envelope; [void](Get-Said); & $Modes[$Run.Mode]; Get-Said"
    found = [json.loads(line) for line in place.run("\n".join([MAIN, set_up + act]))]
    sent = {"log": "", "cursor": ""}
    for event in found:
        validate("event", event)
        assert event["path"] == "cursor" or event["offset"] == len(sent["log"].encode())
        sent[event["path"]] += base64.b64decode(event["data"]).decode()
    return sent["log"], sent["cursor"]


def test_the_last_lines_and_then_those_after_the_cursor(log: Place) -> None:
    add(log, "GET /?token=0123456789abcdef&x=1 été\nargon2:$argon2id$v=19$m=1 of\nnot complete")
    text, cursor = read(log, LogRequest(2))
    assert text == "GET /?token=***&x=1 été\nargon2:*** of\n"
    assert read(log, LogRequest(2, cursor=cursor, seconds=1)) == ("", cursor)
    add(log, " before\n" + "".join(f"{number}\n" for number in range(40_000)))
    text, cursor = read(log, LogRequest(2, cursor=cursor))
    assert text == "not complete before\n" + "".join(f"{number}\n" for number in range(40_000))
    (log.folder / "notebook.log").write_bytes(FIRST.replace("started", "started again").replace(".123", ".124").encode())
    assert read(log, LogRequest(2, cursor=cursor))[0] == FIRST.replace("started", "started again").replace(".123", ".124").replace("\r", "")
    (log.folder / "notebook.log").write_bytes(b"too short")
    assert read(log, LogRequest(2)) == ("", "")


def test_lines_since_a_time_have_the_local_time(log: Place) -> None:
    (ahead,) = log.session.run("[string][TimeZoneInfo]::Local.GetUtcOffset([DateTime]::UtcNow).TotalMinutes")
    local = NOW + timedelta(minutes=float(ahead))
    add(log, f"[W {local - HOUR:%Y-%m-%d %H:%M:%S}.000 ServerApp] late\n    more\n")
    assert read(log, LogRequest(10, since=NOW - 2 * HOUR))[0].endswith("late\n    more\n")
    assert "started" not in read(log, LogRequest(10, since=NOW - 2 * HOUR))[0]
    assert read(log, LogRequest(10, since=NOW))[0] == ""


def test_no_link_on_the_way_to_the_log_is_followed(log: Place) -> None:
    (log.folder / "work").symlink_to(log.target)  # a link to a file looks like a file under Wine
    assert "link" in log.refused(f"$ServerLog = '{host_path(log.folder)}\\work\\kept.txt'; Read-NewLogLine")
