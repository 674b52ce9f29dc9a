"""Known vulnerabilities of packages: records in the format of OSV, from files that are read without a network.

A file is one record, an array of records, or a zip of such files, as OSV publishes them for a whole ecosystem.
"""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from nbserver.base.errors import UsageError
from nbserver.base.message import DescribedError
from nbserver.base.plain_text import clean
from nbserver.settings.refusal import reason_of

ECOSYSTEM = "PyPI"  # how OSV names the packages of Python
LARGEST_FILE = 512 * 1024 * 1024
LARGEST_RECORD = 16 * 1024 * 1024
MOST_RECORDS = 500_000
_LONGEST_ID = 100


@dataclass(frozen=True)
class Vulnerability:
    """What is known about one version of a package. `ids` has all its identifiers; `fixed` is the first version without it."""

    ids: tuple[str, ...]
    summary: str
    fixed: str | None


@dataclass(frozen=True)
class _Affected:
    ids: tuple[str, ...]
    summary: str
    versions: frozenset[str]
    ranges: tuple[tuple[tuple[str, str], ...], ...]


@dataclass
class Records:
    """`count` records were read. `affected` has those of Python packages, by the name of the package."""

    count: int = 0
    affected: dict[str, list[_Affected]] = field(default_factory=dict)

    def of(self, name: str, version: str) -> list[Vulnerability]:
        """Return the vulnerabilities of a version. Records of the same one, with an identifier in common, are one."""
        found: list[Vulnerability] = []
        for record in self.affected.get(canonicalize_name(name), ()):
            if not _is_affected(record, version):
                continue
            new = Vulnerability(record.ids, record.summary, _fixed(record, version))
            same = [one for one in found if set(one.ids) & set(record.ids)]
            found = [one for one in found if one not in same]
            found.append(_joined([*same, new]))
        return sorted(found, key=lambda one: one.ids)


def load(paths: Iterable[Path]) -> Records:
    """Read the files. Raises UsageError for a file that cannot be read, is too large, or is not in the format."""
    records = Records()
    for path in paths:
        try:
            for value in _values(path):
                _add(records, value)
        except OSError as error:
            raise UsageError(
                "osv-unreadable",
                "could not read the file: {reason}",
                todo="Check that the file exists and that you can read it",
                where=str(path),
                reason=error.strerror or type(error).__name__,
            ) from None
        except (ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError, RecursionError, EOFError) as error:
            raise UsageError(
                "osv-invalid",
                "the file does not contain valid OSV data: {reason}",
                where=str(path),
                todo="Specify a JSON file in OSV format, or a zip file of such files",
                reason=reason_of(error) if isinstance(error, DescribedError) else clean(str(error) or type(error).__name__, 200),
            ) from None
    return records


