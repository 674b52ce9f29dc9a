"""What needs attention in a catalog: its age, files that are gone, newer releases, known vulnerabilities, and ends of support."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Literal

from nbserver.base.errors import CatalogError
from nbserver.base.message import Message, detail, notice
from nbserver.catalog import lock_lines, shipped_sets, support
from nbserver.catalog.catalog import Catalog
from nbserver.catalog.choice import PROGRAMS, begins, numbers
from nbserver.catalog.differences import branch, title
from nbserver.catalog.entries import Download
from nbserver.catalog.linux_lock import FILE as LINUX
from nbserver.catalog.linux_lock import LinuxLock
from nbserver.catalog.lock_kind import LockKind
from nbserver.catalog.osv import Records
from nbserver.catalog.publisher.file_check import Answer
from nbserver.catalog.site_lock import SiteLock

ARCHITECTURES = ("x64", "arm64")
SOON = 90
"""Days before the end of support from which on it needs attention."""


@dataclass(frozen=True)
class Finding:
    """`subject` is a program, the catalog, or a package; `text` says what was found, and what to do if that needs attention."""

    state: Literal["ok", "attention", "unknown"]
    subject: str
    text: Message

    @property
    def todo(self) -> str:
        """What to do, or empty."""
        return self.text.todo if self.state != "ok" else ""

    def as_json(self) -> dict[str, object]:
        return {"state": self.state, "subject": self.subject, "text": str(self.text), "todo": self.todo, **detail(self.text)}


@dataclass(frozen=True)
class LockFile:
    """A lock: its name, its date if its comments have one, and its packages with their versions."""

    name: str
    made: str | None
    packages: Sequence[tuple[str, str]]


def used(catalog: Catalog, *, everything: bool = False) -> list[Download]:
    """Return the entries of the site catalog, and those that hosts get if the inventory names no version; or every verified entry."""
    if everything:
        return _with_sources(entry for entry in catalog.downloads if entry.sha256)
    found = [entry for entry in catalog.downloads[: catalog.of_site] if entry.sha256]
    for architecture in ARCHITECTURES:
        for windows in (None, "2012r2"):
            found += _chosen(catalog, architecture, windows)
    return _with_sources(found)


def _with_sources(entries: Iterable[Download]) -> list[Download]:
    return list(dict.fromkeys(source for entry in entries for source in entry.every_source))


def _chosen(catalog: Catalog, architecture: str, windows: str | None) -> Iterator[Download]:
    choices: tuple[Callable[[], Download], ...] = (
        lambda: catalog.python(None, architecture, windows=windows),
        lambda: catalog.openssl(None, architecture, windows=windows),
        lambda: catalog.vc_redist(architecture, windows=windows),
    )
    for choose in choices:
        with suppress(CatalogError):  # no such program for this processor and Windows
            yield choose()


def locks(catalog: Catalog, downloads: Iterable[Download], linux: LinuxLock, *, everything: bool = False) -> list[LockFile]:
    """Return the locks of these Pythons, or all of them, those for Linux hosts, and those of the shipped sets of packages."""
    pythons = {(entry.version, entry.architecture) for entry in downloads if entry.name == "python"}

    def is_used(architecture: str, python: str) -> bool:
        return everything or any(of == architecture and begins(version, python) for version, of in pythons)

    found = [lock_file(lock.file, lock.made, lock.lines) for lock in catalog.locks if is_used(lock.architecture, lock.python)]
    found.append(lock_file(LINUX, linux.made, linux.lines))
    kinds = {LockKind("windows", lock.architecture, lock.python) for lock in catalog.locks if not is_used(lock.architecture, lock.python)}
    unused = {kind.file_name for kind in kinds}
    found += [site_lock(name, lock) for name, lock in shipped_sets.load_all().items() if name.rpartition("/")[2] not in unused]
    return found


def site_lock(name: str, lock: SiteLock) -> LockFile:
    return LockFile(name, lock_lines.made(lock.text.encode()), [(one.name, one.version) for one in lock.packages])


def lock_file(name: str, made: str | None, lines: Iterable[str]) -> LockFile:
    return LockFile(name.rpartition("/")[2], made, [pin for line in lines if (pin := lock_lines.pin_of(line))])


def dated(downloads: Iterable[Download]) -> str | None:
    """Return the newest date in the sources of entries."""
    return max((day for entry in downloads for day in re.findall(r"\b20[0-9]{2}-[01][0-9]-[0-3][0-9]\b", entry.source)), default=None)


def age(name: str, made: str | None, today: date, most_days: int) -> Finding:
    """Return how old a catalog is. `most_days` is the age from which on it needs attention."""
    if made is None or (parsed := _date(made)) is None:
        return Finding("ok", name, notice("catalog-undated", "the catalog has no date, so its age is unknown"))
    days = (today - parsed).days
    text = notice(
        "catalog-age",
        "the catalog is {days} days old ({date})",
        todo="Run nbserver catalog update, then review the new catalog",
        date=made,
        days=days,
    )
    return Finding("attention" if days > most_days else "ok", name, text)


def lock_ages(files: Iterable[LockFile], today: date, most_days: int) -> list[Finding]:
    """Return how old the locks are. `most_days` is the age from which on a lock needs attention."""
    return [_lock_age(file, today, most_days) for file in files]


def _lock_age(file: LockFile, today: date, most_days: int) -> Finding:
    if file.made is None or (parsed := _date(file.made)) is None:
        return Finding("ok", file.name, notice("lock-undated", "the lock has no date, so its age is unknown"))
    days = (today - parsed).days
    text = notice(
        "lock-age",
        "the lock is {days} days old ({date})",
        todo="Run nbserver lock --upgrade-all, or, for a shipped lock, install a newer release of nbserver",
        date=file.made,
        days=days,
    )
    return Finding("attention" if days > most_days else "ok", file.name, text)


def _date(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def files(downloads: Iterable[Download], answers: Mapping[str, Answer]) -> list[Finding]:
    """Return whether the publishers still have the files."""
    return [_file(entry, answers[entry.url]) for entry in downloads if entry.url in answers]


def _file(entry: Download, answer: Answer) -> Finding:
    subject, url = str(title(entry)), entry.url
    if answer.error is not None:
        text = notice(
            "source-not-checked",
            "{url} could not be checked: {reason}",
            todo="Check the network, the proxy (HTTPS_PROXY, NO_PROXY), and --ca-file",
            url=url,
            reason=answer.error.what,
        )
        return Finding("unknown", subject, text)
    if answer.is_gone:
        text = notice(
            "source-gone",
            "the server no longer has {url} (HTTP status {status})",
            todo="Run nbserver catalog update, or add the URL of a mirror to a site catalog",
            url=url,
            status=answer.status,
        )
        return Finding("attention", subject, text)
    if not answer.is_there:
        text = notice(
            "source-status",
            "{url} could not be checked: HTTP status {status}",
            todo="Check the URL and the proxy (HTTPS_PROXY, NO_PROXY)",
            url=url,
            status=answer.status,
        )
        return Finding("unknown", subject, text)
    if entry.size is not None and answer.size is not None and answer.size != entry.size:
        text = notice(
            "source-replaced",
            "{url} is {size} bytes long, but {expected} bytes were expected, so hosts would refuse the file",
            todo="Ask the publisher why the file changed before you put its new size and hash into the catalog",
            url=url,
            size=answer.size,
            expected=entry.size,
        )
        return Finding("attention", subject, text)
    return Finding("ok", subject, notice("source-answers", "{url} is available", url=url))


def releases(downloads: Iterable[Download], newest: Iterable[Download]) -> list[Finding]:
    """Return which programs their publishers have replaced: `newest` are the newest releases of the branches."""
    found: dict[str, Finding] = {}
    known = [(entry.name, branch(entry), entry.version) for entry in newest]
    for entry in downloads:
        later = [
            version
            for name, of, version in known
            if (name, of) == (entry.name, branch(entry)) and numbers(version) > numbers(entry.version)
        ]
        if later:
            text = notice(
                "program-replaced",
                "the publisher has released a newer version, {version}",
                todo="Run nbserver catalog update",
                version=max(later, key=numbers),
            )
            found.setdefault(str(title(entry)), Finding("attention", str(title(entry)), text))
    return list(found.values())


def vulnerable(files: Iterable[LockFile], records: Records) -> list[Finding]:
    """Return the known vulnerabilities of the packages, each once with the locks that have the package in this version."""
    places: dict[tuple[str, str], list[str]] = {}
    for file in files:
        for pin in dict.fromkeys(file.packages):
            places.setdefault(pin, []).append(file.name)
    findings = []
    for (name, version), among in sorted(places.items()):
        for one in records.of(name, version):
            text = notice(
                "package-vulnerable",
                "{package} {version} has the known vulnerability {ids} ({summary}); fixed in: {fixed}; affected locks: {locks}",
                todo="Run nbserver lock with --upgrade {package}, or, for a shipped lock, install a newer release of nbserver",
                package=name,
                version=version,
                ids=", ".join(one.ids),
                summary=one.summary or "no summary",
                fixed=one.fixed or "no release",
                locks=", ".join(among),
            )
            findings.append(Finding("attention", name, text))
    return findings


def ends(downloads: Iterable[Download], table: tuple[support.Support, ...], today: date) -> list[Finding]:
    """Return until when the branches of the programs are supported."""
    found: dict[tuple[str, str], Finding] = {}
    for entry in downloads:
        one = support.of(entry, table)
        if one is None:
            continue
        subject = f"{PROGRAMS[one.name]} {one.branch}"
        days = (one.until - today).days
        if days < 0:
            text = notice(
                "support-ended",
                "the publisher's security support ended on {until}",
                todo="Choose a newer branch with {program}.version in the inventory",
                program=one.name,
                until=str(one.until),
            )
        else:
            text = notice(
                "support-until",
                "the publisher's security support ends on {until}",
                todo="Choose a newer branch with {program}.version in the inventory",
                program=one.name,
                until=str(one.until),
            )
        found[one.name, one.branch] = Finding("attention" if days < SOON else "ok", subject, text)
    return list(found.values())
