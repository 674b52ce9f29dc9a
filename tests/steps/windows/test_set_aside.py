"""An environment that is installed again on Windows: the one that was in use is in use again if the new one cannot be completed.

The real prelude and main run with the small steps of test_switch.py.
"""

from __future__ import annotations

import json

import pytest

from tests.powershell.engine import host_path
from tests.steps.windows.place import Place, place, session
from tests.steps.windows.test_switch import CUTS, USER, USER_PARTS, Host, Ran, host
from tests.tier import points

__all__ = ["host", "place", "session"]


def damage(host: Host) -> None:
    (host.programs / f"env-1.2-{'a' * 8}" / "damaged").write_text("")


def is_damaged(host: Host) -> bool:
    return (host.programs / f"env-1.2-{'a' * 8}" / "damaged").exists()


def restored(done: Ran) -> list[str]:
    return [event["what"] for event in done.events if event["event"] == "restored"]


def recorded(host: Host) -> list[str]:
    keys = [json.loads(line)["key"] for line in (host.state / "record.jsonl").read_text().splitlines()]
    return [key for key in keys if key.endswith(".replaced")]


def is_as_before(host: Host) -> bool:
    """The damaged environment is in use, and nothing else is left."""
    return is_damaged(host) and (host.serves(), host.environments(), recorded(host)) == ("aa", "a", [])


def test_a_repair_that_fails_leaves_the_environment_and_its_server(host: Host) -> None:
    damage(host)
    starts, environment = host.starts(), host_path(host.programs / f"env-1.2-{'a' * 8}")
    done = host.run("apply", "a", "import")
    assert done.outcome == "failed" and done.codes("failed") == ["packages-not-importable", "environment-returned"], done.events
    last = [event for event in done.events if event["event"] == "failed"][-1]
    assert last["values"]["environment"] == environment and last["cause"]["code"] == "packages-not-importable"
    assert restored(done) == [environment] and is_as_before(host) and host.starts() == starts + 1
    repaired = host.run("apply", "a")
    assert repaired.outcome == "ok" and restored(repaired) == [], repaired.events
    assert not is_damaged(host) and (host.serves(), host.environments(), recorded(host)) == ("aa", "a", [])
    assert host.run("test", "a").codes("difference") == []


def test_a_repair_of_a_user_that_fails_starts_the_process_again(place: Place) -> None:
    text = "function Get-ServerText { \"$(Get-EnvironmentProgram 'python.exe') -I x`nfiles`n\" }"
    own = "\n".join([*USER_PARTS, USER, text])
    host = Host(place, own)
    damage(host)
    done = host.run("apply", "a", "import", own)
    assert done.codes("failed") == ["packages-not-importable", "environment-returned"], done.events
    assert is_damaged(host) and host.environments() == "a" and (host.state / "running").exists()


def test_what_cannot_be_returned_is_said_and_the_next_apply_returns_it(host: Host) -> None:
    damage(host)
    held = "function Restore-Aside { throw (New-Failure file-held 'held') }"
    done = host.run("apply", "a", "import", held)
    assert done.codes("failed") == ["packages-not-importable", "environment-not-returned"], done.events
    assert host.run("test", "a").codes("difference") == ["packages", "task"], "the next apply needs what was set aside"
    refused = host.run("apply", "a", "", "($Steps | Where-Object { $_.Name -eq 'packages' }).Test = { throw (New-Failure x 'x') }")
    assert refused.codes("failed") == ["x"] and is_as_before(host), refused.events


def test_new_settings_that_fail_after_a_repair_are_restored(host: Host) -> None:
    """The server was stopped for the repair, but it had answered."""
    damage(host)
    before = host.configuration()
    done = host.run("apply", "a", "login", port=8888)
    assert done.codes("failed") == ["login-broken", "settings-restored"], done.events
    assert host.configuration() == before and host.serves() == "aa"


@pytest.mark.parametrize("cut", points(range(1, 16), 3, 9))
def test_a_repair_that_was_cut_off(host: Host, cut: int) -> None:
    """As by a power failure, at each change. Then another repair fails, and an upgrade, and another repair succeeds."""
    damage(host)
    host.run("apply", "a", "", CUTS.replace("$Plain =", f"$Cut = {cut}; $Plain =", 1))
    done = host.run("apply", "a", "import")
    assert done.outcome == "ok" or is_as_before(host), done.events
    host.run("apply", "a", "", CUTS.replace("$Plain =", f"$Cut = {cut}; $Plain =", 1))
    done = host.run("apply", "b", "login")
    assert done.codes("failed") == ["login-broken", "upgrade-switched-back"] and host.serves() == "aa", done.events
    assert host.run("apply", "a").outcome == "ok" and (host.serves(), host.environments()) == ("aa", "a")
    assert host.run("undo", "a").outcome == "ok" and host.environments() == "" and not list(host.programs.glob("env-*"))
