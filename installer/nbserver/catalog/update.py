"""`nbserver catalog update`: create a site catalog from the publishers' indexes, and show what changes."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from nbserver.base import atomic_file, folding
from nbserver.base.errors import CatalogError, DownloadError, UsageError
from nbserver.base.existing import exists
from nbserver.base.message import phrase
from nbserver.base.standard_streams import text_for_reader, warn
from nbserver.catalog import reader, site_catalog, windows_releases
from nbserver.catalog.catalog import Catalog
from nbserver.catalog.choice import PREFERRED, numbers
from nbserver.catalog.differences import Difference, branch, differences, downgrades, keep_sources, other_hashes, title
from nbserver.catalog.entries import Download
from nbserver.catalog.publisher import indexes, urls
from nbserver.catalog.publisher.download import LARGEST_INDEX, IndexDownload
from nbserver.catalog.publisher.index_json import Table, parse
from nbserver.catalog.publisher.urls import Publisher
from nbserver.settings.refusal import reason_of

Fetch = Callable[[str], bytes]
"""A function that returns the bytes at a URL; raises DownloadError."""

MOST_PAGES = 10
_ASK = phrase("a released file must not change. Ask the publisher before you use this entry")


@dataclass(frozen=True)
class Wanted:
    """The requested versions: "3.13" is the newest of a branch, "3.13.16" only this one. Without any, the shipped defaults.

    `python_base` and `openssl_index` are mirrors of the publishers' indexes, or None.
    """

    python: tuple[str, ...] = ()
    openssl: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ("x64",)
    python_base: str | None = None
    openssl_index: str | None = None


@dataclass(frozen=True)
class Update:
    """What would be written. Without differences, the file stays unchanged."""

    text: str
    differences: Sequence[Difference]
    warnings: Sequence[str]

    def lines(self, output: Path, written: bool) -> list[str]:
        """Return the differences and what became of the file, without the warnings."""
        if not self.differences:
            return [phrase("{file} is up to date", file=output)]
        done = phrase("{file} was written. Review it, then set catalog in the inventory", file=output)
        lines = [line for difference in self.differences for line in difference.lines()]
        return [*lines, done if written else phrase("{file} was not written (dry run)", file=output)]

    def as_json(self, output: Path, written: bool) -> dict[str, object]:
        """Return the answer for --json."""
        differences = [difference.as_json() for difference in self.differences]
        warnings = [str(warning) for warning in self.warnings]
        return {"event": "catalog", "file": str(output), "written": written, "differences": differences, "warnings": warnings}


def run(
    output: Path, wanted: Wanted, *, date: str, ca_file: Path | None, dry_run: bool, allow_downgrade: bool, as_json: bool = False
) -> int:
    """Update the file, print what changed, and return the exit code: 4 if a dry run found differences, else 0."""
    with IndexDownload(ca_file) as fetch:
        update = prepare(output, wanted, fetch, date=date, allow_downgrade=allow_downgrade)
    write = bool(update.differences) and not dry_run
    if write:
        _write(output, update.text)
    if as_json:
        click.echo(json.dumps(update.as_json(output, write)))
    else:
        for line in update.lines(output, write):
            click.echo(folding.for_stream(text_for_reader(line), sys.stdout))
        for warning in update.warnings:
            warn(warning)
    return 4 if update.differences and dry_run else 0


def _write(output: Path, text: str) -> None:
    try:
        mode = output.stat().st_mode & 0o777 if exists(output) else 0o644
        atomic_file.write_text(output, text, mode=mode)
    except OSError as error:
        raise UsageError(
            "catalog-not-written",
            "could not write the file ({reason})",
            where=str(output),
            todo="Choose another file with -o",
            reason=error.strerror,
        ) from None


def prepare(output: Path, wanted: Wanted, fetch: Fetch, *, date: str, allow_downgrade: bool) -> Update:
    """Read the existing file and the indexes; write nothing. `date` is YYYY-MM-DD.

    Raises CatalogError for the file, UsageError for the requested versions, DownloadError for an index.
    """
    shipped = reader.load()
    old = site_catalog.read(output) if os.path.exists(output) else []  # noqa: PTH110 (Path.exists raises PermissionError)
    new = keep_sources(old, newest(wanted, shipped, fetch, date))
    for before, after in () if allow_downgrade else downgrades(old, new):
        raise DownloadError(
            "index-downgrade",
            "the index offers {offered}, but {file} already has {version}",
            where=after.source.partition(",")[0],
            todo="The catalog was not written. An outdated index can withhold a security fix. To downgrade on purpose, add --allow-downgrade",
            offered=title(after),
            file=output,
            version=before.version,
        )
    return Update(site_catalog.text(new), differences(old, new), _warnings(old, new, shipped, output))


def newest(wanted: Wanted, shipped: Catalog, fetch: Fetch, date: str) -> list[Download]:
    """Return the entries for the requested versions, each version once. Raises UsageError and DownloadError."""
    pythons = _versions("--python", wanted.python or (shipped.default_python,))
    openssls = _versions("--openssl", wanted.openssl or (shipped.default_openssl,))
    python_org, slproweb = mirrors(wanted.python_base, wanted.openssl_index)
    found = [
        *newest_pythons(pythons, wanted.architectures, python_org, fetch, date),
        *newest_openssls(openssls, wanted.architectures, slproweb, fetch, date, shipped),
    ]
    return _once([_as_shipped(download, shipped) for download in found])


def mirrors(python_base: str | None, openssl_index: str | None) -> tuple[Publisher, Publisher]:
    """Return the publishers of Python and OpenSSL, or their mirrors. Raises UsageError for a URL that is not valid."""
    return (
        _publisher("--base-url-python", urls.python_org, python_base),
        _publisher("--openssl-index", urls.slproweb, openssl_index),
    )


def newest_pythons(
    versions: Sequence[str], architectures: Sequence[str], publisher: Publisher, fetch: Fetch, date: str
) -> Iterator[Download]:
    """Yield the newest release of each version or branch. Raises UsageError and DownloadError."""
    pages: dict[str, list[Table]] = {}
    for version in versions:
        name = f"{version}/windows-{version}.json" if version.count(".") == 2 else "index-windows.json"
        pages[name] = pages.get(name) or _pages(publisher.index + name, fetch)
        for architecture in architectures:
            yield indexes.python(pages[name], version, architecture, publisher, date)


def newest_openssls(
    versions: Sequence[str], architectures: Sequence[str], publisher: Publisher, fetch: Fetch, date: str, shipped: Catalog
) -> Iterator[Download]:
    """Yield the newest release of each version or branch. Raises UsageError and DownloadError."""
    index = parse(fetch(publisher.index), publisher.index)
    for version in versions:
        for architecture in architectures:
            yield indexes.openssl(index, version, architecture, publisher, date, _like(shipped, architecture))


def _like(shipped: Catalog, architecture: str) -> Download:
    """Return the OpenSSL of the shipped catalog. For arm64 it is an exe, because the install path of the msi is unknown."""
    fitting = [x for x in shipped.downloads if x.name == "openssl" and x.architecture == architecture and x.sha256]
    return min(fitting, key=lambda x: PREFERRED.index(x.kind))


def _as_shipped(download: Download, shipped: Catalog) -> Download:
    """Add what the indexes lack: the lowest Windows and the end of life, from the same branch in the shipped catalog."""

    def place(x: Download) -> tuple[object, ...]:
        return x.name, x.architecture, x.kind, branch(x)

    like = [x for x in shipped.downloads if place(x) == place(download)]
    lowest = max((x.windows for x in like), key=numbers, default=windows_releases.OLDEST)
    return replace(download, windows=lowest, end_of_life=any(x.end_of_life for x in like))


def _pages(url: str, fetch: Fetch) -> list[Table]:
    """Return the pages of an index of python.org: `next` is the following page."""
    pages: list[Table] = []
    size = 0
    while True:
        content = fetch(url)
        size += len(content)
        if size > LARGEST_INDEX:
            raise Table(url, "", {}).refuse("index-too-large", "the index is larger than {limit} MB", limit=LARGEST_INDEX // 1024 // 1024)
        page = parse(content, url)
        pages.append(page)
        if not page.values.get("next"):
            return pages
        try:
            url = urls.next_page(url, page.text("next"))
        except ValueError as reason:
            raise page.refuse("index-next-invalid", "the key next is not a valid URL: {reason}", reason=reason_of(reason)) from None
        if len(pages) == MOST_PAGES or url in (known.url for known in pages):
            raise page.refuse(
                "index-too-many-pages", "the index has more than {limit} pages, or next points to a previous page", limit=MOST_PAGES
            )


def _once(found: Sequence[Download]) -> list[Download]:
    """Remove duplicates: 3.13 and 3.13.16 can be the same file. Entries that contradict each other are refused."""
    kept: dict[tuple[str, ...], Download] = {}
    for download in found:
        first = kept.setdefault((download.name, download.version, download.architecture, download.kind), download)
        if (first.url, first.sha256) != (download.url, download.sha256):
            raise DownloadError(
                "index-sources-differ",
                "the entry for {download} differs from the one in {source}",
                where=download.source.partition(",")[0],
                todo="The catalog was not written. Compare both entries with the publisher's website",
                download=title(download),
                source=first.source,
            )
    return list(kept.values())


def _versions(option: str, versions: Sequence[str]) -> list[str]:
    for version in versions:
        if not re.fullmatch(r"(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){1,2}", version):
            raise UsageError(
                "version-option-malformed",
                "expected a version such as 3.13 or 3.13.16",
                where=option,
                todo="Omit the option to use the default from the shipped catalog",
            )
    return list(dict.fromkeys(versions))


def _publisher(option: str, make: Callable[[str | None], Publisher], url: str | None) -> Publisher:
    try:
        return make(url)
    except ValueError as reason:
        raise UsageError(
            "url-option-invalid",
            "the URL is not valid: {reason}",
            where=option,
            todo="Use a plain HTTPS URL without credentials",
            reason=reason_of(reason),
        ) from None


def _warnings(old: Sequence[Download], new: Sequence[Download], shipped: Catalog, output: Path) -> list[str]:
    warnings: list[str] = [
        phrase("{program} has a different SHA-256 than before in {file}: {advice}", program=title(x), file=output, advice=_ASK)
        for x in other_hashes(old, new)
    ]
    warnings += [
        phrase("{program} has a different SHA-256 than in the shipped catalog: {advice}", program=title(x), advice=_ASK)
        for x in other_hashes(shipped.downloads, new)
    ]
    for download in (x for x in new if x.name == "python"):
        try:
            shipped.lock(download.version, download.architecture)
        except CatalogError:
            warnings.append(
                phrase(
                    "there is no lock for {program}; hosts cannot use it until their catalog has a [[lock]] for it", program=title(download)
                )
            )
    return warnings
