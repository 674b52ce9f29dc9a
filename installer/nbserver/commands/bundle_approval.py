"""`nbserver approve` and `nbserver audit` of a bundle: check every file, and show or sign the list."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base import plain_file, utc
from nbserver.base.message import counted, phrase
from nbserver.bundle import approval, check, contents
from nbserver.commands import approval_signing, review
from nbserver.commands.review import Outputs
from nbserver.language.language import ENGLISH, Language
from nbserver.review import bundle_text
from nbserver.review.bundle_text import BundleReview

if TYPE_CHECKING:
    from nbserver.commands.approval_signing import Signer


@dataclass(frozen=True)
class Signed:
    """A signed approval of a bundle: its file and what it approves."""

    file: str
    sha256: str
    bundle_sha256: str
    files: int
    by: str
    key: str
    expires: str

    def lines(self) -> list[str]:
        """Return the lines that describe it."""
        return [
            f"{self.file}  sha256 {self.sha256}",
            f"{contents.FILE_NAME}  sha256 {self.bundle_sha256}",
            phrase("approved by {name} with the key {key}", name=self.by, key=self.key),
            counted("for {count} file, until {time}", "for {count} files, until {time}", self.files, time=self.expires),
        ]

    def as_json(self) -> dict[str, object]:
        """Return the answer for --json."""
        return {"event": "bundle_approved", **asdict(self)}


def approve(bundle: Path, signer: Signer, *, valid: timedelta, reviewed: str | None = None) -> Signed:
    """Check a bundle, write a signed approval into it, and return what it approves.

    `reviewed` is the SHA-256 of the list that the approver has read; another one is refused. Raises ApprovalError for that, if the
    bundle is not as listed, and if the site does not allow this name to sign with this key; UsageError for what is not a name; and
    SecretError if the key cannot sign.
    """
    signer.require_name()
    listed = check.require(bundle)
    approval_signing.require_reviewed(bundle / contents.FILE_NAME, listed.sha256, reviewed)
    key = signer.key()
    issued = utc.now().replace(microsecond=0)
    text = approval.build(listed.sha256, by=signer.by, issued=issued, valid=valid)
    approval.parse(text)
    written = approval_signing.write(bundle, text, issued, key)
    return Signed(
        plain_file.shown(written),
        hashlib.sha256(text).hexdigest(),
        listed.sha256,
        len(listed.files),
        signer.by,
        key.public.fingerprint,
        utc.text(issued + valid),
    )


def audit(bundle: Path, outputs: Outputs, language: Language = ENGLISH) -> list[str]:
    """Check a bundle, write the requested files, and return the lines to print. Raises ApprovalError and then writes nothing."""
    review.require_outputs(outputs, bundle)
    listed = check.require(bundle)
    found = BundleReview(listed, approval.listed(bundle, listed.sha256, utc.now()))
    writers: dict[str, Callable[[BundleReview], str]] = {**bundle_text.WRITERS, "html": partial(bundle_text.html, language=language)}
    texts = {path: writers[kind](found) for kind, path in outputs.items() if path is not None}
    return review.written(texts) or bundle_text.lines(found)
