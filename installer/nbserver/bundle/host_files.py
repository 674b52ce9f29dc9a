"""The files of a bundle that a host needs, for hosts to which nbserver sends them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base.errors import ApprovalError
from nbserver.base.message import Lines, Message, message
from nbserver.bundle import approval, check, wanted
from nbserver.bundle.approval import Demand
from nbserver.bundle.contents import File
from nbserver.bundle.wanted import LockedPackages, Packages, Pin, Program

if TYPE_CHECKING:
    from nbserver.render.script import Script

_SHOWN = 20  # messages about what a bundle lacks


class HostFiles:
    """Finds the files of hosts. Each bundle is checked once, and packages of hosts that have the same lock are chosen once.

    `demand` says whether a bundle must be approved.
    """

    def __init__(self, demand: Demand) -> None:
        self._demand = demand
        self._bundles: dict[Path, tuple[File, ...]] = {}
        self._packages = LockedPackages()

    def of(self, script: Script, bundle: Path) -> tuple[File, ...]:
        """Return the files in the bundle that the script of a host accepts. Their names are different.

        Raises ApprovalError if the bundle is not as listed, or lacks something, or an approval.
        """
        if bundle not in self._bundles:
            listed = check.require(bundle)
            approval.require(bundle, listed.sha256, self._demand)
            self._bundles[bundle] = listed.files
        files = self._bundles[bundle]
        programs = wanted.programs(script)
        packages = self._packages.of(script)
        lacks = lacking(files, programs, packages)
        if lacks:
            raise ApprovalError(
                "bundle-lacks-files",
                "the bundle is incomplete for {name}: {findings}",
                where=str(bundle),
                todo="Run nbserver download {name} -o {bundle}",
                name=script.host,
                bundle=str(bundle),
                findings=Lines(lacks[:_SHOWN], "; "),
            )
        paths = {one.path for sources in programs for one in sources}
        found = [one for one in files if one.path in paths]
        for kind in packages:
            found += kind.chosen(files)
        return tuple({one.file: one for one in found}.values())


def lacking(files: Iterable[File], programs: Iterable[Program], packages: Iterable[Packages]) -> list[Message]:
    """Return a message for each program and package that is not among the files of a bundle."""
    files = tuple(files)
    paths = {one.path for one in files}
    missing: dict[str, Message] = {}
    for sources in programs:
        one = sources[0]
        if not any(source.path in paths for source in sources):
            text = f"{one.name} {one.version}"
            missing[text] = message("bundle-lacks-program", "the bundle lacks {program} ({file})", program=text, file=one.file)
    for kind in packages:
        for pin in kind.lacking(files):
            missing.setdefault(str(pin), _without_wheel(pin, kind))
    return list(missing.values())


def _without_wheel(pin: Pin, packages: Packages) -> Message:
    return message("bundle-lacks-package", "the bundle has no wheel for {package} on {kind}", package=str(pin), kind=str(packages.kind))
