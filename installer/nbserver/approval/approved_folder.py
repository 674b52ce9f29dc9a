"""The signed approvals of a rendered folder: DIR/approvals/ID.json with its signature ID.json.sig. Which of them count for a run?"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nbserver.approval import document, sshsig
from nbserver.approval.allowed_signers import AllowedSigners, matches
from nbserver.approval.document import NAMESPACE, SKEW, Approval
from nbserver.approval.manifest import APPROVALS
from nbserver.base import plain_file, utc
from nbserver.base.errors import ApprovalError
from nbserver.base.message import Described, cause, message
from nbserver.base.plain_text import clean

MANY = 200  # files in the folder
SIGNATURE = ".sig"


@dataclass(frozen=True)
class Signed:
    """An approval and who signed it. `path` is its document, `signature` the armored signature."""

    path: Path
    approval: Approval
    key: sshsig.PublicKey
    document: bytes
    signature: bytes


@dataclass(frozen=True)
class Wanted:
    """What a run wants to do, and the rules of the site for it.

    `mode` is empty if an approval for any mode will do. `signers` are lists that must all allow a signer.
    """

    manifest: Mapping[str, Any]
    manifest_sha256: str
    hosts: Collection[str]
    mode: str
    signers: Sequence[AllowedSigners]
    approvals: int
    now: datetime


def require(folder: Path, wanted: Wanted) -> tuple[Signed, ...]:
    """Return the approvals that count. Raises ApprovalError unless enough people have approved, each with a different key."""
    counted: list[Signed] = []
    refused: list[tuple[Path, Described | str]] = []
    for name in newest_first(folder):
        path = folder / APPROVALS / name
        found = _counted(path, wanted)
        if isinstance(found, Signed):
            counted.append(found)
        else:
            refused.append((path, found))
    if not counted and not refused:
        raise ApprovalError(
            "no-approvals",
            "nobody has approved the scripts in this folder",
            where=plain_file.shown(folder),
            todo="Have them approved with nbserver approve {folder}",
            folder=plain_file.shown(folder),
        )
    if not counted:
        path, reason = refused[0]
        raise ApprovalError(
            "approval-refused",
            "the approval is not valid for this run: {reason}",
            where=plain_file.shown(path),
            todo="Have the scripts approved with nbserver approve",
            reason=reason,
        )
    people = _people(counted, wanted.signers)
    if independent(people) < wanted.approvals:
        raise _too_few(folder, counted, wanted.approvals, independent(people))
    return tuple(counted)


def newest_first(folder: Path) -> list[str]:
    """Return the names of the documents. Raises ApprovalError for a file that is neither a document nor its signature."""
    place = folder / APPROVALS
    names = plain_file.names(place) if os.path.lexists(place) else set()
    documents = {name for name in names if document.ID.fullmatch(name.removesuffix(".json")) and name.endswith(".json")}
    strange = names - documents - {name + SIGNATURE for name in documents}
    if strange or len(names) > MANY:
        raise ApprovalError(
            "file-not-an-approval",
            "{file} does not belong in this folder, which may contain only approvals with their signatures, and at most {limit} files",
            where=plain_file.shown(place),
            todo="Remove the file",
            file=clean(min(strange or names), 100),
            limit=MANY,
        )
    return sorted(documents, reverse=True)


def _counted(path: Path, wanted: Wanted) -> Signed | Described | str:
    """Return an approval that counts, or why it does not. Raises ApprovalError if a file cannot be read."""
    found = read(path)
    if not isinstance(found, Signed):
        return found
    for signers in wanted.signers:
        refusal = signers.refusal(found.approval.by, found.key, NAMESPACE, wanted.now)
        if refusal:
            return refusal
    return reason(found.approval, wanted) or found


def read(path: Path) -> Signed | Described | str:
    """Return an approval with a good signature, or why it has none. Raises ApprovalError if a file cannot be read."""
    advice = message("approve-again", "Have the scripts approved again")
    data = plain_file.read(path, document.LIMIT, advice=advice)
    signed = path.with_name(path.name + SIGNATURE)
    if not os.path.lexists(signed):
        return message("approval-not-signed", "its signature {file} is missing", file=signed.name)
    armored = plain_file.read(signed, sshsig.LIMIT, advice=advice)
    try:
        signature = sshsig.parse(armored)
        signature.verify(data, NAMESPACE)
        approval = document.parse(data)
    except ValueError as error:
        return cause(error)
    return Signed(path, approval, signature.key, data, armored)


def reason(approval: Approval, wanted: Wanted) -> Described | None:
    """Return why an approval with a good signature does not count for this run, or None."""
    if approval.manifest_sha256 != wanted.manifest_sha256:
        return message(
            "approval-of-other-manifest",
            "it is for a different manifest: expected SHA-256 {expected}, got {actual}",
            expected=approval.manifest_sha256,
            actual=wanted.manifest_sha256,
        )
    if approval.release != wanted.manifest["release"]:
        return message(
            "approval-of-other-release",
            "it is for release {expected}, but the scripts are from release {actual}",
            expected=approval.release,
            actual=wanted.manifest["release"],
        )
    if wanted.mode and wanted.mode not in approval.modes:
        return message("approval-of-other-mode", "it covers {modes}, but not {mode}", modes=", ".join(approval.modes), mode=wanted.mode)
    if wanted.now + SKEW < approval.issued:
        return message(
            "approval-of-the-future",
            "it was issued at {issued}, which is in the future: the clock of this workstation shows {now}",
            issued=utc.text(approval.issued),
            now=utc.text(wanted.now),
        )
    if wanted.now >= approval.expires:
        return message("approval-expired", "it expired at {expires}", expires=utc.text(approval.expires))
    for host in sorted(wanted.hosts):
        if host not in approval.hosts:
            return message("approval-without-host", "it does not cover the host {name}", name=host)
        if approval.hosts[host] != wanted.manifest["hosts"].get(host, {}).get("sha256"):
            return message("approval-of-other-script", "the script that it approves for {name} is not the one in the manifest", name=host)
    return None


def _people(counted: Sequence[Signed], signers: Sequence[AllowedSigners]) -> list[tuple[str, bytes]]:
    """Return the person and the key of each approval. Names that one line of a list allows are names of one person."""
    person = {one.approval.by.casefold(): one.approval.by.casefold() for one in counted}
    keys = {one.key.blob for one in counted}
    for patterns in {line.principals for known in signers for line in known.lines if line.key in keys}:
        same = sorted({person[name] for name in person if matches(name, patterns)})
        person = {name: same[0] if found in same else found for name, found in person.items()}
    return [(person[one.approval.by.casefold()], one.key.blob) for one in counted]


def independent(signed: Sequence[tuple[str, bytes]]) -> int:
    """Return how many approvals of different persons with different keys there are among (name, key) pairs.

    This is the size of a maximum matching between names and keys: a person with two keys counts once, and so does a key of two.
    """
    keys_of: dict[str, set[bytes]] = {}
    for name, key in signed:
        keys_of.setdefault(name.casefold(), set()).add(key)
    owner: dict[bytes, str] = {}

    def assigned(name: str, seen: set[bytes]) -> bool:
        for key in keys_of[name] - seen:
            seen.add(key)
            if key not in owner or assigned(owner[key], seen):
                owner[key] = name
                return True
        return False

    return sum(assigned(name, set()) for name in keys_of)


def _too_few(folder: Path, counted: Sequence[Signed], needed: int, found: int) -> ApprovalError:
    return ApprovalError(
        "too-few-approvals",
        "{needed} approvals by different people with different keys are required, but this folder has {found}: {names}",
        where=plain_file.shown(folder / APPROVALS),
        todo="Have the scripts approved by another person",
        needed=needed,
        found=found,
        names=", ".join(f"{one.approval.by} ({one.key.fingerprint})" for one in counted) or "none",
    )


def sha256(data: bytes) -> str:
    """Return the hash of a file's contents."""
    return hashlib.sha256(data).hexdigest()
