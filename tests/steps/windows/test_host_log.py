"""What a Windows host keeps about a run by itself: entries in its event log, and the script.

The entries are written by the real .NET of PowerShell 7. Wine keeps none, so what they say is seen by a stand-in.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.powershell.engine import Session, host_path
from tests.steps.windows.place import Place, session

__all__ = ["session"]
EVIDENCE = "0123456789abcdef" * 4
SCRIPT = "# the script\n"
SHA256 = hashlib.sha256(SCRIPT.encode()).hexdigest()
STAND_IN = "function Write-LogEntry([string]$Text) { 'LOG ' + $Text }; "
RUN = (
    f"$ScriptText = '{SCRIPT}'; $Run.Script = '{SHA256}'; $Run.Mode = 'apply'; $Settings | Add-Member host win1 -Force; $Settings | Add-Member release 0.5.0 -Force; "
    "function Write-Notice([string]$Event, [string]$Code, [string]$Text, [hashtable]$Values) { $Event + ' ' + $Code + ' ' + (Format-Message $Text $Values) }; "
)


def begin(folder: Path, run: str, evidence: str = "", operator: str = "") -> str:
    (folder / "runs" / run).mkdir(parents=True, exist_ok=True)
    file = f"{host_path(folder)}\\runs\\{run}\\events.jsonl"
    return f"$Run.Id = '{run}'; $Run.EventFile = '{file}'; $Run.Evidence = '{evidence}'; $Run.Operator = {operator or chr(39) * 2}; "


def test_a_run_that_makes_changes_is_in_the_event_log(session: Session, tmp_path: Path) -> None:
    """Nothing that the sender writes can begin another line or field. The same script is kept once."""
    place = Place(session, tmp_path)
    operator = """('anna" state=finished' + [char]10 + 'x')"""
    head = f"host=win1 release=0.5.0 script={SHA256}"
    tail = json.dumps('anna" state=finished\nx')
    done = place.run(RUN + STAND_IN + begin(place.state, "first", EVIDENCE, operator) + "Invoke-Hook Started")
    assert done == [f"LOG run=first mode=apply {head} evidence={EVIDENCE} state=started operator={tail}"]
    ended = "$Run.Outcome = 'ok'; $Run.Changed = 2; Invoke-Hook Finished"
    done = place.run(RUN + STAND_IN + begin(place.state, "first", EVIDENCE, operator) + ended)
    assert done == [f"LOG run=first mode=apply {head} evidence={EVIDENCE} state=finished outcome=ok changed=2 reboot=false operator={tail}"]
    done = place.run(RUN + STAND_IN + begin(place.state, "second") + "Invoke-Hook Started")
    assert done == [f'LOG run=second mode=apply {head} evidence=none state=started operator=""']
    kept = [path.relative_to(place.state).as_posix() for path in place.state.rglob("*.ps1")]
    assert kept == [f"runs/first/{SHA256}.ps1"]
    assert (place.state / kept[0]).read_bytes() == SCRIPT.encode()


def test_what_cannot_be_written_is_a_warning(session: Session, tmp_path: Path) -> None:
    place = Place(session, tmp_path)
    broken = "function Write-LogEntry([string]$Text) { throw 'the service has not been started' }; "
    (place.state / "runs").mkdir()
    missing = f"$Run.EventFile = '{host_path(place.state)}\\none\\none\\events.jsonl'; "
    log, script = place.run(RUN + broken + begin(place.state, "first") + missing + "Invoke-Hook Started")
    assert log.startswith("warning host-log-not-written could not write to the Windows event log: the service has not been started. ")
    assert script.startswith("warning script-not-kept could not save a copy of this script in ")


def test_dotnet_writes_entries_with_an_own_source(session: Session, tmp_path: Path) -> None:
    """The first call creates the source; the second one finds it."""
    place = Place(session, tmp_path)
    assert place.run(
        "Write-LogEntry 'run=first'; Write-LogEntry 'run=second'; [string][Diagnostics.EventLog]::SourceExists('nbserver')"
    ) == ["True"]
