"""The folder `approvals` with documents ID.json and their signatures ID.json.sig: which of them count, and are they by enough people?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from nbserver.approval import document, sshsig
from nbserver.approval.allowed_signers import AllowedSigners, matches
from nbserver.approval.document import NAMESPACE, SKEW
from nbserver.approval.manifest import APPROVALS
from nbserver.base import plain_file, utc
from nbserver.base.errors import ApprovalError
from nbserver.base.message import Described, Message, cause, message
from nbserver.base.plain_text import clean

MANY = 200  # files in the folder
SIGNATURE = ".sig"


class Document(Protocol):
    """What somebody has signed, and who says to have done so."""

    @property
    def by(self) -> str: ...


D = TypeVar("D", bound=Document)


@dataclass(frozen=True)
class Signed(Generic[D]):
    """An approval and who signed it. `path` is its document, `signature` the armored signature."""

    path: Path
    approval: D
    key: sshsig.PublicKey
    document: bytes
    signature: bytes


@dataclass(frozen=True)
class Rules:
    """What a site demands. `signers` are lists that must all allow a signer; `approvals` is how many people must have signed."""

    signers: Sequence[AllowedSigners]
    approvals: int
    now: datetime


class Kind(Protocol[D]):
    """What is approved."""

    def parse(self, data: bytes) -> D:
        """Return a document. Raises ValueError."""

    def reason(self, approval: D, now: datetime) -> Described | None:
        """Return why an approval with a good signature does not count, or None."""


def is_name(name: str) -> bool:
    """Return whether this can be the name of a document or a signature."""
    document_name = name.removesuffix(SIGNATURE)
    return document_name.endswith(".json") and document.ID.fullmatch(document_name.removesuffix(".json")) is not None


def judged(folder: Path, kind: Kind[D], rules: Rules) -> tuple[list[Signed[D]], list[tuple[Path, Described | str]]]:
    """Return the approvals that count, and the others with the reason, each the newest first. Both are empty if the folder has no approvals.

    Raises ApprovalError for a file that is neither a document nor its signature.
    """
    counted: list[Signed[D]] = []
    refused: list[tuple[Path, Described | str]] = []
    for name in newest_first(folder):
        path = folder / APPROVALS / name
        found = _counted(path, kind, rules)
        if isinstance(found, Signed):
            counted.append(found)
        else:
            refused.append((path, found))
    return counted, refused


def listed(folder: Path, kind: Kind[D], now: datetime) -> Iterator[tuple[str, Signed[D] | None, str]]:
    """Yield the name of each document, the newest first; the approval, if its signature is valid; and why it does not count, or ''.

    Whether a site allows the signer is not decided. Raises ApprovalError for a file that cannot be read, or that is neither an
    approval nor a signature.
    """
    for name in newest_first(folder):
        found = read(folder / APPROVALS / name, kind.parse)
        signed = found if isinstance(found, Signed) else None
        fault = found if signed is None else kind.reason(signed.approval, now)
        yield name, signed, clean(str(fault), 300) if fault else ""


def require_enough(folder: Path, counted: Sequence[Signed[D]], rules: Rules) -> None:
    """Raise ApprovalError unless enough people have approved, each with a different key."""
    found = independent(_people(counted, rules.signers))
    if found < rules.approvals:
        raise ApprovalError(
            "too-few-approvals",
            "{needed} approvals by different people with different keys are required, but this folder has {found}: {names}",
            where=plain_file.shown(folder / APPROVALS),
            todo="Have another person run nbserver approve",
            needed=rules.approvals,
            found=found,
            names=", ".join(f"{one.approval.by} ({one.key.fingerprint})" for one in counted) or "none",
        )


def out_of_time(issued: datetime, expires: datetime, now: datetime) -> Message | None:
    """Return why an approval does not count yet or any more, or None."""
    if now + SKEW < issued:
        return message(
            "approval-of-the-future",
            "the approval was issued at {issued}, which is in the future: the clock of this workstation shows {now}",
            issued=utc.text(issued),
            now=utc.text(now),
        )
    if now >= expires:
        return message("approval-expired", "the approval expired at {expires}", expires=utc.text(expires))
    return None


def newest_first(folder: Path) -> list[str]:
    """Return the names of the documents. Raises ApprovalError for a file that is neither a document nor its signature."""
    place = folder / APPROVALS
    names = plain_file.names(place) if os.path.lexists(place) else set()
    documents = {name for name in names if is_name(name) and not name.endswith(SIGNATURE)}
    strange = names - documents - {name + SIGNATURE for name in documents}
    if strange:
        raise ApprovalError(
            "file-not-an-approval",
            "{file} does not belong in this folder: it is neither an approval nor the signature of one",
            where=plain_file.shown(place),
            todo="Move the file to another folder",
            file=clean(min(strange), 100),
        )
    if len(names) > MANY:
        raise ApprovalError(
            "too-many-approvals",
            "the folder contains {count} files, which exceeds the limit of {limit}",
            where=plain_file.shown(place),
            todo="Remove expired approvals together with their signatures",
            count=len(names),
            limit=MANY,
        )
    return sorted(documents, reverse=True)


def read(path: Path, parse: Callable[[bytes], D]) -> Signed[D] | Described | str:
    """Return an approval with a good signature, or why it has none. Raises ApprovalError if a file cannot be read."""
    advice = message("approve-again", "Have the contents of the folder approved again")
    data = plain_file.read(path, document.LIMIT, advice=advice)
    signed = path.with_name(path.name + SIGNATURE)
    if not os.path.lexists(signed):
        return message("approval-not-signed", "the approval's signature file {file} is missing", file=signed.name)
    armored = plain_file.read(signed, sshsig.LIMIT, advice=advice)
    try:
        signature = sshsig.parse(armored)
        signature.verify(data, NAMESPACE)
        approval = parse(data)
    except ValueError as error:
        return cause(error)
    return Signed(path, approval, signature.key, data, armored)


def _counted(path: Path, kind: Kind[D], rules: Rules) -> Signed[D] | Described | str:
    """Return an approval that counts, or why it does not. Raises ApprovalError if a file cannot be read."""
    found = read(path, kind.parse)
    if not isinstance(found, Signed):
        return found
    for signers in rules.signers:
        refusal = signers.refusal(found.approval.by, found.key, NAMESPACE, rules.now)
        if refusal:
            return refusal
    return kind.reason(found.approval, rules.now) or found


def _people(counted: Sequence[Signed[D]], signers: Sequence[AllowedSigners]) -> list[tuple[str, bytes]]:
    """Return the person and the key of each approval. Names that one line of a list allows are names of one person.

    So are names that differ only in case. Patterns are matched with the names as they are written, as `AllowedSigners.refusal` does.
    """
    names = {one.approval.by for one in counted}
    person = {name: name.casefold() for name in names}
    keys = {one.key.blob for one in counted}
    for patterns in {line.principals for known in signers for line in known.lines if line.key in keys}:
        same = sorted({person[name] for name in names if matches(name, patterns)})
        person = {name: same[0] if found in same else found for name, found in person.items()}
    return [(person[one.approval.by], one.key.blob) for one in counted]


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
