"""`nbserver catalog update`: a site catalog made from the publishers' own indexes, with its difference to the one before."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from nbserver.base import atomic_file
from nbserver.base.errors import CatalogError, DownloadError, UsageError
from nbserver.catalog import reader, site_catalog, windows_releases
from nbserver.catalog.catalog import Catalog
from nbserver.catalog.choice import PREFERRED, numbers
from nbserver.catalog.differences import Difference, branch, differences, downgrades, keep_sources, other_hashes, title
from nbserver.catalog.entries import Download
from nbserver.catalog.publisher import indexes, urls
from nbserver.catalog.publisher.download import LARGEST_INDEX, IndexDownload
from nbserver.catalog.publisher.index_json import Table, parse
from nbserver.catalog.publisher.urls import Publisher

Fetch = Callable[[str], bytes]
"""URL -> the answer's bytes; raises DownloadError."""

MOST_PAGES = 10
_ASK = "a released file does not change by itself. Ask its publisher before you use this"


@dataclass(frozen=True)
class Wanted:
    """Versions ("3.13" is the newest of a branch, "3.13.16" just this one); none: the shipped catalog's default.

    `python_base` and `openssl_index` are a site's copies of the publishers' indexes, None for the publishers' own.
    """

    python: tuple[str, ...] = ()
    openssl: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ("x64",)
    python_base: str | None = None
    openssl_index: str | None = None


@dataclass(frozen=True)
class Update:
    """What would be written; without differences the file may stay as it is."""

    text: str
    differences: Sequence[Difference]
    warnings: Sequence[str]


def run(output: Path, wanted: Wanted, *, date: str, ca_file: Path | None, dry_run: bool, allow_downgrade: bool) -> int:
    """Update the file, say what changed, and return the exit code: 4 where a dry run found differences, else 0."""
    with IndexDownload(ca_file) as fetch:
        update = prepare(output, wanted, fetch, date=date, allow_downgrade=allow_downgrade)
    for difference in update.differences:
        for line in difference.lines():
            click.echo(line)
    for warning in update.warnings:
        click.echo(f"nbserver: warning: {warning}", err=True)
    if not update.differences:
        click.echo(f"{output} is unchanged: the indexes have nothing else")
        return 0
    if dry_run:
        click.echo(f"{output} was not written: this was a dry run")
        return 4
    try:
        mode = output.stat().st_mode & 0o777 if output.exists() else 0o644
        atomic_file.write_text(output, update.text, mode=mode)
    except OSError as error:
        raise UsageError(f"the file cannot be written ({error.strerror})", where=str(output), todo="Name another one with -o") from None
    click.echo(f"{output} is written: review it, then name it as catalog in the inventory")
    return 0


def prepare(output: Path, wanted: Wanted, fetch: Fetch, *, date: str, allow_downgrade: bool) -> Update:
    """Read the file that is there and the indexes; write nothing. `date` is YYYY-MM-DD.

    Raises CatalogError for the file, UsageError for what is wanted, DownloadError for an index.
    """
    shipped = reader.load()
    old = site_catalog.read(output) if output.exists() else []
    new = keep_sources(old, newest(wanted, shipped, fetch, date))
    for before, after in () if allow_downgrade else downgrades(old, new):
        raise DownloadError(
            f"the index offers {title(after)}, but {output} has {before.version} already",
            where=after.source.partition(",")[0],
            todo="Nothing was written. An index that is older than it should be may hide a repaired fault; to go back on purpose, add --allow-downgrade",
        )
    return Update(site_catalog.text(new), differences(old, new), _warnings(old, new, shipped, output))


def newest(wanted: Wanted, shipped: Catalog, fetch: Fetch, date: str) -> list[Download]:
    """The entries for what is wanted, each version once. Raises UsageError and DownloadError."""
    pythons = _versions("--python", wanted.python or (shipped.default_python,))
    openssls = _versions("--openssl", wanted.openssl or (shipped.default_openssl,))
    python_org = _publisher("--base-url-python", urls.python_org, wanted.python_base)
    slproweb = _publisher("--openssl-index", urls.slproweb, wanted.openssl_index)
    found: list[Download] = []
    pages: dict[str, list[Table]] = {}
    for version in pythons:
        name = f"{version}/windows-{version}.json" if version.count(".") == 2 else "index-windows.json"
        pages[name] = pages.get(name) or _pages(python_org.index + name, fetch)
        found += [indexes.python(pages[name], version, x, python_org, date) for x in wanted.architectures]
    index = parse(fetch(slproweb.index), slproweb.index)
    for version in openssls:
        found += [indexes.openssl(index, version, x, slproweb, date, _like(shipped, x)) for x in wanted.architectures]
    return _once([_as_shipped(download, shipped) for download in found])


