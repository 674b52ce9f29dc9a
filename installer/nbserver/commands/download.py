"""`nbserver download`: fetch everything that the scripts of hosts download into a bundle, or check one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbserver.base.message import Message, counted, detail
from nbserver.bundle import approval, check, contents, fetch, host_files, prune, source, wanted, wheel_sources
from nbserver.bundle.contents import File
from nbserver.bundle.download import FileDownload
from nbserver.bundle.wanted import Packages, Program
from nbserver.catalog.resolver.uv import Uv
from nbserver.render.render import render_each
from nbserver.run import download_logins
from nbserver.settings.secret_store import Need, SecretStore

if TYPE_CHECKING:
    from nbserver.bundle.approval import Demand
    from nbserver.bundle.progress import Progress
    from nbserver.inventory.hosts import AnyHost
    from nbserver.settings.secret import Ask


@dataclass(frozen=True)
class Index:
    """Where the packages of hosts come from: `url` is None for the default index, `login` is as in a URL."""

    url: str | None
    login: str


@dataclass(frozen=True)
class Needed:
    """What hosts download: the files of programs, and the packages from each index; and files of authorities that the inventory names.

    All are without repetitions.
    """

    programs: tuple[Program, ...]
    packages: tuple[tuple[Packages, Index], ...]
    authorities: tuple[Path, ...] = ()

    @property
    def logins(self) -> dict[str, str]:
        """Return the login of each origin that needs one."""
        return {source.origin_of(index.url): index.login for _, index in self.packages if index.url and index.login}


@dataclass(frozen=True)
class Done:
    """What was downloaded, and the paths of the files that were removed."""

    fetched: fetch.Fetched
    removed: tuple[str, ...]


def needed(hosts: Sequence[AnyHost], ask: Ask | None) -> Needed:
    """Return what the scripts of these hosts download. Raises CatalogError, DownloadError, and SecretError."""
    secrets = SecretStore(ask)
    programs: dict[Program, None] = {}
    packages: dict[Any, tuple[Packages, Index]] = {}
    locked = wanted.LockedPackages()
    for host, (script, _) in zip(hosts, render_each(map(_direct, hosts)), strict=True):
        programs |= dict.fromkeys(wanted.programs(script))
        for found in locked.of(script):
            index = Index(host.packages.index_url, _login(host, secrets))
            packages.setdefault((found.kind, found.pins, index), (found, index))
    authorities = dict.fromkeys(host.downloads.ca_file for host in hosts if host.downloads.ca_file)
    return Needed(tuple(programs), tuple(packages.values()), tuple(authorities))


def _direct(host: AnyHost) -> AnyHost:
    """Return the host without a mirror: the files of a bundle come from where the mirror's files come from."""
    downloads = host.downloads.model_copy(update={"source": "direct"})
    return host.model_copy(update={"downloads": downloads})


def _login(host: AnyHost, secrets: SecretStore) -> str:
    if not host.packages.index_password:
        return ""
    need = Need(host.packages.index_password, "packages.index_password", host.name)
    secrets.fetch([need])
    return download_logins.in_url(str(host.packages.index_user), secrets.get(need))


def run(
    bundle: Path,
    found: Needed,
    *,
    uv: Callable[[], str],
    ca_file: Path | None,
    bars: Progress,
    say: Callable[[str], object],
    prunes: bool = False,
) -> Done:
    """Download what the bundle lacks. `ca_file` has authorities in addition to those in the inventory. `uv` returns the path of uv, and is called if the bundle lacks wheels.

    If it `prunes`, all files that these hosts do not need are removed afterwards, unless something is lacking.
    Raises NbserverError. The errors of single files are in the result.
    """
    authorities = (*found.authorities, *([ca_file] if ca_file else []))
    with fetch.opened(bundle):
        there = fetch.present(bundle)
        located: dict[str, File] = {}
        for packages, index in found.packages:
            lacking = packages.lacking((*there, *located.values()))
            if lacking:
                say(
                    counted(
                        "Asking the package index for {count} package for {kind}",
                        "Asking the package index for {count} packages for {kind}",
                        len(lacking),
                        kind=str(packages.kind),
                    )
                )
                program = Uv(uv(), index.url, (), index.login, authorities=authorities)
                located |= {one.path: one for one in wheel_sources.located(packages, lacking, program)}
        with bars, FileDownload(bundle, authorities, bars, logins=found.logins) as download:
            done = fetch.fetch(bundle, [*found.programs, *((one,) for one in located.values())], there, download)
        if done.errors or not prunes:
            return Done(done, ())
        keep = prune.needed(done.files, found.programs, [packages for packages, _ in found.packages])
        return Done(replace(done, files=keep), prune.prune(bundle, keep))


def lacking(bundle: Path, found: Needed) -> list[Message]:
    """Return a message for each program and package that the bundle lacks. Raises ApprovalError if it has no valid list."""
    return host_files.lacking(contents.read(bundle), found.programs, [packages for packages, _ in found.packages])


def verified(bundle: Path, found: Needed | None, demand: Demand | None = None) -> list[Message]:
    """Return all that is wrong with a bundle, also what the hosts need and it does not have.

    Raises ApprovalError if it has no valid list, or not the approvals that the person or the site demands.
    """
    approval.require(bundle, contents.read_list(bundle).sha256, demand or approval.BY_SITE)
    return [*check.findings(bundle), *(lacking(bundle, found) if found else [])]


def fetched_as_json(bundle: Path, done: Done) -> dict[str, Any]:
    """Return the answer for --json after a download."""
    common, downloaded = _totals(bundle, done.fetched.files), [one.path for one in done.fetched.downloaded]
    warnings, errors = ([{"text": str(one), **detail(one)} for one in found] for found in (done.fetched.warnings, done.fetched.errors))
    changes = {"downloaded": downloaded, "removed": list(done.removed)}
    return {"event": "downloaded", **common, **changes, "warnings": warnings, "errors": errors}


def verified_as_json(bundle: Path, wrong: Iterable[Message]) -> dict[str, Any]:
    """Return the answer for --json after a check."""
    return {"event": "verified", **_totals(bundle, contents.read(bundle)), "findings": [{"text": str(one), **detail(one)} for one in wrong]}


def _totals(bundle: Path, files: Sequence[File]) -> Mapping[str, Any]:
    return {"bundle": str(bundle), "files": len(files), "bytes": sum(one.size or 0 for one in files)}
