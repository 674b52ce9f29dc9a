"""The summary at the end of a run: a line for each host, its error, and the folder with the run's files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbserver.run import failures
from nbserver.run.past_run import MODES as CONTINUED

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
WORDS = {
    "ok": "up to date",
    "differs": "run nbserver apply to make the changes",
    "reboot": "Windows must restart first",
    "stopped": "run the command again to continue",
}
# What a host has done in these modes, if all went well.
DONE = {
    "rotate": "earlier users evicted",
    "restart": "server restarted, and it presents its certificate",
    "stop": "server stopped until nbserver restart or apply",
    "set-password": "password changed, and everybody logged out",
    "rotate-certificate": "server presents its new certificate",
    "rollback": "server runs from its previous environment",
}
ORDER = ("ok", "differs", "reboot", "stopped", "unreachable", "failed")
FAILED = ("failed", "unreachable")
STOPPING = "Stopping: hosts are undoing temporary changes. Press Ctrl-C again to quit now."


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
) -> list[str]:
    """Return one line per host, its error below it, and the folder with the run's files. An error of many hosts is shown once.

    `shown` are the errors that were shown as events. With a single host, that line is close, and the error is not repeated.
    A `brief` summary has no line for hosts that are many: those without news, and those with the same error. `counted` are all
    hosts of the run, if `results` are only some.
    """
    if mode == "status":
        from nbserver.view.status_lines import status_lines

        return [*status_lines(results, shown), f"Scripts, events, and logs are in {folder}"]
    groups = [group for group in failures.group(results.values()) if len(group.hosts) >= MANY]
    together = {host for group in groups for host in group.hosts}
    fine = [name for name, result in results.items() if result.outcome == "ok" and not result.changed and not result.reboot]
    folded = set(fine) if brief and len(fine) >= FOLDED else set()
    folded |= {host for group in groups for host in group.hosts if brief and len(group.hosts) >= FOLDED}
    width = max((len(name) for name in results if name not in folded), default=0)
    lines = []
    for name, result in results.items():
        if name in folded:
            continue
        lines.append(_line(mode, name, result, width, brief and len(results) > FEW))
        if result.error and name not in together and not (len(results) == 1 and result.error in shown):
            lines.append(f"    {result.error}")
    for group in groups:
        lines += ["", *group_lines(group)]
    if groups:
        lines.append("")
    if folded.issuperset(fine) and fine:
        lines.append(f"{len(fine)} hosts  {click.style('ok', fg=COLORS['ok'])}{_words(mode, results[fine[0]])}")
    if len(counted or results) > 1:
        lines.append(_counts(counted or results))
    if mode == "events" and not folder.exists():  # a run of another workstation
        return lines
    if mode in CONTINUED and any(result.outcome == "unreachable" for result in (counted or results).values()):
        lines.append(f"To try the unreachable hosts again, run nbserver resume {folder.name}")
    return [*lines, f"Scripts, events, and logs are in {folder}"]


def _line(mode: str, name: str, result: Result, width: int, steps: bool = False) -> str:
    """Return the line of a host. With `steps`, it says which differ, because their differences were not shown."""
    differing = [step for step, last in result.steps.items() if last == "differs"] if result.outcome == "differs" else []
    said = click.style(result.outcome, fg=COLORS.get(result.outcome))
    changed = ", number of changes unknown" if result.changed is None else f", {result.changed} changed" if result.changed else ""
    reboot = ", reboot pending" if result.reboot and result.outcome != "reboot" else ""
    took = f", {duration(result.seconds)}" if result.seconds is not None else ""
    words = f"  {', '.join(differing)}" if steps and differing else _words(mode, result)
    return f"{name:<{width}}  {said}{words}{changed}{reboot}{took}"


def _words(mode: str, result: Result) -> str:
    words = f" ({result.error_kind})" if result.outcome in FAILED else f"  {WORDS.get(result.outcome, '')}"
    if mode == "undo" and result.outcome == "ok":
        words = "  previous state restored"
    if mode in DONE and result.outcome == "ok":
        words = f"  {DONE[mode] if result.changed else 'nothing to do'}"
    if mode == "events":
        words = "  the run has finished" if result.outcome == "ok" else ""
    if mode in ("push", "pull", "backup", "backup-key") and result.outcome == "ok":
        words = "  notebooks copied"
    if mode == "deliver" and result.outcome == "ok":
        words = "  downloads delivered"
    if mode == "request" and result.outcome == "ok":
        words = "  certificate request ready to be signed"
    return words


def group_lines(group: failures.Group) -> list[str]:
    """Return the error of many hosts, below their names."""
    return [click.style(f"{len(group.hosts)} hosts for the same reason: {_names(group.hosts)}", bold=True), f"    {group.text}"]


def _names(hosts: Collection[str], most: int = 100) -> str:
    shown = ", ".join(list(hosts)[:most])
    return f"{shown}, and {len(hosts) - most} more" if len(hosts) > most else shown


def _counts(results: Mapping[str, Result]) -> str:
    counts = Counter(result.outcome for result in results.values())
    return f"{len(results)} hosts: " + ", ".join(f"{counts[outcome]} {outcome}" for outcome in ORDER if counts[outcome])


def duration(seconds: float) -> str:
    """Return a duration for a person: 3.2 s, 45 s, 2 min 5 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"
