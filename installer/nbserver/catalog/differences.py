"""The changes that an update makes to a site catalog, entry by entry, in readable form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

from nbserver.base.message import Message, message, phrase
from nbserver.catalog import windows_releases
from nbserver.catalog.choice import PROGRAMS, numbers
from nbserver.catalog.entries import Download

CHANGE_WORDS = ("added", "removed", "changed")


@dataclass(frozen=True)
class Difference:
    """An entry before and after the update. `old` is None if it was added, `new` is None if it was removed."""

    old: Download | None
    new: Download | None

    @property
    def change(self) -> str:
        """What happens to the entry: added, removed, or changed."""
        return "added" if self.old is None else "removed" if self.new is None else "changed"

    @property
    def program(self) -> str:
        """The program, version, and architecture of the entry."""
        return "".join(str(title(entry)) for entry in [self.new or self.old] if entry)

    def lines(self) -> list[str]:
        """Return a heading, then the removed (`-`) and added (`+`) values of each field."""
        before, after = _fields(self.old), _fields(self.new)
        found: list[str] = [phrase("{program}: {change}", program=self.program, change=phrase(self.change))]
        for key in dict.fromkeys([*before, *after]):
            if before.get(key) != after.get(key):
                found += [f"{sign} {key:<10} {side[key]}" for sign, side in (("-", before), ("+", after)) if key in side]
        return found

    def as_json(self) -> dict[str, object]:
        """Return the entry before and after, with its fields as text."""
        return {"program": self.program, "change": self.change, "before": _fields(self.old) or None, "after": _fields(self.new) or None}


def title(download: Download) -> Message:
    """Return the program, version, and architecture of an entry for a message."""
    return message(
        "program",
        "{program} {version} for {architecture}",
        program=PROGRAMS[download.name],
        version=download.version,
        architecture=download.architecture,
    )


def keep_sources(old: Iterable[Download], new: Iterable[Download]) -> list[Download]:
    """Return the new entries. An entry that equals an old one keeps its `source`, with the date it was first read."""
    known = {replace(download, source=""): download for download in old}
    return [known.get(replace(download, source=""), download) for download in new]


def differences(old: Sequence[Download], new: Sequence[Download]) -> list[Difference]:
    """Return pairs of entries that differ, matched by version, or else by branch (3.13)."""
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
    """Return (before, after) for each branch whose newest entry was newer before."""
    before, after = _newest(old), _newest(new)
    return [(before[key], after[key]) for key in before if key in after and numbers(before[key].version) > numbers(after[key].version)]


def other_hashes(known: Iterable[Download], new: Iterable[Download]) -> list[Download]:
    """Return new entries whose version is known with a different hash: a released file must not change."""
    hashes = {(x.name, x.architecture, x.kind, x.version): x.sha256 for x in known if x.sha256}
    return [x for x in new if hashes.get((x.name, x.architecture, x.kind, x.version), x.sha256) != x.sha256]


def branch(download: Download) -> tuple[int, ...]:
    """Return the branch as numbers: 3.13 for 3.13.16."""
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