def _values(path: Path) -> Iterator[Any]:
    info = path.stat()
    if not stat.S_ISREG(info.st_mode):  # to open a FIFO would wait for a writer
        raise DescribedError("osv-not-a-file", "expected a regular file")
    if info.st_size > LARGEST_FILE:
        raise DescribedError("osv-too-large", "the file is larger than {limit} MB", limit=LARGEST_FILE // 1024 // 1024)
    with path.open("rb") as file:
        begin = file.read(4)
        file.seek(0)
        if begin == b"PK\3\4":
            yield from _zipped(file)
        else:
            yield from _records(file.read(LARGEST_FILE + 1), "the file")


def _zipped(file: Any) -> Iterator[Any]:
    """Yield the records. The sizes in a zip's directory may be wrong, so no more than the limit is unpacked."""
    with zipfile.ZipFile(file) as archive:
        names = [info for info in archive.infolist() if info.filename.endswith(".json")]
        if not names:
            raise DescribedError("osv-zip-empty", "the zip contains no .json files")
        if len(names) > MOST_RECORDS:
            raise DescribedError("osv-too-many", "the zip contains more than {limit} records", limit=MOST_RECORDS)
        whole = 0
        for info in names:
            with archive.open(info) as entry:
                data = entry.read(LARGEST_RECORD + 1)
            whole += len(data)
            name = clean(info.filename, 200)
            if len(data) > LARGEST_RECORD:
                limit = LARGEST_RECORD // 1024 // 1024
                raise DescribedError("osv-entry-too-large", "the entry {name} of the zip is larger than {limit} MB", name=name, limit=limit)
            if whole > 8 * LARGEST_FILE:
                limit = 8 * LARGEST_FILE // 1024 // 1024
                raise DescribedError("osv-zip-too-large", "the entries of the zip are larger than {limit} MB in total", limit=limit)
            yield from _records(data, name)


def _records(data: bytes, name: str) -> Iterator[Any]:
    try:
        value = json.load(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig"))
    except (ValueError, RecursionError):
        raise DescribedError("osv-not-json", "{name} is not valid JSON", name=name) from None
    yield from value if isinstance(value, list) else [value]


def _add(records: Records, value: Any) -> None:
    """Add a record. Raises ValueError for what is not one; a record of another ecosystem, or one that was withdrawn, counts only."""
    if not isinstance(value, dict) or not _is_id(value.get("id")) or not isinstance(value.get("affected"), (list, type(None))):
        raise DescribedError("osv-not-a-record", 'each record must have the key "id", and its key "affected" must be an array')
    records.count += 1
    if records.count > MOST_RECORDS:
        raise DescribedError("osv-too-many", "the zip contains more than {limit} records", limit=MOST_RECORDS)
    if value.get("withdrawn"):
        return
    aliases = value.get("aliases") or []
    ids = (value["id"], *sorted({one for one in aliases if _is_id(one)} - {value["id"]})) if isinstance(aliases, list) else (value["id"],)
    summary = value.get("summary")
    said = clean(summary, 200) if isinstance(summary, str) else ""
    for entry in value.get("affected") or []:
        package = entry.get("package") if isinstance(entry, dict) else None
        if not isinstance(package, dict) or package.get("ecosystem") != ECOSYSTEM or not isinstance(package.get("name"), str):
            continue
        versions = entry.get("versions") or []
        listed = frozenset(one for one in versions if isinstance(one, str)) if isinstance(versions, list) else frozenset[str]()
        affected = _Affected(ids, said, listed, tuple(_ranges(entry.get("ranges"))))
        records.affected.setdefault(canonicalize_name(package["name"]), []).append(affected)


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_ID and value.isascii() and value.isprintable() and " " not in value


def _ranges(value: object) -> Iterator[tuple[tuple[str, str], ...]]:
    """Yield the events of each range of versions. Ranges of commits are for repositories, not for packages."""
    for one in value if isinstance(value, list) else []:
        events = one.get("events") if isinstance(one, dict) and one.get("type") in ("ECOSYSTEM", "SEMVER") else None
        if isinstance(events, list):
            yield tuple(
                (kind, version)
                for event in events
                if isinstance(event, dict)
                for kind, version in event.items()
                if kind in ("introduced", "fixed", "last_affected", "limit") and isinstance(version, str)
            )


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None


def _is_affected(record: _Affected, version: str) -> bool:
    """Evaluate a record as its format says. A version that cannot be compared counts as affected from where it is introduced."""
    if version in record.versions:
        return True
    own = _version(version)
    if own is None:
        return False
    if any(_version(one) == own for one in record.versions):
        return True
    return any(_in_range(events, own) for events in record.ranges)


def _in_range(events: tuple[tuple[str, str], ...], own: Version) -> bool:
    affected = False
    # What ends a range comes after what begins one at the same version.
    order = sorted(
        ((_version(version) if version != "0" else None, kind != "introduced", kind, version) for kind, version in events),
        key=lambda one: (one[0] is not None, one[0] or Version("0"), one[1]),
    )
    for at, _, kind, version in order:
        if at is None and version != "0":
            continue  # not a version of Python
        if kind == "introduced":
            affected = affected or at is None or own >= at
        elif (kind in ("fixed", "limit") and at is not None and own >= at) or (kind == "last_affected" and at is not None and own > at):
            affected = False
    return affected


def _fixed(record: _Affected, version: str) -> str | None:
    """Return the first version in which it is fixed, and which is newer than this one."""
    own = _version(version)
    fixed = [found for events in record.ranges for kind, text in events if kind == "fixed" and (found := _version(text))]
    newer = [one for one in fixed if own is not None and one > own]
    return str(min(newer)) if newer else None


def _joined(same: list[Vulnerability]) -> Vulnerability:
    ids = tuple(sorted({one for each in same for one in each.ids}))
    fixed = [Version(each.fixed) for each in same if each.fixed]
    return Vulnerability(ids, next((each.summary for each in same if each.summary), ""), str(max(fixed)) if fixed else None)
