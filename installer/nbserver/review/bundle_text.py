"""What a person reads before approving a bundle: its files with sizes, hashes, and where each of them came from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from nbserver import __version__
from nbserver.bundle import contents
from nbserver.bundle.contents import File, FileList
from nbserver.pages.page import ascii_text, rendered
from nbserver.review.markdown import code, plain, table

VERIFIED = "Each file is in the bundle, has the size and the SHA-256 in the list, and nothing else is there."
NOT_VERIFIED = (
    "Whether a file is what its URL has now, or what its publisher signed: compare the hashes with the publisher's.",
    "Whether hosts need these files: nbserver download HOST --verify compares the bundle with their scripts.",
)


def lines(listed: FileList) -> list[str]:
    """Return the lines of the report, in ASCII."""
    found = [f"{contents.FILE_NAME}: sha256 {listed.sha256}, {_totals(listed)}"]
    for one in sorted(listed.files):
        found += [f"{one.kind} {one.name} {one.version}: {one.file}, {one.size} bytes", f"  sha256 {one.sha256}", f"  from {one.url}"]
    return [ascii_text(line) for line in found]


def json_text(listed: FileList) -> str:
    """Return the answer for --json, in ASCII."""
    files = [asdict(one) for one in sorted(listed.files)]
    return (
        json.dumps(
            {"event": "bundle_audit", "release": __version__, "bundle_sha256": listed.sha256, "bytes": _size(listed), "files": files}
        )
        + "\n"
    )


def markdown(listed: FileList) -> str:
    """Return the review as Markdown in ASCII."""
    rows = [
        [plain(one.kind), plain(f"{one.name} {one.version}"), code(one.file), str(one.size), code(one.sha256), plain(one.url)]
        for one in sorted(listed.files)
    ]
    return "\n".join(
        [
            f"# Review of a bundle, nbserver {__version__}",
            "",
            f"{contents.FILE_NAME}: SHA-256 `{listed.sha256}`, {_totals(listed)}",
            "",
            plain(VERIFIED),
            "",
            "Not verified:",
            "",
            *(f"- {plain(line)}" for line in NOT_VERIFIED),
            "",
            *table(["Kind", "What", "File", "Bytes", "SHA-256", "From"], rows),
        ]
    )


def html(listed: FileList) -> str:
    """Return the review as a page that loads nothing."""
    values: dict[str, Any] = {
        "listed": listed,
        "totals": _totals(listed),
        "verified": VERIFIED,
        "not_verified": NOT_VERIFIED,
        "kinds": [(kind, _of_kind(listed, kind)) for kind in ("program", "wheel") if _of_kind(listed, kind)],
    }
    return rendered("review", "Review of a bundle", [("verified", "What was verified"), ("files", "Files")], values, template="bundle")


WRITERS: dict[str, Callable[[FileList], str]] = {"html": html, "json": json_text, "markdown": markdown}
"""The writers by the name of their option."""


def _of_kind(listed: FileList, kind: str) -> list[File]:
    return [one for one in sorted(listed.files) if one.kind == kind]


def _size(listed: FileList) -> int:
    return sum(one.size or 0 for one in listed.files)


def _totals(listed: FileList) -> str:
    return f"{len(listed.files)} files, {_size(listed)} bytes"
