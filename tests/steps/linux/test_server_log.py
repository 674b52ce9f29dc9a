"""Mode logs: what a server has logged, from its file or the journal, without secrets; and what it logs from then on."""

from __future__ import annotations

import base64
import os
import signal
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nbserver.commands import logs
from nbserver.inventory import reader
from nbserver.run import server_log
from nbserver.run.options import Options
from tests.linux.fixtures import run, sandbox
from tests.linux.sandbox import Sandbox
from tests.steps.linux.small_steps import STEPS, host
from tests.steps.linux.test_notebook_files import SET_UP, Both, Said, both

__all__ = ["both", "host", "sandbox"]


def stamp(minutes: int) -> str:
    """The time so many minutes ago, as the server writes it."""
    return (datetime.now(UTC) - timedelta(minutes=minutes)).astimezone().strftime("%Y-%m-%d %H:%M:%S.123")


class Log:
    """The log of the server of `both`, and what the command printed about it."""

    def __init__(self, both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
        self.both, self.view = both, Said()
        self.path = both.place / "home" / ".local" / "state" / "nbserver" / "server.log"
        self.path.parent.mkdir(parents=True)
        self.said: list[str] = []
        self.warned: list[str] = []
        self.when_said: Callable[[str], None] = lambda line: None
        monkeypatch.setattr(logs, "say", self._say)
        monkeypatch.setattr(logs, "warn", lambda text: self.warned.append(str(text)))

    def _say(self, line: str) -> bool:
        self.said.append(line)
        self.when_said(line)
        return True

    def add(self, text: str) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)

    def read(self, **wanted: Any) -> tuple[int, list[str]]:
        self.said.clear()
        loaded = reader.load_for(self.both.place / "nbserver.toml", ["local"])
        options = Options(runs=self.both.place / "runs", known=self.both.place / "nbserver.known")
        given = {"lines": 100, "since": None, "follow": False, "as_json": False, **wanted}
        code = logs.logs(logs.Wanted(**given), loaded, loaded.select(["local"]), options, None, self.view)  # type: ignore[arg-type]
        assert code == 0, self.view.results
        return code, list(self.said)


@pytest.fixture
def log(both: Both, monkeypatch: pytest.MonkeyPatch) -> Log:
    return Log(both, monkeypatch)


def test_the_last_lines_of_a_file_are_cleaned_and_have_no_secrets(log: Log) -> None:
    assert log.read()[1] == [] and "no log lines match the options" in log.warned[0]
    log.add("first\n[I] GET /?token=0123456789abcdef&x=1 été\x1b[31m\u202e\n" + "x" * 9000 + "\nargon2:$argon2id$v=19$m=1 not complete")
    (first, second, third) = log.read()[1]
    assert (first, second) == ("first", "[I] GET /?token=***&x=1 été�")
    assert third == "x" * 4000 + " ..."
    assert log.read(lines=1)[1] == [third]
    log.add("\n")
    assert log.read(lines=1, as_json=True)[1] == ['{"event": "server_log", "host": "local", "line": "argon2:*** not complete"}']
    written = b"".join(path.read_bytes() for path in (log.both.place / "runs").rglob("*") if path.is_file())
    assert b"0123456789abcdef" not in written and base64.b64encode(b"first")[:6] not in written


def test_lines_since_a_time_include_those_of_the_same_message(log: Log) -> None:
    log.add("without a time\n" + "".join(f"[I {stamp(minutes)} ServerApp] {minutes} ago\n    more\n" for minutes in (180, 90, 1)))
    shown = [line.rpartition("] ")[2].strip() for line in log.read(lines=9, since=logs.time_of("2h"))[1]]
    assert shown == ["90 ago", "more", "1 ago", "more"]
    assert log.read(lines=9, since=logs.time_of("1s"))[1] == []


def test_a_follow_shows_each_line_once_until_ctrl_c(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_log, "MOST_SECONDS", 1)  # so that several runs of the script follow each other
    log.add("0\n")

    def next_line(line: str) -> None:
        if line == "9":
            os.kill(os.getpid(), signal.SIGINT)
        else:
            log.add(f"{int(line) + 1}\n" if line != "5" else "6\n7\n")
            log.when_said = next_line if line != "5" else lambda _: setattr(log, "when_said", next_line)

    log.when_said = next_line
    assert log.read(follow=True)[1] == [str(number) for number in range(10)]
    (run,) = (log.both.place / "runs").iterdir()
    started = (run / "local" / "events.jsonl").read_text("ascii").count('"event":"started"')
    assert started > 1 and not subprocess.run(["pgrep", "-f", str(log.path)], capture_output=True, check=False).stdout


JOURNAL = """
read_unit() { UNIT=(); }
is_set_up() { return 0; }
journalctl() {
    printf '%s ' "$@" >>/tmp/asked
    printf '\\n' >>/tmp/asked
    cat /tmp/journal
}
"""


def test_the_journal_of_a_unit_is_read_after_its_cursor(host: Sandbox) -> None:
    line = "2026-11-29T14:00:00+0000 python[7]: [I] Authorization: token 0123456789abcdef"
    host.write("/tmp/journal", f"{line}\n-- cursor: s=a1;i=2;x=3\n".encode())
    asked = "log 7 2026-11-29T13:00:00Z 0 -\n"
    done = run(host, "logs", [*STEPS, SET_UP, JOURNAL], secrets=asked)
    sent = {event["path"]: base64.b64decode(event["data"]).decode() for event in done.of("content")}
    assert sent == {"log": line.replace("0123456789abcdef", "***") + "\n", "cursor": "s=a1;i=2;x=3"}, done.lines
    host.write("/tmp/journal", b"")
    done = run(host, "logs", [*STEPS, SET_UP, JOURNAL], secrets="log 7 - 1 s=a1;i=2;x=3\n")
    assert [event["path"] for event in done.of("content")] == ["cursor"] and done.outcome == "ok"
    first, second, *_ = host.read("/tmp/asked").decode().splitlines()
    assert "--unit=nbserver.service" in first and "--lines=7 --since=@1795957200" in first
    assert "--after-cursor=s=a1;i=2;x=3" in second and "--lines" not in second
    assert run(host, "logs", [*STEPS, SET_UP, JOURNAL, "is_set_up() { return 1; }"]).of("failed")[0]["code"] == "server-not-installed"
    silent = run(host, "logs", [*STEPS, SET_UP, JOURNAL, "journalctl() { return 1; }"], secrets="log 7 - 0 s=a1;i=2;x=3\n")
    assert silent.outcome == "ok" and [event["path"] for event in silent.of("content")] == ["cursor"], "nothing is new"
    broken = run(host, "logs", [*STEPS, SET_UP, JOURNAL, "journalctl() { return 1; }; read_last_error() { REPLY='no journal'; }"])
    assert [event["code"] for event in broken.of("failed")] == ["log-not-read"]


@pytest.mark.parametrize("line", ["log 100000 - 0 -", "log 7 - 61 -", "log 7 - 0 a b", "log 7 - 0 $(x)"])
def test_another_line_of_the_envelope_is_refused(host: Sandbox, line: str) -> None:
    done = run(host, "logs", [*STEPS, SET_UP, JOURNAL], secrets=f"{line}\n")
    assert done.of("failed")[0]["code"] == "envelope-line-unknown"
