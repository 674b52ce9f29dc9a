"""The signed approval of a bundle: which list of files, by whom, and until when (see docs/formats.md)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from nbserver import __version__
from nbserver.approval import document, policy, signed_approvals
from nbserver.approval.document import Time
from nbserver.approval.policy import Policy
from nbserver.approval.signed_approvals import Rules, Signed
from nbserver.base import json_lines, plain_file, utc
from nbserver.base.errors import ApprovalError
from nbserver.base.message import Message, message, phrase
from nbserver.render.settings import Release, Sha256

VERSION = 1


class Document(BaseModel):
    """The keys of the document. `bundle_sha256` is the hash of bundle.json."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    bundle_sha256: Sha256
    by: str = Field(max_length=100, description="a name without spaces")
    expires: Time
    issued: Time
    release: Release
    v: int = Field(ge=VERSION, le=VERSION, description="1")


@dataclass(frozen=True)
class BundleApproval:
    """A parsed document. `sha256` is the hash of its bytes."""

    by: str
    bundle_sha256: str
    issued: datetime
    expires: datetime
    sha256: str


@dataclass(frozen=True)
class Listed:
    """The bundle whose bundle.json has this hash."""

    sha256: str

    def parse(self, data: bytes) -> BundleApproval:
        """Return the approval in a document. Raises ValueError."""
        return parse(data)

    def reason(self, approval: BundleApproval, now: datetime) -> Message | None:
        """Return why an approval with a good signature does not count, or None."""
        if approval.bundle_sha256 != self.sha256:
            return message(
                "approval-of-other-bundle",
                "the approval is for a different list of files: expected SHA-256 {expected}, got {actual}",
                expected=approval.bundle_sha256,
                actual=self.sha256,
            )
        return signed_approvals.out_of_time(approval.issued, approval.expires, now)


@dataclass(frozen=True)
class Demand:
    """What a person demands of a bundle, in addition to what the site does. Without `by_person`, the site decides whether an approval is needed."""

    signers: Path | None = None
    approvals: int | None = None
    site: Path | None = None
    by_person: bool = True

    def rules(self) -> Rules | None:
        """Return the rules now, or None if no approval is needed. Raises ApprovalError for a file that cannot be trusted, or if none says who may sign."""
        found = policy.load(self.site)
        if not self.by_person and not found.required:
            return None
        found = found.stricter(Policy(signers=(self.signers.absolute(),) if self.signers else (), approvals=self.approvals or 1))
        return Rules(found.allowed(), found.approvals, utc.now())


BY_SITE = Demand(by_person=False)
"""The rules of the site alone."""


def build(bundle_sha256: str, *, by: str, issued: datetime, valid: timedelta) -> bytes:
    """Return the bytes of a document, which approves this list of files."""
    content = {
        "v": VERSION,
        "release": __version__,
        "bundle_sha256": bundle_sha256,
        "by": by,
        "issued": utc.text(issued),
        "expires": utc.text(issued + valid),
    }
    return (json_lines.dumps(content) + "\n").encode("ascii")


def parse(data: bytes) -> BundleApproval:
    """Return the approval in a document. Raises ValueError unless `build` could have written it."""
    read = document.read_as(Document, document.table(data))
    issued, expires = document.period(read.by, read.issued, read.expires)
    return BundleApproval(read.by, read.bundle_sha256, issued, expires, hashlib.sha256(data).hexdigest())


@dataclass(frozen=True)
class ListedApproval:
    """An approval in a bundle, for the person who audits it. `fault` says why it does not count.

    If the signature is not good, only `file` and `fault` are set. `key` is the fingerprint of the key that signed; times are UTC.
    """

    file: str
    by: str = ""
    key: str = ""
    issued: str = ""
    expires: str = ""
    fault: str = ""

    @property
    def state(self) -> str:
        """Whether the signature holds."""
        return phrase("does not count: {fault}", fault=self.fault) if self.fault else phrase("the signature is valid, for this list")


def listed(bundle: Path, sha256: str, now: datetime) -> tuple[ListedApproval, ...]:
    """Return the approvals of a bundle, the newest first. Whether a site allows the signer is not decided.

    Raises ApprovalError for a file that cannot be read, or that is neither an approval nor a signature.
    """
    return tuple(_listed(*found) for found in signed_approvals.listed(bundle, Listed(sha256), now))


def _listed(name: str, signed: Signed[BundleApproval] | None, fault: str) -> ListedApproval:
    if signed is None:
        return ListedApproval(name, fault=fault)
    approval = signed.approval
    return ListedApproval(name, approval.by, signed.key.fingerprint, utc.text(approval.issued), utc.text(approval.expires), fault)


def require(bundle: Path, sha256: str, demand: Demand) -> tuple[Signed[BundleApproval], ...]:
    """Return the approvals of the bundle whose list has this hash; none if none is needed. Raises ApprovalError unless enough people have approved."""
    rules = demand.rules()
    if rules is None:
        return ()
    counted, refused = signed_approvals.judged(bundle, Listed(sha256), rules)
    if not counted and not refused:
        raise ApprovalError(
            "bundle-not-approved",
            "nobody has approved this bundle",
            where=plain_file.shown(bundle),
            todo="Have it approved with nbserver approve {bundle}",
            bundle=plain_file.shown(bundle),
        )
    if not counted:
        path, why = refused[0]
        raise ApprovalError(
            "bundle-approval-refused",
            "the approval is not valid for this bundle: {reason}",
            where=plain_file.shown(path),
            todo="Have the bundle approved with nbserver approve",
            reason=why,
        )
    signed_approvals.require_enough(bundle, counted, rules)
    return tuple(counted)
