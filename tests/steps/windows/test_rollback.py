"""Rollback on Windows: back to the environment that the last upgrade kept, forward again, and refused if that is not certain."""

from __future__ import annotations

import pytest

from tests.powershell.engine import host_path
from tests.steps.windows.place import Place, place, session
from tests.steps.windows.test_switch import CUTS, USER, USER_PARTS, Host, Ran, host
from tests.tier import points

__all__ = ["host", "place", "session"]
ROLLBACK = r"""
$RollbackMark = "$SwitchFolder\rollback"; $Run.RollbackBegun = $false
function Assert-HasCertificate { $Run.Fingerprint = 'FF' }
"""


def roll_back(host: Host, lock: str = "b", fault: str = "", more: str = "") -> Ran:
    return host.run("rollback", lock, fault, ROLLBACK + more)


def environment(host: Host, lock: str) -> str:
    return host_path(host.programs / f"env-1.2-{lock * 8}")


def test_it_goes_back_and_a_second_one_forward(host: Host) -> None:
    assert roll_back(host, "a").codes("failed") == ["no-previous-environment"] and host.serves() == "aa"
    assert host.run("apply", "b").outcome == "ok"
    before = host.configuration()
    done = roll_back(host)
    assert done.outcome == "ok" and (host.serves(), host.environments()) == ("aa", "ab"), done.events
    assert done.codes("difference") == ["server-rolls-back", "server-proven"] and not host.is_open()
    (back, _) = [event for event in done.events if event["event"] == "difference"]
    assert (back["is"], back["should"]) == (environment(host, "b"), environment(host, "a"))
    assert (done.events[-1]["changed"], done.events[-1]["fingerprint"]) == (2, "FF")
    assert "task" in host.run("test", "b").codes("difference") and host.run("test", "a").codes("difference") == []
    assert roll_back(host).outcome == "ok" and (host.serves(), host.configuration()) == ("bb", before)
    assert host.run("test", "b").codes("difference") == []


def test_after_it_an_apply_upgrades_again(host: Host) -> None:
    assert host.run("apply", "b", port=9998).outcome == "ok" and roll_back(host).outcome == "ok"
    assert '"port":  9998,' in host.configuration() and '"lock":  "a"' in host.configuration(), "the firewall is set for the port"
    assert host.run("apply", "b").outcome == "ok" and (host.serves(), host.environments()) == ("bb", "ab") and not host.is_open()
    assert host.run("undo", "b").outcome == "ok" and host.environments() == ""


def test_one_that_fails_returns_to_the_current_environment(host: Host) -> None:
    assert host.run("apply", "b").outcome == "ok"
    done = roll_back(host, fault="login")
    assert done.codes("failed") == ["login-broken", "rollback-switched-back"] and host.serves() == "bb", done.events
    assert done.events[-2]["values"]["environment"] == environment(host, "b") and not host.is_open()
    assert host.run("test", "b").codes("difference") == []
    done = roll_back(host, more="function Assert-PreviousServer { throw (New-Failure previous-not-responding 'x') }\n")
    assert done.codes("failed") == ["previous-server-not-started", "rollback-not-switched-back"] and host.is_open(), done.events
    assert roll_back(host).outcome == "ok" and host.serves() == "aa", "the next one completes it"


def test_it_is_refused_if_the_previous_environment_is_not_certain(host: Host) -> None:
    cut = CUTS.replace("$Plain =", "$Cut = 1000; $Plain =") + "function Confirm-Switch { throw 'cut off' }"
    host.run("apply", "b", "", cut)
    assert roll_back(host).codes("failed") == ["rollback-in-upgrade"] and host.is_open() and host.serves() == "bb"
    assert host.run("apply", "b").outcome == "ok"
    python = host.programs / f"env-1.2-{'a' * 8}" / "Scripts" / "python.exe"
    python.rename(python.with_suffix(".moved"))
    assert roll_back(host).codes("failed") == ["previous-environment-gone"]
    python.with_suffix(".moved").rename(python)
    # The service may have lost its access to an earlier folder.
    files = [host.state / folder / "jupyter_server_config.json" for folder in ("service", "previous")]
    for file, folder in zip(files, ("b", "a"), strict=True):
        file.write_text(file.read_text().replace("{", f'{{"root_dir":  "C:\\\\nb {folder}", ', 1))
    (failed,) = [event for event in roll_back(host).events if event["event"] == "failed"]
    assert (failed["code"], failed["values"]) == ("rollback-other-folder", {"former": "C:\\nb a", "folder": "C:\\nb b"})
    files[1].write_text(files[1].read_text().replace("nb a", "nb b"))
    changed = "function Compare-InstalledFile { Add-Difference files-changed 'installed files' 'changed' 'as installed' }\n"
    (host.state / "installed").mkdir()
    (host.state / "installed" / f"env-1.2-{'a' * 8}.txt").write_text("x\n")
    assert roll_back(host, more=changed).codes("failed") == ["previous-environment-changed"] and host.serves() == "bb"
    assert not host.is_open() and host.run("test", "b").codes("difference") == []


def test_the_process_of_a_user_goes_back(place: Place) -> None:
    own = "\n".join([*USER_PARTS, USER])
    host = Host(place, own)
    assert host.run("apply", "b", "", own).outcome == "ok"
    done = roll_back(host, more=own + "\nfunction Get-ServiceStatus { @{ state = 'running' } }\n")
    assert done.outcome == "ok" and f"-{'a' * 8}" in (host.state / "process").read_text(), done.events


@pytest.mark.parametrize("cut", points(range(1, 20), 4, 8))
def test_one_that_was_cut_off_is_completed(host: Host, cut: int) -> None:
    assert host.run("apply", "b").outcome == "ok"
    roll_back(host, more=CUTS.replace("$Plain =", f"$Cut = {cut}; $Plain =", 1))
    done = roll_back(host)
    assert done.outcome == "ok" and host.environments() == "ab" and not host.is_open(), done.events
    assert host.run("apply", "b").outcome == "ok" and host.serves() == "bb" and host.run("test", "b").codes("difference") == []


def test_the_status_has_what_it_would_use(host: Host) -> None:
    more = ROLLBACK
    assert host.run("apply", "b").outcome == "ok"
    (host.programs / f"env-1.2-{'a' * 8}" / "nbserver.lock").write_text("c" * 64 + "\n")
    done = host.run(
        "status", "b", "", more + "$Modes.status = { Write-Event log @{ text = (Get-PreviousStatus | ConvertTo-Json -Compress) } }\n"
    )
    (text,) = [event["text"] for event in done.events if event["event"] == "log"]
    assert f'"lock":"{"c" * 64}"' in text and '"installed":"20' in text and "env-1.2-aaaaaaaa" in text
