"""Ask the package index where the wheels of a lock are. Their hashes are those of the lock, whatever the index says."""

from __future__ import annotations

from collections.abc import Iterable

from nbserver.base.errors import CatalogError, DownloadError
from nbserver.bundle.contents import File
from nbserver.bundle.wanted import Packages, Pin
from nbserver.catalog.mirror import file_of
from nbserver.catalog.package_request import PackageRequest
from nbserver.catalog.resolver import refusal, wheels
from nbserver.catalog.resolver.uv import Unresolved, Uv


def located(packages: Packages, pins: Iterable[Pin], uv: Uv) -> list[File]:
    """Return the wheels of these packages that a host of the kind can install. Raises CatalogError and DownloadError."""
    wanted = {pin.name: pin for pin in pins}
    names = tuple(map(str, wanted.values()))
    try:
        found = uv.resolve(names, packages.kind.for_python(packages.release), dependencies=False)
    except Unresolved as failure:
        raise refusal.explain(failure, uv, PackageRequest(names, (), ()), packages.kind) from None
    files = []
    for package in found:
        pin = wanted[package.name]
        fitting = {*wheels.fitting(package, packages.kind)} & pin.sha256
        chosen = {one.sha256: one for one in package.files if one.sha256 in fitting}
        if not chosen:
            raise CatalogError(
                "index-without-locked-wheel",
                "the index has no wheel for {package} that matches a hash in the lock",
                where=packages.host,
                todo="Set packages.index_url to an index that has the wheels in the lock",
                package=str(pin),
            )
        for one in chosen.values():
            files.append(File("wheel", package.name, package.version, _name(one.file, one.url), one.sha256, one.size, one.url))
    return files


def _name(file: str, url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise DownloadError(
            "index-not-on-the-web",
            "the package index provides {file} from a folder instead of a URL",
            todo="Set packages.index_url to an index with an https or http URL",
            file=file,
        )
    return file_of(file)