def _like(shipped: Catalog, architecture: str) -> Download:
    """The OpenSSL of the shipped catalog. For arm64 that is an exe: it installs where it is told to, and where an msi does is not known."""
    fitting = [x for x in shipped.downloads if x.name == "openssl" and x.architecture == architecture and x.sha256]
    return min(fitting, key=lambda x: PREFERRED.index(x.kind))


def _as_shipped(download: Download, shipped: Catalog) -> Download:
    """With what the indexes do not tell: the lowest Windows and the end of life, as the shipped catalog has them for the branch."""

    def place(x: Download) -> tuple[object, ...]:
        return x.name, x.architecture, x.kind, branch(x)

    like = [x for x in shipped.downloads if place(x) == place(download)]
    lowest = max((x.windows for x in like), key=numbers, default=windows_releases.OLDEST)
    return replace(download, windows=lowest, end_of_life=any(x.end_of_life for x in like))


def _pages(url: str, fetch: Fetch) -> list[Table]:
    """An index of python.org: `next` names the page that goes on."""
    pages: list[Table] = []
    size = 0
    while True:
        content = fetch(url)
        size += len(content)
        if size > LARGEST_INDEX:
            raise Table(url, "", {}).refuse(f"with this page the index is larger than {LARGEST_INDEX // 1024 // 1024} MB")
        page = parse(content, url)
        pages.append(page)
        if not page.values.get("next"):
            return pages
        try:
            url = urls.next_page(url, page.text("next"))
        except ValueError as reason:
            raise page.refuse(f"next is refused: {reason}") from None
        if len(pages) == MOST_PAGES or url in (known.url for known in pages):
            raise page.refuse(f"its pages do not end: next leads back, or there are more than {MOST_PAGES}")


def _once(found: Sequence[Download]) -> list[Download]:
    """3.13 and 3.13.16 may be the same file; two pages that disagree about it are refused."""
    kept: dict[tuple[str, ...], Download] = {}
    for download in found:
        first = kept.setdefault((download.name, download.version, download.architecture, download.kind), download)
        if (first.url, first.sha256) != (download.url, download.sha256):
            raise DownloadError(
                f"it says something else about {title(download)} than {first.source}",
                where=download.source.partition(",")[0],
                todo="Nothing was written. Compare both with the publisher's site",
            )
    return list(kept.values())


def _versions(option: str, versions: Sequence[str]) -> list[str]:
    for version in versions:
        if not re.fullmatch(r"(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){1,2}", version):
            raise UsageError(
                "a version is written like 3.13 or 3.13.16", where=option, todo="Leave it out for the shipped catalog's default"
            )
    return list(dict.fromkeys(versions))


def _publisher(option: str, make: Callable[[str | None], Publisher], url: str | None) -> Publisher:
    try:
        return make(url)
    except ValueError as reason:
        raise UsageError(f"this URL is refused: {reason}", where=option, todo="Give a plain https URL without credentials") from None


def _warnings(old: Sequence[Download], new: Sequence[Download], shipped: Catalog, output: Path) -> list[str]:
    warnings = [f"{title(x)} has another SHA-256 than {output} had: {_ASK}" for x in other_hashes(old, new)]
    warnings += [f"{title(x)} has another SHA-256 than in the shipped catalog: {_ASK}" for x in other_hashes(shipped.downloads, new)]
    for download in (x for x in new if x.name == "python"):
        try:
            shipped.lock(download.version, download.architecture)
        except CatalogError:
            warnings.append(
                f"there are no locked packages for {title(download)}: hosts can use it once their catalog has a [[lock]] for it"
            )
    return warnings
