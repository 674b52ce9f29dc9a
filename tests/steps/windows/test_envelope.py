"""The envelope: written by the workstation, read by the real Read-Envelope."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nbserver.base.modes import Mode
from nbserver.run.envelope import Envelope
from tests.boxes.wine import pwsh_command
from tests.checkout import CHECKOUT
from tests.powershell.engine import EngineError, Session, environment, host_path, prelude, require_engine

SECRET = "correct horse \u65e5\u672c"

run_ids = st.from_regex(r"[0-9A-Za-z-]{1,64}", fullmatch=True)
secrets = st.dictionaries(st.from_regex(r"[a-z][a-z0-9_.]{0,20}", fullmatch=True), st.text(max_size=200), max_size=3)


def test_its_lines() -> None:
    envelope = Envelope("apply", "20260102T030405Z-ab12", operator="Zo\u00eb", secrets={"b": SECRET, "a": "1"})
    name = base64.b64encode("Zo\u00eb".encode()).decode()
    secret = base64.b64encode(SECRET.encode()).decode()
    assert envelope.lines() == ["mode apply", "run 20260102T030405Z-ab12", f"operator {name}", "secret a MQ==", f"secret b {secret}"]


def test_its_time_is_utc_wherever_the_workstation_is() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678, timezone(timedelta(hours=5, minutes=30)))
    assert Envelope("apply", "x", time=moment).lines() == ["mode apply", "run x", "time 2026-01-01T21:34:05Z"]


def test_the_documented_command_ends_although_its_input_stays_open(tmp_path: Path) -> None:
    """As an agent leaves it: without -InputFormat None, PowerShell waits for the end of the input."""
    require_engine()
    (command,) = re.findall(
        r"powershell (.+) -File win1\.ps1 -Mode test$", (CHECKOUT / "docs" / "by-hand.md").read_text("utf-8"), re.MULTILINE
    )
    (tmp_path / "win1.ps1").write_text('"lines: " + @($input).Count')
    arguments = [pwsh_command(), *command.split(), "-File", host_path(tmp_path / "win1.ps1")]
    with subprocess.Popen(
        arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment()
    ) as process:
        assert process.stdout is not None and process.stdout.readline().strip() == b"lines: 0"


def test_only_events_say_after_which() -> None:
    assert Envelope("events", "x", after=7).lines() == ["mode events", "run x", "after 7"]
    assert Envelope("apply", "x", after=7).lines() == ["mode apply", "run x"]


def test_it_never_shows_its_secrets() -> None:
    envelope = Envelope("apply", "x", secrets={"notebook.password_hash": SECRET})
    for shown in (repr(envelope), str(envelope), f"{envelope}"):
        assert "correct horse" not in shown and base64.b64encode(SECRET.encode()).decode() not in shown


@pytest.mark.parametrize("run", ["", "x" * 65, "a b", "a\nb", "a/b", "..", "a_b", "\u212a", "a\n"])
def test_a_runs_name_cannot_be_more_than_a_name(run: str) -> None:
    with pytest.raises(ValueError, match="a run ID must be"):
        Envelope("test", run)


@pytest.mark.parametrize("name", ["", "a b", "A", "1a", "a\nmode apply", "a\n", "a-b"])
def test_a_secrets_name_cannot_be_more_than_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="a secret's name") as raised:
        Envelope("test", "x", secrets={name: SECRET})
    assert "correct" not in str(raised.value)


@given(st.sampled_from(get_args(Mode)), run_ids, st.text(max_size=50), st.integers(0, 10**6), secrets)
def test_its_lines_are_ascii_words(mode: Mode, run: str, operator: str, after: int, values: dict[str, str]) -> None:
    for line in Envelope(mode, run, operator, after, values).lines():
        assert line.isascii() and line.isprintable() and 1 <= line.count(" ") <= 2


# ---- the real Read-Envelope


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as opened:
        opened.keep(prelude("run", "events", "envelope", "part_data", "reboots"))
        opened.keep(f"foreach ($name in {', '.join(map(repr, get_args(Mode)))}) {{ $Modes[$name] = {{ }} }}")
        yield opened


@pytest.mark.parametrize(("boot", "outcome"), [("", "waiting"), ("2026-11-22T17:10:40Z", "waiting"), ("2026-11-22T17:12:00Z", "ok")])
def test_a_run_that_continues_waits_until_windows_reports_another_start(session: Session, boot: str, outcome: str) -> None:
    """Windows may not report it yet when it has just started."""
    said = session.run(
        f"function Get-BootTime {{ '{boot}' }}; $Run.Mode = 'apply'; $Run.Outcome = 'ok'; $Run.BootBefore = '2026-11-22T17:10:35Z'\n"
        "Read-BootTime; $Run.Outcome"
    )
    assert said == [outcome]


READ = r"""
$EnvelopeLines = @($input)
$Mode = 'test'
$Run.Mode = ''; $Run.Id = ''; $Run.Operator = ''; $Run.After = 0; $Run.BootBefore = ''; $Run.Restarts = 0
$Secrets.Clear()
Read-Envelope
$Run.Mode; $Run.Id; $Run.Operator; [string]$Run.After; $Run.BootBefore; [string]$Run.Restarts
foreach ($name in $Secrets.Keys) { $name; $Secrets[$name] }
"""
many = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def read(session: Session, lines: list[str]) -> dict[str, Any]:
    mode, run, operator, after, boot_before, restarts, *rest = session.run(READ, lines)
    known = {"mode": mode, "run": run, "operator": operator, "after": int(after), "boot_before": boot_before, "restarts": int(restarts)}
    return {**known, "secrets": dict(zip(rest[::2], rest[1::2], strict=True))}


@many
@given(
    st.sampled_from(get_args(Mode)),
    run_ids,
    st.text(max_size=50),
    st.integers(0, 10**6),
    secrets,
    st.sampled_from(["", "2026-11-22T05:06:07Z"]),
    st.integers(0, 9),
)
def test_the_host_reads_what_was_written(
    session: Session, mode: Mode, run: str, operator: str, after: int, values: dict[str, str], boot: str, restarts: int
) -> None:
    envelope = Envelope(mode, run, operator, after, values, boot, restarts=restarts)
    said = {
        "mode": mode,
        "run": run,
        "operator": operator,
        "after": after if mode == "events" else 0,
        "boot_before": boot,
        "restarts": restarts,
    }
    expected = {**said, "secrets": values}
    assert read(session, envelope.lines()) == expected


@pytest.mark.parametrize(
    "line",
    [
        "",
        " ",
        "mode",
        "mode ",
        "mode destroy",
        "mode Apply",
        "Mode apply",
        "mode apply now",
        "MODE test",
        "forget",
        "mode  apply",
        "run",
        "run ",
        "run a b",
        "run ../x",
        "run " + "x" * 65,
        "run a_b",
        "operator",
        "operator a b",
        "operator !",
        "after",
        "after x",
        "time",
        "time now",
        "time 2026-11-22",
        "time 2026-11-22T17:10:33",
        "time 2026-11-22 17:10:33Z",
        "time 2026-13-22T17:10:33Z",
        "Time 2026-11-22T17:10:33Z",
        "after 1 2",
        "after 99999999999",
        "secret",
        "secret a",
        "secret a b c",
        "secret a !",
        "Secret a YQ==",
        "mode=apply",
        "{}",
        "after 1;2",
        "boot-before",
        "boot-before now",
        "boot-before 2026-11-22",
        "boot-before 2026-11-22T19:41:41",
        "boot-before 2026-11-22T19:41:41Z x",
        "restarts",
        "restarts 10",
        "restarts -1",
        "restarts x",
        "restarts 1 2",
    ],
)
def test_the_host_refuses_a_line_that_it_does_not_know(session: Session, line: str) -> None:
    with pytest.raises(EngineError):
        read(session, ["mode test", "run x", line])
    assert read(session, ["mode test", "run x"])["mode"] == "test"


@pytest.mark.parametrize("line", ["secret notebook.password_hash {} more", "Secret notebook.password_hash {}", "secrets x {}"])
def test_a_refusal_never_tells_a_secret(session: Session, line: str) -> None:
    secret = base64.b64encode(SECRET.encode()).decode()
    with pytest.raises(EngineError) as raised:
        read(session, [line.format(secret)])
    assert secret not in str(raised.value) and SECRET not in str(raised.value)


@pytest.mark.parametrize("hours", [0, -400 * 24, -1, 1, 400 * 24])
def test_the_host_tells_how_far_its_clock_is_ahead(session: Session, hours: int) -> None:
    moment = datetime.now(UTC) - timedelta(hours=hours)
    lines = Envelope("test", "x", time=moment).lines()
    (ahead,) = session.run(READ + "'seconds=' + [string][Math]::Round($Run.ClockAhead.TotalSeconds)", lines)[6:]
    assert abs(int(ahead.removeprefix("seconds=")) - hours * 3600) < 60


def test_without_a_time_no_clocks_are_compared(session: Session) -> None:
    assert (
        session.run("$Run.ClockAhead = [TimeSpan]::Zero\n" + READ + "'ticks=' + [string]$Run.ClockAhead.Ticks", ["mode test", "run x"])[-1]
        == "ticks=0"
    )


def test_by_hand_there_is_no_envelope(session: Session) -> None:
    found = read(session, [])
    assert found["mode"] == "test" and found["run"].endswith("Z-by-hand")
    Envelope("test", found["run"])  # a name like any other


def test_no_event_of_a_run_tells_its_secrets(session: Session) -> None:
    """The started event has what the envelope says, without them."""
    script = READ + "Write-Event started @{ run = $Run.Id; mode = $Run.Mode; operator = $Run.Operator }; Get-Said"
    out = session.run(script, Envelope("apply", "x", "me", secrets={"a": SECRET}).lines())
    assert json.loads(out[-1])["operator"] == "me" and "correct horse" not in out[-1]
