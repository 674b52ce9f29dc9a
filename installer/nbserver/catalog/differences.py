"""What an update changes in a site catalog, entry by entry, in words for a person."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from nbserver.catalog import windows_releases
from nbserver.catalog.choice import PROGRAMS, numbers
from nbserver.catalog.entries import Download


@dataclass(frozen=True)
class Difference:
    """An entry before and after; None before it was added, or after it was removed."""

    old: Download | None
    new: Download | None

    def lines(self) -> list[str]:
        """A heading, then what goes (`-`) and what comes (`+`), field by field."""
        what = "added" if self.old is None else "removed" if self.new is None else "changed"
        before, after = _fields(self.old), _fields(self.new)
        found = [f"{title(self.new or self.old)}: {what}"]
        for key in dict.fromkeys([*before, *after]):
            if before.get(key) != after.get(key):
                found += [f"{sign} {key:<10} {side[key]}" for sign, side in (("-", before), ("+", after)) if key in side]
        return found


def title(download: Download | None) -> str:
    return f"{PROGRAMS[download.name]} {download.version} for {download.architecture}" if download else ""


def keep_sources(old: Iterable[Download], new: Iterable[Download]) -> list[Download]:
    """The new entries; one that says the same as an old one stays as it was, with the day on which it was read first."""
    known = {replace(download, source=""): download for download in old}
    return [known.get(replace(download, source=""), download) for download in new]


def differences(old: Sequence[Download], new: Sequence[Download]) -> list[Difference]:
    """Pairs of entries that differ. An entry is paired with the one of its version, else with one of its branch (3.13)."""
    going = [download for download in old if download not in new]
    coming = [download for download in new if download not in old]
    pairs: list[tuple[Download, Download]] = []
    for same in (
        lambda x: (x.name, x.architecture, x.kind, x.version),
        lambda x: (x.name, x.architecture, x.kind, branch(x)),
        lambda x: (x.name, x.architecture, branch(x)),
    ):
        for download in list(coming):
            before = next((other for other in going if same(other) == same(download)), None)
            if before:
                pairs.append((before, download))
                going.remove(before)
                coming.remove(download)
    return [
        *(Difference(before, after) for before, after in pairs),
        *(Difference(None, download) for download in coming),
        *(Difference(download, None) for download in going),
    ]


def downgrades(old: Iterable[Download], new: Iterable[Download]) -> list[tuple[Download, Download]]:
    """(before, after) where the newest entry of a branch was newer before than the newest now."""
    before, after = _newest(old), _newest(new)
    return [(before[key], after[key]) for key in before if key in after and numbers(before[key].version) > numbers(after[key].version)]


def other_hashes(known: Iterable[Download], new: Iterable[Download]) -> list[Download]:
    """New entries for a file whose version is known, with another hash: a released file does not change by itself."""
    hashes = {(x.name, x.architecture, x.kind, x.version): x.sha256 for x in known if x.sha256}
    return [x for x in new if hashes.get((x.name, x.architecture, x.kind, x.version), x.sha256) != x.sha256]


def branch(download: Download) -> tuple[int, ...]:
    """3.13 of 3.13.16, as numbers."""
    return numbers(download.version)[:2]


def _newest(downloads: Iterable[Download]) -> dict[tuple[str, str, tuple[int, ...]], Download]:
    newest: dict[tuple[str, str, tuple[int, ...]], Download] = {}
    for download in sorted(downloads, key=lambda x: numbers(x.version)):
        newest[download.name, download.architecture, branch(download)] = download
    return newest


def _fields(download: Download | None) -> dict[str, str]:
    if download is None:
        return {}
    fields = {**asdict(download), "executable": ", ".join(download.executable)}
    if download.windows == windows_releases.OLDEST:
        del fields["windows"]
    return {key: str(value) for key, value in fields.items() if value and key not in ("name", "architecture")}
