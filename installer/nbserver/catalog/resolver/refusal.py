"""Why packages could not be resolved, as one message: the index, a package without a wheel, or packages that exclude each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from nbserver.base.errors import CatalogError, DownloadError, NbserverError
from nbserver.base.message import Described, Lines, message
from nbserver.catalog.lock_kind import LockKind
from nbserver.catalog.package_request import PackageRequest
from nbserver.catalog.resolver.uv import Unresolved, Uv

_MOST_VERSIONS = 3
_STATUS = re.compile(r"\b(401 Unauthorized|403 Forbidden|407 Proxy Authentication Required)")
_SERVER = "notebook"  # a package that every index for nbserver has


def explain(failure: Unresolved, uv: Uv, request: PackageRequest, kind: LockKind) -> NbserverError:
    """Return the error to raise for a kind whose Python is known."""
    index = _index(uv)
    status = _STATUS.search(failure.text)
    if status:
        return _refused(status[1], index)
    if "error: No solution found" not in failure.text:
        return _unreachable(failure.text, index)
    if not list(_versions(uv, _SERVER, kind, most=1)):
        return DownloadError(
            "index-without-packages",
            "{index} has no wheel for {package} on {kind}: it is not a package index, it is incomplete, or a proxy returned a web page instead",
            todo="Correct packages.index_url, and check the workstation's proxy",
            index=index,
            package=_SERVER,
            kind=str(kind),
        )
    faults = [fault for text in request.packages if (fault := _without_wheel(uv, text, kind))]
    if faults:
        return CatalogError(
            "packages-without-wheel",
            "some packages cannot be installed on these hosts: {faults}",
            where=str(kind),
            todo="Choose a version with a compatible wheel, remove the package, or set a different python.version for these hosts",
            faults=Lines(faults, "; "),
        )
    return CatalogError(
        "packages-conflict",
        "the packages cannot be installed together: {reason}",
        where=str(kind),
        todo="Change packages.include, packages.requirements, packages.constraints, or python.version",
        reason=_cause(failure.text),
    )


def _index(uv: Uv) -> Described:
    if uv.index_url:
        return message("index-of-site", "the package index {url}", url=uv.index_url)
    return message("index-default", "the default package index")


def _refused(status: str, index: Described) -> NbserverError:
    if status.startswith("407"):
        return DownloadError(
            "index-proxy-login",
            "the workstation's proxy requires a login (HTTP status {status})",
            todo="Set HTTPS_PROXY to a URL that includes the user name and password",
            status=status,
        )
    return DownloadError(
        "index-refused",
        "{index} refused the request (HTTP status {status})",
        todo="Correct packages.index_url, packages.index_user, and packages.index_password",
        index=index,
        status=status,
    )


def _unreachable(text: str, index: Described) -> NbserverError:
    causes = re.findall(r"cause: (.+)", text) or text.strip().splitlines()[-1:]
    return DownloadError(
        "index-unreachable",
        "could not read {index}: {reason}",
        todo="Check the network and the proxy (HTTPS_PROXY), then try again",
        index=index,
        reason=str(causes[-1])[:300] if causes else "uv failed",
    )


def _without_wheel(uv: Uv, text: str, kind: LockKind) -> Described | None:
    """Return what is wrong with one package alone, or None if it can be installed."""
    from packaging.requirements import Requirement

    try:
        uv.resolve([text], kind, dependencies=False)
    except Unresolved as failure:
        versions = list(_versions(uv, Requirement(text).name, kind))
        if versions:
            return message(
                "package-without-wheel",
                "no wheel for {package} is compatible with these hosts; versions with a compatible wheel: {versions}",
                package=text,
                versions=", ".join(versions),
            )
        if re.search(r"not found in the package registry", failure.text):
            return message("package-unknown", "the package index has no package named {package}", package=text)
        return message("package-without-any-wheel", "no version of {package} has a wheel that is compatible with these hosts", package=text)
    return None


def _versions(uv: Uv, name: str, kind: LockKind, *, most: int = _MOST_VERSIONS) -> Iterator[str]:
    """Yield the newest versions of a package that have a wheel for the kind."""
    unconstrained = replace(uv, constraints=())
    wanted = name
    for _ in range(most):
        try:
            found = unconstrained.resolve([wanted], kind, dependencies=False)
        except Unresolved:
            return
        version = next((one.version for one in found), None)
        if version is None:
            return
        yield version
        wanted = f"{name}<{version}"


def _cause(text: str) -> str:
    """Return what uv says, in one line."""
    lines: Sequence[str] = [line.strip().removeprefix("cause: ") for line in text.splitlines() if line.strip()]
    return " ".join(line for line in lines if not line.startswith(("error:", "hint:")))[:1500].rstrip(".")
