"""A host in another time zone: what the script says is in UTC, and what it runs has the time of the host."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta

from tests.linux.fixtures import Run, sandbox
from tests.linux.parts import script
from tests.linux.sandbox import Sandbox

__all__ = ["sandbox"]
SAYS_TIME = """
step time 'somebody asks for the time'
time_test() { [[ -e /run/asked ]] || differs asked time '' asked; }
time_apply() { run_program date +%z; : >/run/asked; start_of_process $$; note since 'since {time}' time "$REPLY"; }
"""
FIVE_HOURS_BEHIND = (
    b"TZif" + bytes(16) + struct.pack(">6l", 0, 0, 0, 0, 1, 4) + struct.pack(">lBB", -5 * 3600, 0, 0) + b"EST\0"
)  # tzfile(5)


def test_times_are_in_utc_wherever_the_host_is(sandbox: Sandbox) -> None:
    sandbox.run("rm", "-f", "/etc/localtime")
    sandbox.write("/etc/localtime", FIVE_HOURS_BEHIND)
    sandbox.write("/tmp/lin1.sh", script([SAYS_TIME]))
    begin = datetime.now(UTC) - timedelta(seconds=1)
    done = Run(sandbox.run("env", "-u", "TZ", "bash", "/tmp/lin1.sh", "envelope", input=b"mode apply\nrun r1\n", check=False))
    end = datetime.now(UTC)
    assert done.outcome == "ok", done.lines
    times = [datetime.fromisoformat(event["time"][:19] + "+00:00") for event in done.events]
    assert all(begin - timedelta(seconds=1) <= time <= end for time in times), (begin, times, end)
    by_program, since = (event["text"] for event in done.of("log"))
    assert by_program == "-0500"
    assert abs(datetime.fromisoformat(since.removeprefix("since ").replace("Z", "+00:00")) - end) < timedelta(minutes=1)
