"""Where the files are below the URL of a mirror, and in a bundle: by their hashes."""

from __future__ import annotations

import re

from nbserver.base.errors import CatalogError
from nbserver.base.message import DescribedError, cause

FILES = "files"
PAGE = "wheels.html"
"""The page with a link to each wheel, which pip and uv read with --find-links."""
FILE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._+!-]{0,178}[A-Za-z0-9])?")


def path_of(sha256: str, file: str) -> str:
    """Return the path of a file in each bundle that has it."""
    return f"{FILES}/{sha256}/{file}"


def file_of(url: str) -> str:
    """Return the name of the file at a URL. Raises ValueError if a bundle cannot hold a file with this name."""
    name = url.partition("?")[0].partition("#")[0].rpartition("/")[2]
    if not FILE_NAME.fullmatch(name):
        raise DescribedError("bundle-file-name", 'a bundle cannot contain a file named "{name}"', name=name[:100])
    return name


def file_of_program(url: str) -> str:
    """Return what `file_of` returns for a URL of a catalog. Raises CatalogError."""
    try:
        return file_of(url)
    except ValueError as reason:
        raise CatalogError(
            "mirror-file-name",
            "a mirror cannot serve the file at this URL: {reason}",
            where=url,
            todo="Change this URL in the site catalog",
            reason=cause(reason),
        ) from None
