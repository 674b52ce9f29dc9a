"""`nbserver lock`: resolve the packages that hosts are to have, and write their locks."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbserver.base import atomic_file, writing
from nbserver.base.errors import CatalogError, InventoryError, UsageError
from nbserver.base.message import Message, counted, notice, phrase
from nbserver.catalog import linux_lock, reader, shipped_sets, written_lock
from nbserver.catalog.lock_kind import LockKind
from nbserver.catalog.package_request import PackageRequest
from nbserver.catalog.resolver import refusal, wheels
from nbserver.catalog.resolver.uv import Unresolved, Uv, Wheels
from nbserver.catalog.site_lock import SiteLock
from nbserver.render.site_locks import kind_of, packages_of, path_of
from nbserver.run import download_logins
from nbserver.settings.secret_store import Need, SecretStore

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost
    from nbserver.settings.secret import Ask


@dataclass(frozen=True)
class Job:
    """One lock to write: for the hosts of one kind with the same request."""

    path: Path
    kind: LockKind
    request: PackageRequest
    index_url: str | None
    login: str = field(repr=False)
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Written:
    """The result of a job. `text` is None if the file stays as it is.

    `changes` has (package, versions before, versions now), compared with the file, or with the shipped lock if there is no file yet.
    """

    job: Job
    text: str | None
    packages: int
    changes: tuple[tuple[str, str, str], ...]
    warning: Message | None = None

    def as_json(self) -> dict[str, Any]:
        kind = {"system": self.job.kind.system, "architecture": self.job.kind.architecture, "python": self.job.kind.python or None}
        changes = [{"package": name, "before": before or None, "after": after or None} for name, before, after in self.changes]
        common = {"file": str(self.job.path), **kind, "hosts": list(self.job.hosts), "packages": self.packages}
        return {**common, "changed": self.text is not None, "changes": changes}


def jobs(hosts: Sequence[AnyHost], ask: Ask | None) -> list[Job]:
    """Return the locks that these hosts need. Raises CatalogError, SecretError, and InventoryError if two hosts need different locks in one file."""
    catalog = cache(reader.load)
    found: dict[Path, Job] = {}
    secrets = SecretStore(ask)
    for host in hosts:
        choice = packages_of(host)
        if choice.lock or not choice.is_own:
            continue
        kind = kind_of(host, catalog)
        if shipped_sets.lock_of(choice, kind):
            continue
        job = Job(path_of(host, kind), kind, PackageRequest.of(choice, kind), host.packages.index_url, _login(host, secrets), (host.name,))
        first = found.setdefault(job.path, job)
        if (first.request, first.index_url) != (job.request, job.index_url):
            raise InventoryError(
                "two-locks-for-kind",
                "{first} and {second} would share the lock for {kind}, but need different packages or a different index",
                todo="Set packages.lock_folder to a different folder for one of them",
                first=first.hosts[0],
                second=host.name,
                kind=str(kind),
            )
        if first is not job:
            found[job.path] = replace(first, hosts=(*first.hosts, host.name))
    if not found:
        raise UsageError(
            "nothing-to-lock",
            "none of these hosts needs its own lock",
            todo="Set packages.include or packages.requirements in the inventory. A host with only packages.set uses a lock that ships with nbserver",
        )
    return [found[path] for path in sorted(found)]


def _login(host: AnyHost, secrets: SecretStore) -> str:
    if not host.packages.index_password:
        return ""
    need = Need(host.packages.index_password, "packages.index_password", host.name)
    secrets.fetch([need])
    return download_logins.in_url(str(host.packages.index_user), secrets.get(need))


def run(
    found: Sequence[Job], upgrade: Sequence[str], *, upgrade_all: bool, uv: str, date: str, progress: Callable[[str], None]
) -> list[Written]:
    """Resolve all locks, and write nothing. Raises CatalogError and DownloadError."""
    written = []
    for job in found:
        progress(phrase("Resolving packages for {kind}", kind=str(job.kind)))
        written.append(_resolved(job, upgrade, upgrade_all=upgrade_all, uv=uv, date=date))
    return written


def today() -> str:
    """Return the day in UTC, which a lock has in its head."""
    return f"{datetime.now(UTC):%Y-%m-%d}"


def write(written: Iterable[Written]) -> None:
    """Write the locks that change."""
    for one in written:
        if one.text is None:
            continue
        path = one.job.path
        with writing.refused(
            "lock-not-written-to-disk",
            "could not write the lock ({reason})",
            where=path,
            todo="Correct packages.lock_folder, or free some disk space",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic_file.write_text(path, one.text)


def lines(written: Sequence[Written], *, check: bool) -> list[str]:
    """Return what a person reads: each lock with its changes, package by package."""
    found = []
    for one in written:
        state = phrase("unchanged") if one.text is None else phrase("out of date") if check else phrase("written")
        found.append(
            counted(
                "{file}: {state}, {count} package, for {hosts}",
                "{file}: {state}, {count} packages, for {hosts}",
                one.packages,
                file=one.job.path,
                state=state,
                hosts=", ".join(one.job.hosts),
            )
        )
        found += [_change(*change) for change in one.changes]
    return found


def _change(name: str, before: str, after: str) -> str:
    if not before:
        return phrase("  added {name} {version}", name=name, version=after)
    return (
        phrase("  {name} {before} -> {after}", name=name, before=before, after=after)
        if after
        else phrase("  removed {name} {version}", name=name, version=before)
    )


def _resolved(job: Job, upgrade: Sequence[str], *, upgrade_all: bool, uv: str, date: str) -> Written:
    written, warning = _existing(job)
    old = written or _shipped(job.kind)
    program = Uv(uv, job.index_url, job.request.constraints, job.login)
    found: dict[str, list[Wheels]] = {}
    for python in job.kind.pythons:
        kind = job.kind.for_python(python)
        keep = {} if upgrade_all or old is None else _versions_of(old, kind)
        try:
            found[python] = program.resolve(job.request.packages, kind, keep=keep, upgrade=upgrade, refresh=not found)
        except Unresolved as failure:
            raise refusal.explain(failure, program, job.request, kind) from None
        lacking = [f"{one.name}=={one.version}" for one in found[python] if not wheels.fitting(one, kind)]
        if lacking:
            raise CatalogError(
                "resolved-without-wheel",
                "there is no compatible wheel for {packages}",
                where=str(kind),
                todo="Exclude these versions with packages.constraints",
                packages=", ".join(lacking),
            )
    new = wheels.lines(found, job.kind)
    before = _by_name(old, job.kind) if old else {}
    after = _by_name(SiteLock.of("\n".join(new).encode(), str(job.path)), job.kind)
    changes = tuple(
        (name, before.get(name, ""), after.get(name, "")) for name in sorted({*before, *after}) if before.get(name) != after.get(name)
    )
    same = (
        written is not None and written_lock.lines_of(written.text) == new and written_lock.fits(written.text, job.request) and not warning
    )
    return Written(job, None if same else written_lock.text(job.kind, job.request, new, date), len(after), changes, warning)


def _existing(job: Job) -> tuple[SiteLock | None, Message | None]:
    """Return the lock that is to be renewed, and a warning about it. Raises CatalogError for a file that nbserver lock did not write."""
    if not os.path.exists(job.path):  # noqa: PTH110 (Path.exists raises PermissionError)
        return None, None
    try:
        lock = SiteLock.load(job.path)
    except CatalogError as error:
        if error.code == "site-lock-unreadable" or not written_lock.is_written(job.path.read_text("utf-8", "replace")):
            raise
        return None, _edited(job.path)
    if not written_lock.is_written(lock.text):
        raise CatalogError(
            "lock-of-somebody-else",
            "nbserver lock did not write this file, so it will not replace it",
            where=str(job.path),
            todo="Move the file, or set packages.lock_folder to another folder",
        )
    return lock, _edited(job.path) if written_lock.is_edited(lock.text) else None


def _shipped(kind: LockKind) -> SiteLock | None:
    """Return the shipped lock for a kind, from which a first lock starts: its versions were tested with this release."""
    if kind.system_has_any_python:
        return SiteLock.of("\n".join(linux_lock.load().lines).encode(), linux_lock.FILE)
    try:
        return SiteLock.of("\n".join(reader.load().lock(kind.python, kind.architecture).lines).encode(), "")
    except CatalogError:
        return None


def _edited(path: Path) -> Message:
    return notice("lock-was-edited", "{file} was edited by hand, so nbserver resolves its packages again", file=str(path))


def _versions_of(lock: SiteLock, kind: LockKind) -> Mapping[str, str]:
    from nbserver.catalog import lock_conditions

    among = lock_conditions.environments(kind.system, kind.architecture, [kind.python])
    return {one.name: one.version for one in lock.packages if lock_conditions.where(one.marker, among)[0]}


def _by_name(lock: SiteLock, kind: LockKind) -> dict[str, str]:
    """Return the versions of each package for the hosts of a kind: several if they depend on the version of Python."""
    versions: dict[str, list[str]] = {}
    for python in kind.pythons:
        for name, version in _versions_of(lock, kind.for_python(python)).items():
            versions.setdefault(name, []).append(version)
    return {name: ", ".join(dict.fromkeys(found)) for name, found in versions.items()}
