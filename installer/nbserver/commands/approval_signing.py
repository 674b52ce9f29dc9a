"""What signs an approval: a name that the site allows, and a key; and where the signed document is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from nbserver.approval import document, manifest, policy, signing_key
from nbserver.approval.document import NAMESPACE
from nbserver.approval.signed_approvals import SIGNATURE
from nbserver.base import atomic_file, plain_file, utc, writing
from nbserver.base.errors import ApprovalError, UsageError
from nbserver.base.message import phrase
from nbserver.base.plain_text import clean
from nbserver.settings.secret import Ask, SecretReference, resolve


@dataclass(frozen=True)
class Signer:
    """Who approves, with which key. `passphrase` is where that of the key is; without it, `ask` is asked."""

    by: str
    key_file: Path
    passphrase: SecretReference | None
    ask: Ask | None

    def require_name(self) -> None:
        """Raise UsageError for what is not a name."""
        if not document.is_name(self.by):
            raise UsageError(
                "approver-name-invalid", "--by must be a name without spaces that does not begin with -, such as anna@example.com"
            )

    def key(self) -> signing_key.SigningKey:
        """Return the key. Raises SecretError if it cannot sign, and ApprovalError if the site does not allow this name to sign with it."""
        key = signing_key.load(self.key_file, self._passphrase())
        self._require_allowed(key)
        return key

    def _require_allowed(self, key: signing_key.SigningKey) -> None:
        """Raise ApprovalError if the site says who may sign, and this is somebody else: nothing would accept the approval."""
        rules = policy.load()
        for signers in rules.allowed() if rules.signers else ():
            refusal = signers.refusal(self.by, key.public, NAMESPACE, utc.now())
            if refusal:
                raise ApprovalError(
                    "approver-not-allowed",
                    "nbserver would not accept an approval that is signed with this name and key: {reason}",
                    todo="Use a name and a key from the same line of the allowed signers file",
                    reason=refusal,
                )

    def _passphrase(self) -> Callable[[], str | None]:
        name = plain_file.shown(self.key_file)

        def passphrase() -> str | None:
            if self.passphrase is not None:
                return resolve(self.passphrase, what="--key-password", host=name, ask=self.ask)
            return self.ask(phrase("Passphrase of {file}: ", file=name)) if self.ask else None

        return passphrase


def require_reviewed(path: Path, actual: str, reviewed: str | None) -> None:
    """Raise ApprovalError if the approver has read about another manifest, or list of a bundle, than the one with the SHA-256 `actual`."""
    if reviewed is not None and reviewed.lower() != actual:
        raise ApprovalError(
            "manifest-not-reviewed",
            "the manifest is not the one that you reviewed: expected SHA-256 {expected}, got {actual}",
            where=plain_file.shown(path),
            todo="Audit the folder again, and review what changed",
            expected=clean(reviewed, 100),
            actual=actual,
        )


def write(folder: Path, text: bytes, issued: datetime, key: signing_key.SigningKey) -> Path:
    """Sign a document and write both into the folder's approvals. The signature is first: a document without one is never there."""
    place, name = folder / manifest.APPROVALS, document.file_name(text, issued)
    signature = key.armored(text, NAMESPACE)
    with writing.refused("approval-not-written", "could not write the approval ({reason})", todo="Make the folder writable", where=place):
        place.mkdir(exist_ok=True)
        plain_file.names(place)  # refuses a link
        atomic_file.write_bytes(place / (name + SIGNATURE), signature)
        atomic_file.write_bytes(place / name, text)
    return place / name
