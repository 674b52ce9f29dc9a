"""`nbserver approve`: audit a rendered folder, and sign what was audited."""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.approval import audit, document, manifest, policy, signing_key
from nbserver.approval.approved_folder import SIGNATURE
from nbserver.approval.document import NAMESPACE
from nbserver.base import atomic_file, plain_file, utc, writing
from nbserver.base.errors import ApprovalError, UsageError
from nbserver.base.plain_text import clean
from nbserver.run.approved import MODES
from nbserver.settings.secret import Ask, SecretReference, resolve

if TYPE_CHECKING:
    from nbserver.approval.reference import Reference


@dataclass(frozen=True)
class Signed:
    """A signed approval: its file and what it permits."""

    file: str
    sha256: str
    manifest_sha256: str
    by: str
    key: str
    modes: Sequence[str]
    hosts: Sequence[str]
    expires: str

    def lines(self) -> list[str]:
        """Return the lines that describe it."""
        return [
            f"{self.file}  sha256 {self.sha256}",
            f"manifest  sha256 {self.manifest_sha256}",
            f"approved by {self.by} with the key {self.key}",
            f"for {', '.join(self.modes)} on {', '.join(self.hosts)}, until {self.expires}",
        ]

    def as_json(self) -> dict[str, object]:
        """Return the answer for --json."""
        return {"event": "approved", **asdict(self)}


def approve(
    folder: Path,
    key_file: Path,
    reference: Reference,
    *,
    by: str,
    modes: Sequence[str],
    valid: timedelta,
    hosts: Sequence[str],
    passphrase: SecretReference | None,
    ask: Ask | None,
    reviewed: str | None = None,
) -> Signed:
    """Write a signed approval into the folder, and return what it permits.

    `reviewed` is the SHA-256 of the manifest that the approver has read about; another one is refused. Raises ApprovalError for
    that, if the folder does not pass the audit, and if the site does not allow this name to sign with this key; UsageError
    for a name, mode or host that does not exist; and SecretError if the key cannot sign.
    """
    _require_names(by, modes)
    path = folder / manifest.FILE_NAME
    data = manifest.read_bytes(path)
    digest = hashlib.sha256(data).hexdigest()
    if reviewed is not None and reviewed.lower() != digest:
        raise ApprovalError(
            "manifest-not-reviewed",
            "the manifest is not the one that you reviewed: expected SHA-256 {expected}, got {actual}",
            where=plain_file.shown(path),
            todo="Audit the folder again, and review what changed",
            expected=clean(reviewed, 100),
            actual=digest,
        )
    if audit.checked(folder, reference).sha256 != digest:
        raise ApprovalError(
            "manifest-changed-meanwhile",
            "the manifest was changed during the audit",
            where=plain_file.shown(path),
            todo="Audit the folder again",
        )
    content = manifest.parse(data, path)
    chosen = _chosen(content["hosts"], hosts)
    key = signing_key.load(key_file, _passphrase(passphrase, ask, key_file))
    _require_allowed(by, key)
    issued = utc.now().replace(microsecond=0)
    text = document.build(content, digest, hosts=chosen, modes=modes, by=by, issued=issued, valid=valid)
    document.parse(text)
    signature = key.armored(text, NAMESPACE)
    written = _write(folder / manifest.APPROVALS, document.file_name(text, issued), text, signature)
    return Signed(
        plain_file.shown(written),
        hashlib.sha256(text).hexdigest(),
        digest,
        by,
        key.public.fingerprint,
        sorted(modes),
        chosen,
        utc.text(issued + valid),
    )


def _require_names(by: str, modes: Sequence[str]) -> None:
    if not document.is_name(by):
        raise UsageError(
            "approver-name-invalid", "--by must be a name without spaces, such as anna@example.com, that does not begin with -"
        )
    wrong = next((mode for mode in modes if mode not in MODES), None)
    if wrong is not None or len(set(modes)) < len(modes):
        raise UsageError("mode-unknown", "--modes accepts only these modes, each at most once: {modes}", modes=", ".join(MODES))


def _require_allowed(by: str, key: signing_key.SigningKey) -> None:
    """Raise ApprovalError if the site says who may sign, and this is somebody else: no run would accept the approval."""
    rules = policy.load()
    for signers in rules.allowed() if rules.signers else ():
        refusal = signers.refusal(by, key.public, NAMESPACE, utc.now())
        if refusal:
            raise ApprovalError(
                "approver-not-allowed",
                "this site would not accept the approval: {reason}",
                todo="Use a name and key that are listed in the file of allowed signers",
                reason=refusal,
            )


def _chosen(known: Collection[str], patterns: Sequence[str]) -> list[str]:
    """Return the hosts of the manifest that match a pattern, all without one."""
    if not patterns:
        return sorted(known)
    found: set[str] = set()
    for pattern in patterns:
        matching = {host for host in known if fnmatch.fnmatchcase(host.lower(), pattern.lower())}
        if not matching:
            raise UsageError("no-host-in-manifest", 'no host in the manifest matches "{pattern}"', pattern=pattern)
        found |= matching
    return sorted(found)


def _passphrase(reference: SecretReference | None, ask: Ask | None, key_file: Path) -> Callable[[], str | None]:
    name = plain_file.shown(key_file)

    def passphrase() -> str | None:
        if reference is not None:
            return resolve(reference, what="--key-password", host=name, ask=ask)
        return ask(f"Passphrase of {name}: ") if ask else None

    return passphrase


def _write(place: Path, name: str, text: bytes, signature: bytes) -> Path:
    """Write the signature first: a document without one is never there."""
    with writing.refused("approval-not-written", "could not write the approval ({reason})", where=place):
        place.mkdir(exist_ok=True)
        plain_file.names(place)  # refuses a link
        atomic_file.write_bytes(place / (name + SIGNATURE), signature)
        atomic_file.write_bytes(place / name, text)
    return place / name
