"""The summary at the end of a run: a line for each host, its error, and the folder with the run's files."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbserver.base import folding
from nbserver.base.existing import exists
from nbserver.base.message import phrase
from nbserver.language.language import ENGLISH, Language
from nbserver.run import failures
from nbserver.run.past_run import MODES as CONTINUED
from nbserver.view.error_text import error_text, group_text

if TYPE_CHECKING:
    from nbserver.run.result import Result


COLORS = {
    "changed": "yellow",
    "differs": "yellow",
    "difference": "yellow",
    "restored": "yellow",
    "failed": "red",
    "unreachable": "red",
    "stopped": "red",
    "reboot": "red",
    "warning": "magenta",
    "ok": "green",
}
# What an outcome means. The outcomes and the kinds of errors are words as well, and have this order in counts.
WORDS = {
    "ok": "up to date",
    "differs": "run nbserver apply to make the changes",
    "reboot": "Windows must restart first",
    "stopped": "run the command again to continue",
}
# What a host has done in these modes, if all went well.
DONE_WORDS = {
    "rotate": "access of earlier users revoked",
    "restart": "server restarted, and it presents its certificate",
    "stop": "server stopped until nbserver restart or apply",
    "set-password": "password changed, and everybody logged out",
    "rotate-certificate": "server presents its new certificate",
    "restore-key": "server presents the certificate of the backup",
    "rollback": "server runs from its previous environment",
}
OK_WORDS = {
    "undo": "previous state restored",
    "list": "notebooks compared",
    "push": "notebooks copied",
    "pull": "notebooks copied",
    "backup": "notebooks copied",
    "backup-key": "notebooks copied",
    "deliver": "downloads delivered",
    "request": "certificate request ready to be signed",
}
ORDER = ("ok", "differs", "reboot", "stopped", "unreachable", "failed")
FAILED = ("failed", "unreachable")
STOPPING = phrase("Stopping: hosts are undoing temporary changes. Press Ctrl-C again to quit now.")


MANY = 3  # hosts with the same error, from which on it is shown once
FEW = 10  # hosts, up to which a brief summary comes after the differences of a plan
FOLDED = 20  # hosts without news, or with the same error, from which on a brief summary has no lines for them


def summary_lines(
    mode: str,
    results: Mapping[str, Result],
    folder: Path,
    shown: Collection[str] = (),
    brief: bool = False,
    counted: Mapping[str, Result] | None = None,
    language: Language = ENGLISH,
) -> list[str]:
    """Return one line per host, its error below it, and the folder with the run's files. An error of many hosts is shown once.

    `shown` are the errors that were shown as events. With a single host, that line is close, and the error is not repeated.
    A `brief` summary has no line for hosts that are many: those without news, and those with the same error. `counted` are all
    hosts of the run, if `results` are only some.
    """
    if mode == "status":
        from nbserver.view.status_lines import status_lines

        return [*status_lines(results, shown, language, folding.columns_of(sys.stdout)), files_line(folder, language)]
    groups = [group for group in failures.group(results.values()) if len(group.hosts) >= MANY]
    together = {host for group in groups for host in group.hosts}
    fine = [name for name, result in results.items() if result.outcome == "ok" and not result.changed and not result.reboot]
    folded = set(fine) if brief and len(fine) >= FOLDED else set()
    folded |= {host for group in groups for host in group.hosts if brief and len(group.hosts) >= FOLDED}
    width = max((folding.width(name) for name in results if name not in folded), default=0)
    lines = []
    for name, result in results.items():
        if name in folded:
            continue
        lines.append(_line(mode, name, result, width, brief and len(results) > FEW, language))
        if result.error and name not in together and not (len(results) == 1 and result.error in shown):
            lines.append(f"    {error_text(result, language)}")
    for group in groups:
        lines += ["", *group_lines(group, language)]
    if groups:
        lines.append("")
    if folded.issuperset(fine) and fine:
        hosts = language.plural("{count} host", "{count} hosts", len(fine))
        lines.append(f"{hosts}  {click.style(language.word('ok'), fg=COLORS['ok'])}{_words(mode, results[fine[0]], language)}")
    if len(counted or results) > 1:
        lines.append(_counts(counted or results, language))
    if mode == "events" and not exists(folder):  # a run of another workstation
        return lines
    if mode in CONTINUED and any(result.outcome == "unreachable" for result in (counted or results).values()):
        lines.append(language.text("To try the unreachable hosts again, run nbserver resume {run}", run=folder.name))
    return [*lines, files_line(folder, language)]


def files_line(folder: Path, language: Language) -> str:
    """Return where the files of a run are."""
    return language.text("Scripts, events, and logs are in {folder}", folder=folder)


def _line(mode: str, name: str, result: Result, width: int, steps: bool, language: Language) -> str:
    """Return the line of a host. With `steps`, it says which differ, because their differences were not shown."""
    differing = [step for step, last in result.steps.items() if last == "differs"] if result.outcome == "differs" else []
    said = click.style(language.word(result.outcome), fg=COLORS.get(result.outcome))
    words = f"  {language.joined(differing)}" if steps and differing else _words(mode, result, language)
    facts = (
        f"{said}{words}",
        language.text("number of changes unknown") if result.changed is None else "",
        "" if _is_changed_by_apply(mode, result) else _changes(mode, result.changed, language),
        language.text("reboot pending") if result.reboot and result.outcome != "reboot" else "",
        duration(result.seconds, language) if result.seconds is not None else "",
    )
    return f"{folding.padded(name, width)}  {language.joined(facts)}"


def _is_changed_by_apply(mode: str, result: Result) -> bool:
    """Return whether a host is up to date because its steps have changed something: this is what its line says."""
    return mode == "apply" and result.outcome == "ok" and bool(result.changed)


def _changes(mode: str, changed: int | None, language: Language) -> str:
    if not changed:
        return ""
    if mode == "apply":
        return language.plural("{count} step changed", "{count} steps changed", changed)
    return language.plural("{count} changed", "{count} changed", changed)


def _words(mode: str, result: Result, language: Language) -> str:
    if result.outcome in FAILED:
        return f" ({language.word(str(result.error_kind))})"
    said = language.word(WORDS.get(result.outcome, ""))
    if mode == "events":
        return f"  {language.text('the run has finished')}" if result.outcome == "ok" else ""
    if _is_changed_by_apply(mode, result):
        return f"  {_changes(mode, result.changed, language)}"
    if result.outcome == "ok":
        if mode in DONE_WORDS:
            said = language.word(DONE_WORDS[mode] if result.changed else "nothing to do")
        said = language.word(OK_WORDS.get(mode, "")) or said
    return f"  {said}"


def group_lines(group: failures.Group, language: Language = ENGLISH) -> list[str]:
    """Return the error of many hosts, below their names."""
    said = language.text("{count} hosts for the same reason: {names}", count=len(group.hosts), names=names_of(group.hosts, language))
    return [click.style(said, bold=True), f"    {group_text(group, language)}"]


def names_of(hosts: Collection[str], language: Language, most: int = 100) -> str:
    """Return the names of hosts, of which only the first ones are listed."""
    shown = language.joined(list(hosts)[:most])
    return language.text("{names}, and {count} more", names=shown, count=len(hosts) - most) if len(hosts) > most else shown


def _counts(results: Mapping[str, Result], language: Language) -> str:
    counts = Counter(result.outcome for result in results.values())
    words = language.joined(f"{counts[outcome]} {language.word(outcome)}" for outcome in ORDER if counts[outcome])
    return language.text("{count} hosts: {words}", count=len(results), words=words)


def duration(seconds: float, language: Language = ENGLISH) -> str:
    """Return a duration for a person: 3.2 s, 45 s, 2 min 5 s."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes:
        return language.text("{minutes} min {seconds} s", minutes=minutes, seconds=rest)
    return language.text("{seconds} s", seconds=f"{seconds:.1f}" if seconds < 10 else rest)
