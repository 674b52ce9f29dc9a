"""Choose the catalog entry for a host by its processor, its Windows release, and the version in the inventory.

Pure functions. They raise CatalogError, which says what to set instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from nbserver.base.errors import CatalogError
from nbserver.catalog import windows_releases
from nbserver.catalog.entries import Download

PROGRAMS = {"python": "Python", "openssl": "OpenSSL", "vc_redist": "the Visual C++ redistributable"}
PREFERRED = ("zip", "msi", "exe")  # for equal versions; an exe is only chosen if it is requested or the only kind


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
        return f"{PROGRAMS[self.name]} {self.prefix} for {self.architecture}" + (f" as {self.kind}" if self.kind else "")


def choose(downloads: Iterable[Download], wanted: Requirement) -> Download:
    """Return the highest verified version with this prefix that runs on the host ("3.1" does not match 3.13)."""
    entries = _of_the_host(downloads, wanted)
    fitting = [entry for entry in entries if _asked_for(entry, wanted) and begins(entry.version, wanted.prefix)]
    running = [entry for entry in fitting if runs(entry, wanted)]
    living = [entry for entry in running if wanted.accept_end_of_life or not entry.end_of_life]
    living = [entry for entry in living if entry.kind != "exe"] or living
    verified = [entry for entry in living if entry.sha256]
    if verified:
        return _best(verified)
    if living:
        what = f"{wanted} is unverified: the catalog has {_versions(living)}, but not its hash from the publisher"
        raise _refusal(what, entries, wanted, first="add an entry with the hash from the publisher to a site catalog")
    if running:
        raise _ended(running, entries, wanted)
    if fitting:
        raise _too_new(fitting, entries, wanted)
    raise _refusal(f"{wanted} is not in the catalog", entries, wanted, last="add it to a site catalog")


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
    return _best([entry for entry in living if entry.kind != "exe"] or living)


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


def _best(entries: Sequence[Download]) -> Download:
    return max(entries, key=lambda entry: (numbers(entry.version), -PREFERRED.index(entry.kind)))


def _ended(ended: Sequence[Download], entries: Sequence[Download], wanted: Requirement) -> CatalogError:
    what = f"{PROGRAMS[wanted.name]} {_versions(ended)} for {wanted.architecture} no longer receives security fixes"
    return _refusal(what, entries, wanted, first="to use it anyway, set accept_end_of_life = true in the inventory")


def _too_new(fitting: Sequence[Download], entries: Sequence[Download], wanted: Requirement) -> CatalogError:
    needed = min((entry.windows for entry in fitting), key=numbers)
    if wanted.windows:
        configured = f'the inventory has windows = "{wanted.windows}"'
        last = "if the host runs a newer release, correct windows in the inventory"
    else:
        configured = f"the inventory does not set windows, so the host could run {windows_releases.title(windows_releases.OLDEST)}"
        last = "if the host runs a newer release, set windows in the inventory"
    return _refusal(f"{wanted} requires {windows_releases.title(needed)} or newer, but {configured}", entries, wanted, last=last)


def _refusal(what: str, entries: Sequence[Download], wanted: Requirement, *, first: str = "", last: str = "") -> CatalogError:
    usable = [x for x in entries if x.sha256 and runs(x, wanted) and (wanted.accept_end_of_life or not x.end_of_life)]
    like_it = [x for x in usable if _asked_for(x, wanted)]
    choice = f"set {wanted.name}.version to one of: {_versions(like_it or usable)}" if usable and wanted.name != "vc_redist" else ""
    if choice and not like_it:
        choice = f"remove {wanted.name}.kind and {choice}"
    todo = ", or ".join(filter(None, (first, choice, last)))
    return CatalogError(what, where="catalog", todo=todo[:1].upper() + todo[1:])


def _versions(entries: Iterable[Download]) -> str:
    return ", ".join(sorted({entry.version for entry in entries}, key=numbers))
