"""`nbserver catalog check`: what needs attention in the catalog and the locks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import zip_longest
from pathlib import Path

import click

from nbserver.base import folding
from nbserver.base.errors import DownloadError, UsageError
from nbserver.base.message import counted, notice, phrase
from nbserver.base.standard_streams import say, text_for_reader
from nbserver.catalog import check, linux_lock, osv, reader, support, update
from nbserver.catalog.catalog import Catalog
from nbserver.catalog.check import Finding, LockFile
from nbserver.catalog.entries import Download
from nbserver.catalog.publisher import file_check
from nbserver.catalog.publisher.download import IndexDownload
from nbserver.catalog.site_lock import SiteLock

COLORS = {"ok": "green", "attention": "yellow", "unknown": "magenta"}
ATTENTION, UNKNOWN = 4, 3


@dataclass(frozen=True)
class Wanted:
    """What to check. `python_base` and `openssl_index` are mirrors of the publishers' indexes, or None."""

    catalogs: tuple[Path, ...] = ()
    locks: tuple[Path, ...] = ()
    osv: tuple[Path, ...] = ()
    offline: bool = False
    everything: bool = False
    most_days: int = 90
    ca_file: Path | None = None
    python_base: str | None = None
    openssl_index: str | None = None


def run(wanted: Wanted, today: date, *, as_json: bool, verbose: bool) -> int:
    """Print the findings and return the exit code: 4 if something needs attention, 3 if something could not be checked, else 0."""
    records = osv.load(wanted.osv) if wanted.osv else None
    if records is not None and not records.affected:
        raise UsageError(
            "osv-without-packages",
            "the OSV data contains no records for Python packages (records for other packages: {count})",
            todo="Specify the data for the ecosystem {ecosystem} with --osv",
            count=records.count,
            ecosystem=osv.ECOSYSTEM,
        )
    catalogs = {str(path): reader.load(path) for path in wanted.catalogs} or {"shipped catalog": reader.load()}
    findings = _findings(wanted, catalogs, [_site(path) for path in wanted.locks], records, today)
    count = records.count if records is not None else None
    if as_json:
        say(json.dumps({"event": "catalog-check", "osv_records": count, "findings": [one.as_json() for one in findings]}))
    else:
        for line in _lines(findings, count, verbose):
            say(line)
    states = {one.state for one in findings}
    return ATTENTION if "attention" in states else UNKNOWN if "unknown" in states else 0


def _site(path: Path) -> LockFile:
    return check.site_lock(str(path), SiteLock.load(path))


def _findings(
    wanted: Wanted, catalogs: Mapping[str, Catalog], site: Sequence[LockFile], records: osv.Records | None, today: date
) -> list[Finding]:
    findings: list[Finding] = []
    every: dict[Download, None] = {}
    locks = list(site)
    for name, catalog in catalogs.items():
        downloads = check.used(catalog, everything=wanted.everything)
        every |= dict.fromkeys(downloads)
        made = check.dated(catalog.downloads[: catalog.of_site] or downloads)
        findings.append(check.age(name, made, today, wanted.most_days))
        if not site:
            fitting = check.locks(catalog, downloads, linux_lock.load(), everything=wanted.everything)
            locks += [lock for lock in fitting if lock not in locks]
    findings += check.lock_ages(locks, today, wanted.most_days)
    findings += check.ends(every, support.load(), today)
    if not wanted.offline:
        findings += check.files(every, file_check.ask([entry.url for entry in every], wanted.ca_file))
        findings += _released(wanted, next(iter(catalogs.values())), list(every), today)
    return findings + (check.vulnerable(locks, records) if records is not None else [])


def _released(wanted: Wanted, catalog: Catalog, downloads: Sequence[Download], today: date) -> list[Finding]:
    """Return which programs the publishers' indexes have a newer release of."""
    findings: list[Finding] = []
    python_org, slproweb = update.mirrors(wanted.python_base, wanted.openssl_index)
    for name, publisher in (("python", python_org), ("openssl", slproweb)):
        own = [entry for entry in downloads if entry.name == name and not entry.end_of_life]
        branches = sorted({".".join(entry.version.split(".")[:2]) for entry in own})
        try:
            with IndexDownload(wanted.ca_file) as fetch:
                if name == "python":
                    newest = list(update.newest_pythons(branches, ["x64"], publisher, fetch, str(today)))
                else:
                    newest = list(update.newest_openssls(branches, ["x64"], publisher, fetch, str(today), catalog))
        except (DownloadError, UsageError) as error:
            text = notice(
                "releases-not-checked",
                "could not check for newer releases: {reason}",
                todo="Check the network and the proxy (HTTPS_PROXY, NO_PROXY)",
                reason=error.what,
            )
            findings.append(Finding("unknown", error.where or publisher.index, text))
            continue
        findings += check.releases(own, newest)
    return findings


def _lines(findings: Sequence[Finding], records: int | None, verbose: bool) -> list[str]:
    shown = [one for one in findings if verbose or one.state != "ok"]
    lines = []
    for one, following in zip_longest(shown, shown[1:]):
        state = folding.padded(text_for_reader(phrase(one.state)), 9)
        lines.append(f"{click.style(state, fg=COLORS[one.state])}  {one.subject}: {text_for_reader(one.text)}")
        if one.todo and (following is None or following.todo != one.todo):  # once for several with the same advice
            lines.append(phrase("           {advice}", advice=phrase(one.text.remedy, **one.text.values)))
    count = {state: sum(one.state == state for one in findings) for state in COLORS}
    counts = phrase("{ok} ok, {attention} needing attention, {unknown} unknown", **count)
    known = phrase("known vulnerabilities were not checked (--osv)")
    if records is not None:
        known = counted("compared with {count} record of vulnerabilities", "compared with {count} records of vulnerabilities", records)
    return [*lines, phrase("{counts}; {known}", counts=counts, known=known)]


STATE_WORDS = ("ok", "attention", "unknown")
