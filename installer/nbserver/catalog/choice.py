"""Choose the catalog entry for a host by its processor, its Windows release, and the version in the inventory.

Pure functions. They raise CatalogError, which says what to set instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from nbserver.base.errors import CatalogError
from nbserver.base.message import Described, Lines, Message, message
from nbserver.catalog import windows_releases
from nbserver.catalog.entries import Download

PROGRAMS = {"python": "Python", "openssl": "OpenSSL", "vc_redist": "the Visual C++ redistributable"}
PREFERRED = ("zip", "msi", "exe")  # for equal versions


@dataclass(frozen=True)
class Requirement:
    """`prefix` is a version or version prefix; `windows` and `kind` are as in the inventory, None if not set."""

    name: str
    prefix: str
    architecture: str
    kind: str | None = None
    windows: str | None = None
    accept_end_of_life: bool = False

    def __str__(self) -> str:
        return str(self.described())

    def described(self) -> Message:
        """Return the requirement for a message."""
        program = PROGRAMS[self.name]
        if self.kind:
            return message(
                "program-of-kind",
                "{program} {version} for {architecture} ({kind})",
                program=program,
                version=self.prefix,
                architecture=self.architecture,
                kind=self.kind,
            )
        return message(
            "program", "{program} {version} for {architecture}", program=program, version=self.prefix, architecture=self.architecture
        )


def choose(downloads: Iterable[Download], wanted: Requirement) -> Download:
    """Return the highest verified version with this prefix that runs on the host ("3.1" does not match 3.13)."""
    entries = _of_the_host(downloads, wanted)
    fitting = [entry for entry in entries if _asked_for(entry, wanted) and begins(entry.version, wanted.prefix)]
    running = [entry for entry in fitting if runs(entry, wanted)]
    living = [entry for entry in running if wanted.accept_end_of_life or not entry.end_of_life]
    living = _of_preferred_kind(living, wanted)
    verified = [entry for entry in living if entry.sha256]
    if verified:
        return _best(verified)
    if living:
        add = message("add-verified-entry", "add an entry with the publisher's hash to a site catalog")
        raise CatalogError(
            "program-unverified",
            "{program} is unverified: the catalog has {versions}, but without the publisher's hash",
            where="catalog",
            todo="{ways}",
            program=wanted.described(),
            versions=_versions(living),
            ways=_Ways([add, *_other_versions(entries, wanted)]),
        )
    if running:
        raise _ended(running, entries, wanted)
    if fitting:
        raise _too_new(fitting, entries, wanted)
    add = message("add-entry", "add an entry for {program} to a site catalog", program=wanted.described())
    raise CatalogError(
        "program-not-in-catalog",
        "{program} is not in the catalog",
        where="catalog",
        todo="{ways}",
        program=wanted.described(),
        ways=_Ways([*_other_versions(entries, wanted), add]),
    )


def choose_default(downloads: Iterable[Download], wanted: Requirement, has_lock: Callable[[Download], bool]) -> Download:
    """Return the default (`wanted.prefix`), or the highest verified version with a lock if Windows is too old for it."""
    entries = _of_the_host(downloads, wanted)
    fitting = [entry for entry in entries if _asked_for(entry, wanted) and begins(entry.version, wanted.prefix)]
    older = [entry for entry in entries if _asked_for(entry, wanted) and runs(entry, wanted) and entry.sha256 and has_lock(entry)]
    if not fitting or any(runs(entry, wanted) for entry in fitting) or not older:
        return choose(entries, wanted)
    living = [entry for entry in older if wanted.accept_end_of_life or not entry.end_of_life]
    if not living:
        raise _ended(older, entries, wanted)
    return _best(_of_preferred_kind(living, wanted))


def runs(entry: Download, wanted: Requirement) -> bool:
    """Return whether the entry supports the Windows release of the host."""
    return numbers(entry.windows) <= numbers(windows_releases.version(wanted.windows))


def suits(entry: Download, wanted: Requirement) -> bool:
    """Return whether an entry is the program for the processor of the host and supports its Windows release."""
    return (entry.name, entry.architecture) == (wanted.name, wanted.architecture) and runs(entry, wanted)


def numbers(version: str) -> tuple[int, ...]:
    """Return a version as numbers for comparison: "3.13.9" -> (3, 13, 9)."""
    return tuple(int(part) for part in version.split("."))


def begins(version: str, prefix: str) -> bool:
    """Return whether a version has a prefix: "3.13.9" has "3.13", but not "3.1"."""
    return numbers(version)[: len(numbers(prefix))] == numbers(prefix)


def _of_the_host(downloads: Iterable[Download], wanted: Requirement) -> list[Download]:
    return [entry for entry in downloads if (entry.name, entry.architecture) == (wanted.name, wanted.architecture)]


def _asked_for(entry: Download, wanted: Requirement) -> bool:
    return wanted.kind in (None, entry.kind)


def _of_preferred_kind(entries: list[Download], wanted: Requirement) -> list[Download]:
    """Return all entries of Python: its newest version counts, whatever its kind. An exe of OpenSSL is only used if there is nothing else."""
    if wanted.name == "python":
        return entries
    return [entry for entry in entries if entry.kind != "exe"] or entries


def _best(entries: Sequence[Download]) -> Download:
    return max(entries, key=lambda entry: (numbers(entry.version), -PREFERRED.index(entry.kind)))


def _ended(ended: Sequence[Download], entries: Sequence[Download], wanted: Requirement) -> CatalogError:
    accept = message("accept-end-of-life", "to use a version without security fixes, set accept_end_of_life = true in the inventory")
    return CatalogError(
        "program-ended",
        "{program} {versions} for {architecture} no longer receives security fixes",
        where="catalog",
        todo="{ways}",
        program=PROGRAMS[wanted.name],
        versions=_versions(ended),
        architecture=wanted.architecture,
        ways=_Ways([accept, *_other_versions(entries, wanted)]),
    )


def _too_new(fitting: Sequence[Download], entries: Sequence[Download], wanted: Requirement) -> CatalogError:
    needed = min((entry.windows for entry in fitting), key=numbers)
    if wanted.windows:
        return CatalogError(
            "windows-too-old",
            '{program} requires {needed} or newer, but the inventory has windows = "{windows}"',
            where="catalog",
            todo="{ways}",
            program=wanted.described(),
            needed=windows_releases.title(needed),
            windows=wanted.windows,
            ways=_Ways(
                [
                    *_other_versions(entries, wanted),
                    message("correct-windows", "if the host runs a newer Windows release, update the setting windows in the inventory"),
                ]
            ),
        )
    return CatalogError(
        "windows-not-set",
        "{program} requires {needed} or newer, but the inventory does not set windows, so the host could run {oldest}",
        where="catalog",
        todo="{ways}",
        program=wanted.described(),
        needed=windows_releases.title(needed),
        oldest=windows_releases.title(windows_releases.OLDEST),
        ways=_Ways(
            [
                *_other_versions(entries, wanted),
                message("set-windows", "if the host runs a newer Windows release, set windows in the inventory"),
            ]
        ),
    )


class _Ways(Lines):
    """Alternatives, each a clause. They begin a sentence."""

    def __init__(self, messages: Sequence[Described]) -> None:
        super().__init__(messages, ", or ")

    def __str__(self) -> str:
        text = super().__str__()
        return text[:1].upper() + text[1:]


def _other_versions(entries: Sequence[Download], wanted: Requirement) -> list[Message]:
    """Return the advice to set a version that can be used, if there is one."""
    usable = [x for x in entries if x.sha256 and runs(x, wanted) and (wanted.accept_end_of_life or not x.end_of_life)]
    like_it = [x for x in usable if _asked_for(x, wanted)]
    if not usable or wanted.name == "vc_redist":
        return []
    versions = _versions(like_it or usable)
    if like_it:
        return [
            message("set-version", "set {program}.version to an available version ({versions})", program=wanted.name, versions=versions)
        ]
    return [
        message(
            "set-version-without-kind",
            "remove {program}.kind and set {program}.version to an available version ({versions})",
            program=wanted.name,
            versions=versions,
        )
    ]


def _versions(entries: Iterable[Download]) -> str:
    return ", ".join(sorted({entry.version for entry in entries}, key=numbers))
