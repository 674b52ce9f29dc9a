"""What a person reads before approving a bundle: its files with sizes, hashes, and where each of them came from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from nbserver import __version__
from nbserver.base.message import counted, phrase, with_values
from nbserver.bundle import contents
from nbserver.bundle.approval import ListedApproval
from nbserver.bundle.contents import File, FileList
from nbserver.language.language import ENGLISH, Language
from nbserver.pages.page import ascii_text, rendered
from nbserver.review.markdown import code, plain, table

VERIFIED_WORDS = ("Each file is in the bundle, has the size and the SHA-256 in the list, and nothing else is there except approvals.",)
NOT_VERIFIED_WORDS = (
    "Whether a file is what its URL has now, or what its publisher signed: compare the hashes with the publisher's.",
    "Whether hosts need these files: nbserver download HOST --verify compares the bundle with their scripts.",
)


@dataclass(frozen=True)
class BundleReview:
    """A bundle that is as listed, and its approvals."""

    listed: FileList
    approvals: tuple[ListedApproval, ...]


def lines(review: BundleReview) -> list[str]:
    """Return the lines of the report, in ASCII."""
    found = [phrase("bundle.json: sha256 {sha256}, {totals}", sha256=review.listed.sha256, totals=_totals(review))]
    for one in sorted(review.listed.files):
        what = f"{one.kind} {one.name} {one.version}"
        found += [phrase("{what}: {file}, {size} bytes", what=what, file=one.file, size=one.size), f"  sha256 {one.sha256}"]
        found.append(phrase("  from {url}", url=one.url))
    for approval in review.approvals:
        found.append(phrase("{file}  {state}", file=approval.file, state=approval.state))
        found += [phrase("  {who}", who=_who(approval))] if approval.by else []
    return [with_values(line, ascii_text) for line in found]


def json_text(review: BundleReview) -> str:
    """Return the answer for --json, in ASCII."""
    files = [asdict(one) for one in sorted(review.listed.files)]
    approvals = [asdict(one) for one in review.approvals]
    return (
        json.dumps(
            {
                "event": "bundle_audit",
                "release": __version__,
                "bundle_sha256": review.listed.sha256,
                "bytes": _size(review),
                "files": files,
                "approvals": approvals,
            }
        )
        + "\n"
    )


def markdown(review: BundleReview) -> str:
    """Return the review as Markdown in ASCII."""
    rows = [
        [plain(one.kind), plain(f"{one.name} {one.version}"), code(one.file), str(one.size), code(one.sha256), plain(one.url)]
        for one in sorted(review.listed.files)
    ]
    approvals = [[code(one.file), plain(_who(one) if one.by else ""), plain(one.state)] for one in review.approvals]
    return "\n".join(
        [
            f"# Review of a bundle, nbserver {__version__}",
            "",
            f"{contents.FILE_NAME}: SHA-256 `{review.listed.sha256}`, {_totals(review)}",
            "",
            plain(VERIFIED_WORDS[0]),
            "",
            "Not verified:",
            "",
            *(f"- {plain(line)}" for line in NOT_VERIFIED_WORDS),
            "",
            *table(["Kind", "What", "File", "Bytes", "SHA-256", "From"], rows),
            *(table(["Approval", "By", "State"], approvals) if approvals else []),
        ]
    )


def html(review: BundleReview, language: Language = ENGLISH) -> str:
    """Return the review as a page that loads nothing."""
    sections = [("verified", language.text("What was verified")), ("files", language.text("Files"))]
    sections += [("approvals", language.text("Approvals"))] if review.approvals else []
    values: dict[str, Any] = {
        "listed": review.listed,
        "approvals": review.approvals,
        "totals": _totals(review),
        "verified": phrase(VERIFIED_WORDS[0]),
        "not_verified": tuple(map(phrase, NOT_VERIFIED_WORDS)),
        "kinds": [(kind, _of_kind(review, kind)) for kind in ("program", "wheel") if _of_kind(review, kind)],
    }
    return rendered("review", language.text("Review of a bundle"), sections, values, template="bundle", language=language)


WRITERS: dict[str, Callable[[BundleReview], str]] = {"html": html, "json": json_text, "markdown": markdown}
"""The writers by the name of their option."""


def _who(approval: ListedApproval) -> str:
    return phrase(
        "by {name} with the key {key}, issued {issued}, expires {expires}",
        name=approval.by,
        key=approval.key,
        issued=approval.issued,
        expires=approval.expires,
    )


def _of_kind(review: BundleReview, kind: str) -> list[File]:
    return [one for one in sorted(review.listed.files) if one.kind == kind]


def _size(review: BundleReview) -> int:
    return sum(one.size or 0 for one in review.listed.files)


def _totals(review: BundleReview) -> str:
    return counted("{count} file, {size} bytes", "{count} files, {size} bytes", len(review.listed.files), size=_size(review))
