"""The document that an approver signs: which scripts, for which hosts and modes, by whom, and until when (see docs/formats.md)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from nbserver import __version__
from nbserver.base import file_format, json_lines, strict_json, utc
from nbserver.base.message import DescribedError
from nbserver.inventory.names import is_host
from nbserver.render.settings import Release, Sha256
from nbserver.settings.faults import dotted, faults, kind
from nbserver.settings.refusal import refuse
from nbserver.settings.types import Array

VERSION = 1
LIMIT = 2_000_000  # bytes; a host takes about 100
HOSTS = 10_000
NAMESPACE = "nbserver-approval"  # of the signature: one for another purpose does not count
SKEW = timedelta(minutes=5)  # by how much the clock of the approver may be ahead
ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{12}", re.ASCII)

M = TypeVar("M", bound=BaseModel)
_NAME = re.compile(r"[A-Za-z0-9_+%@.=/\\-]{1,100}")


def _time(text: str) -> str:
    try:
        utc.parse(text)
    except ValueError:
        raise refuse("approval-time", "must be a UTC time such as 2026-11-29T00:10:00Z") from None
    return text


Time = Annotated[str, AfterValidator(_time), Field(description="a time in UTC")]


class Document(BaseModel):
    """The keys of the document. `hosts` maps each host to the SHA-256 of its script."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    by: str = Field(pattern=f"^{_NAME.pattern}$", description="a name without spaces")
    expires: Time
    hosts: dict[str, Sha256] = Field(min_length=1, max_length=HOSTS, description="a table with the hash of each host's script")
    issued: Time
    manifest_sha256: Sha256
    modes: Annotated[tuple[Annotated[str, Field(pattern=r"^[a-z][a-z-]{0,19}$")], ...], Array] = Field(
        min_length=1, max_length=20, description="an array of modes"
    )
    release: Release
    v: int = Field(ge=VERSION, le=VERSION, description="1")


@dataclass(frozen=True)
class Approval:
    """A parsed document. `sha256` is the hash of its bytes."""

    by: str
    hosts: Mapping[str, str]
    modes: tuple[str, ...]
    manifest_sha256: str
    release: str
    issued: datetime
    expires: datetime
    sha256: str


def is_name(text: str) -> bool:
    """Return whether this can be the name of an approver: a plain word, without the signs of a pattern, that is not an option."""
    return _NAME.fullmatch(text) is not None and not text.startswith("-")


def build(
    manifest: Mapping[str, Any],
    manifest_sha256: str,
    *,
    hosts: Sequence[str],
    modes: Sequence[str],
    by: str,
    issued: datetime,
    valid: timedelta,
) -> bytes:
    """Return the bytes of a document, which approves these hosts of a manifest."""
    content = {
        "v": VERSION,
        "release": __version__,
        "manifest_sha256": manifest_sha256,
        "hosts": {host: manifest["hosts"][host]["sha256"] for host in hosts},
        "modes": sorted(modes),
        "by": by,
        "issued": utc.text(issued),
        "expires": utc.text(issued + valid),
    }
    return (json_lines.dumps(content) + "\n").encode("ascii")


def file_name(data: bytes, issued: datetime) -> str:
    """Return the name of the file of a document: when it was issued, and the beginning of its hash."""
    return f"{issued:%Y%m%dT%H%M%SZ}-{hashlib.sha256(data).hexdigest()[:12]}.json"


def parse(data: bytes) -> Approval:
    """Return the approval in a document. Raises ValueError unless `build` could have written it."""
    value = table(data)
    hosts = value.get("hosts")
    if len(value) > 20 or (isinstance(hosts, dict) and len(hosts) > HOSTS):
        raise DescribedError("approval-too-large", "the approval contains too many keys, or more than {limit} hosts", limit=HOSTS)
    read = read_as(Document, value)
    strange = next((host for host in read.hosts if not is_host(host)), None)
    if strange is not None:
        raise DescribedError("approval-host-invalid", "{key}: must be a valid host name", key=dotted(("hosts", strange)))
    if len(set(read.modes)) < len(read.modes):
        raise DescribedError("approval-mode-twice", "modes: a mode is listed twice")
    issued, expires = period(read.by, read.issued, read.expires)
    digest = hashlib.sha256(data).hexdigest()
    return Approval(read.by, read.hosts, read.modes, read.manifest_sha256, read.release, issued, expires, digest)


def table(data: bytes) -> dict[str, Any]:
    """Return the object in a document, of whatever is approved. Raises ValueError."""
    value = strict_json.parse(data)
    if not isinstance(value, dict):
        raise DescribedError("approval-no-table", "expected a table, found {kind}", kind=kind(value))
    version = file_format.newer(value, VERSION)
    if version is not None:
        raise DescribedError(
            "approval-format-newer",
            "a newer release of nbserver wrote the approval: it has format version {version}, but this release supports format version "
            "{supported}; upgrade nbserver, or have the files approved with this release",
            version=version,
            supported=VERSION,
        )
    return value


def read_as(model: type[M], value: Mapping[str, Any]) -> M:
    """Return the values in a document as the model, which may have no fault. Raises DescribedError."""
    found = faults(value, model, {}, missing=True)
    if found:
        raise DescribedError("approval-fault", "error in the approval: {reason}", reason=found[0][1])
    return model.model_validate(value)


def period(by: str, issued: str, expires: str) -> tuple[datetime, datetime]:
    """Return from when until when a document counts. Raises DescribedError for a time or a name that cannot be right."""
    if not is_name(by):
        raise DescribedError("approval-name-invalid", "by: must be a name without spaces that does not begin with -")
    begin, end = utc.parse(issued), utc.parse(expires)
    if end <= begin:
        raise DescribedError("approval-times", "expires must be later than issued")
    return begin, end
