"""The lines of a requirements file with hashes, as `uv pip compile --generate-hashes` and `pip-compile --generate-hashes` write it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nbserver.base.message import Described, message
from nbserver.base.plain_text import clean

if TYPE_CHECKING:
    from packaging.markers import Marker

# Each says where pip and uv look for packages, or what they accept. nbserver decides both, and the hashes decide what is installed.
_HARMLESS = ("--index-url", "-i", "--only-binary", "--prefer-binary", "--require-hashes", "--pre")
_COMMENT = re.compile(r"(^|\s)#.*$")
_HASH = re.compile(r"\s--hash[=\s]\s*(\w+):(\S*)")
_PIN = re.compile(r"==\s*[^*=\s]+")


@dataclass(frozen=True)
class Pinned:
    """A package in one version. `sha256` are the hashes of its permitted files, sorted; `line` is where it is in the file, from 1."""

    line: int
    name: str
    version: str
    marker: Marker | None
    sha256: tuple[str, ...]


def read(text: str) -> tuple[list[Pinned], list[tuple[int, Described]]]:
    """Return the packages of a file, and what is wrong with it: the line and the reason of each fault."""
    found, wrong = [], []
    for number, line in logical(text):
        one = _option(line) if line.startswith("-") else _pinned(number, line)
        if isinstance(one, Pinned):
            found.append(one)
        elif one is not None:
            wrong.append((number, one))
    return found, wrong


def normal(text: str) -> str:
    """Return a requirement such as `SciPy == 1.17.*` with a normalized name. Raises ValueError if it is not one, or has a URL."""
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    requirement = Requirement(text)
    if requirement.url is not None:
        raise ValueError("a URL")
    requirement.name = canonicalize_name(requirement.name)
    return str(requirement)


def logical(text: str) -> Iterator[tuple[int, str]]:
    """Yield each line without its comment, joined with those that continue it, and the number of the first one."""
    begin, parts = 0, list[str]()
    for number, physical in enumerate(text.splitlines(), 1):
        line = _COMMENT.sub("", physical).rstrip()
        begin = begin if parts else number
        parts.append(line.removesuffix("\\").strip())
        if not line.endswith("\\"):
            if joined := " ".join(parts).strip():
                yield begin, joined
            parts = []
    if joined := " ".join(parts).strip():
        yield begin, joined


def _option(line: str) -> Described | None:
    name = re.split(r"[=\s]", line, maxsplit=1)[0]
    if name in _HARMLESS:
        return None
    if name in ("-e", "--editable"):
        return message("lock-editable", "an editable package has no hash; add a wheel for it to the package index instead")
    return message(
        "lock-option", "the option {option} is not accepted in a lock; remove it, and set packages.index_url if necessary", option=name[:40]
    )


def _pinned(number: int, line: str) -> Pinned | Described:
    """Return the package of a line, or why it is not accepted. The reason repeats no URL, which can contain a password."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name
    from packaging.version import InvalidVersion, Version

    hashes, specification = _HASH.findall(line), _HASH.sub("", line)
    if re.match(r"(\.{0,2}/|[A-Za-z]:[\\/]|\.{1,2}\\|file:|https?:|(git|hg|svn|bzr)\+)", specification):
        return message(
            "lock-not-from-index", "a package from a URL, a repository, or a folder is not accepted; add its wheel to the package index"
        )
    try:
        requirement = Requirement(specification)
    except InvalidRequirement:
        return message("lock-requirement-invalid", "the line is not valid in a lock; expected NAME==VERSION with --hash=sha256:HEX")
    if requirement.url is not None:
        return message(
            "lock-url",
            "{name}: a package from a URL or a repository is not accepted; add its wheel to the package index",
            name=requirement.name,
        )
    name = canonicalize_name(requirement.name)
    specifier = str(requirement.specifier)
    if not _PIN.fullmatch(specifier):
        return message("lock-not-pinned", "{name}: expected one exact version, such as {name}==1.0", name=name)
    try:
        version = str(Version(specifier.removeprefix("==")))
    except InvalidVersion:
        return message(
            "lock-version-invalid",
            '{name}: "{version}" is not a valid version',
            name=name,
            version=clean(specifier.removeprefix("=="), 100),
        )
    sha256 = tuple(sorted({digest.lower() for kind, digest in hashes if kind == "sha256"}))
    if not sha256:
        return message("lock-without-hash", "{name} has no --hash=sha256; create the lock with the option --generate-hashes", name=name)
    if any(not re.fullmatch(r"[0-9a-f]{64}", digest) for digest in sha256):
        return message("lock-hash-malformed", "{name}: a SHA-256 hash must have 64 hex digits", name=name)
    return Pinned(number, name, version, requirement.marker, sha256)
