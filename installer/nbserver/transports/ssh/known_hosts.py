"""Read a known_hosts file as OpenSSH does: a line that cannot be read is skipped, and names are compared without case.

The format is described in sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT". Lines in UTF-16, which OpenSSH skips, are read too: in Windows
PowerShell 5.1, `>>` appends them to a file of any encoding.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh

from nbserver.base.errors import HostKeyError
from nbserver.base.message import Message, notice
from nbserver.settings import write_access

if TYPE_CHECKING:
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.ssh_server import SshServer

Keys = Sequence[asyncssh.SSHKey]

DEFAULT_FILE = "~/.ssh/known_hosts"
DEFAULT_PORT = 22
_MARKERS = ("@cert-authority", "@revoked")
_NUMBERS_SHOWN = 10
_BLANK = " \t"


@dataclass(frozen=True)
class Entry:
    """One line: `names` is a list of patterns, or one hashed name; `marker` is "", "@cert-authority", or "@revoked"."""

    marker: str
    names: str
    key: asyncssh.SSHKey

    def is_for(self, name: str) -> bool:
        """Return whether the line is for a name in lower case, which may have the form [name]:port."""
        if self._hash is not None:
            salt, digest = self._hash
            return hmac.compare_digest(hmac.new(salt, name.encode(), "sha1").digest(), digest)
        found = False
        for pattern, forbids in self._patterns:
            if pattern.fullmatch(name):
                if forbids:
                    return False
                found = True
        return found

    @property
    def plain_names(self) -> list[str] | None:
        """The names in lower case, or None if the line has patterns, or a hashed name."""
        return None if self._hash is not None or re.search("[*?!]", self.names) else self.names.lower().split(",")

    @cached_property
    def _hash(self) -> tuple[bytes, bytes] | None:
        return _hash(self.names) if self.names.startswith("|") else None

    @cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], bool]]:
        """The patterns, and whether each forbids what it matches."""
        return [(_pattern(text.removeprefix("!")), text.startswith("!")) for text in self.names.lower().split(",")]


@dataclass(frozen=True)
class KnownHosts:
    """The entries of a file, the numbers of the lines that were skipped, and of those in UTF-16."""

    entries: Sequence[Entry]
    skipped: Sequence[int]
    utf16: Sequence[int]

    def keys(self, address: str, port: int) -> tuple[Keys, Keys, Keys]:
        """Return the host's trusted keys, authorities, and revoked keys. As in OpenSSH, an entry for its IP address alone is ignored.

        An entry without a port applies to every port that has no entry. A key that is revoked for either is revoked.
        """
        name = address.lower()
        plain, exact = self._for(name), self._for(f"[{name}]:{port}")
        revoked = _marked("@revoked", [*plain, *exact])
        if port == DEFAULT_PORT or not any(entry.marker != "@revoked" for entry in exact):
            exact = plain
        return _marked("", exact), _marked("@cert-authority", exact), revoked

    def _for(self, name: str) -> list[Entry]:
        """Return the entries for a name, in their order. A fleet has a line for each host: only those with patterns are compared."""
        numbers = [*self._by_name.get(name, ()), *(number for number in self._compared if self.entries[number].is_for(name))]
        return [self.entries[number] for number in sorted(set(numbers))]

    @cached_property
    def _by_name(self) -> dict[str, list[int]]:
        """The numbers of the entries that have only plain names, by these names."""
        found: dict[str, list[int]] = {}
        for number, entry in enumerate(self.entries):
            for name in entry.plain_names or ():
                found.setdefault(name, []).append(number)
        return found

    @cached_property
    def _compared(self) -> list[int]:
        """The numbers of all other entries."""
        return [number for number, entry in enumerate(self.entries) if entry.plain_names is None]


def _marked(marker: str, entries: Iterable[Entry]) -> Keys:
    return [entry.key for entry in entries if entry.marker == marker]


def file_of(host: LinuxHost | SshServer) -> Path:
    """Return the file that decides which key the host may show, if the inventory pins none."""
    return host.known_hosts or Path(os.path.expanduser(DEFAULT_FILE))  # noqa: PTH111 (Path raises if there is no home)


def read(host: LinuxHost | SshServer) -> KnownHosts:
    """Return what is in the host's file, which may be missing. Raises HostKeyError if it cannot be read, or if others may write to it."""
    file = file_of(host)
    try:
        content, who = file.read_bytes(), write_access.others_of_working_file(file)
    except FileNotFoundError:
        return parse(b"")
    except OSError as error:
        raise HostKeyError(
            "known-hosts-unreadable",
            "could not read {file}: {reason}",
            host=host.name,
            todo="Make sure that it is a file that you can read, or set known_hosts in the inventory to another file",
            file=file,
            reason=error.strerror,
        ) from None
    if who:
        raise HostKeyError(
            "known-hosts-writable",
            "{who} can write to {file} or its folder",
            host=host.name,
            todo="Remove this write access, so that nobody else decides which host keys you trust",
            who=who,
            file=file,
        )
    return parse(content)


def warnings(host: LinuxHost | SshServer) -> list[Message]:
    """Return what to say about the host's file. A file that cannot be read fails the host when it is contacted."""
    said: list[Message] = []
    if host.host_key is not None:
        return said
    try:
        file, known = file_of(host), read(host)
    except HostKeyError:
        return said
    if known.skipped:
        said.append(
            notice(
                "known-hosts-lines-skipped",
                "{file}: these lines are invalid and were skipped: {numbers}. Correct or remove them",
                file=file,
                numbers=_numbers(known.skipped),
            )
        )
    if known.utf16:
        said.append(
            notice(
                "known-hosts-utf16",
                "{file}: these lines are in UTF-16, which ssh cannot read: {numbers}. Save the file as UTF-8; "
                "in Windows PowerShell, append with Add-Content instead of >>",
                file=file,
                numbers=_numbers(known.utf16),
            )
        )
    return said


def _numbers(numbers: Collection[int]) -> str:
    shown = ", ".join(map(str, list(numbers)[:_NUMBERS_SHOWN]))
    more = len(numbers) - _NUMBERS_SHOWN
    return shown if more <= 0 else f"{shown} (and {more} more)"


@lru_cache(maxsize=8)
def parse(data: bytes) -> KnownHosts:
    """Return the entries of a file. All hosts of a run share the result."""
    entries, skipped, utf16 = [], [], []
    for number, (line, is_utf16) in enumerate(_lines(data), 1):
        text = line.strip(_BLANK + "\r")
        if not text or text.startswith("#"):
            continue
        if is_utf16:
            utf16.append(number)
        entry = _entry(text)
        if entry is None:
            skipped.append(number)
        else:
            entries.append(entry)
    return KnownHosts(entries, skipped, utf16)


def _lines(data: bytes) -> Iterator[tuple[str, bool]]:
    """Yield each line, and whether it is in UTF-16. Only LF ends a line: a comment may have any other character, in any encoding."""
    at = 0
    while at < len(data):
        for mark in (BOM_UTF8, BOM_UTF16_LE, BOM_UTF16_BE):
            if data.startswith(mark, at):
                at += len(mark)
                break
        encoding = {(False, True): "utf-16-le", (True, False): "utf-16-be"}.get(
            (data[at : at + 1] == b"\0", data[at + 1 : at + 2] == b"\0"), ""
        )
        if encoding:
            end = _end_of_utf16(data, at, "\n".encode(encoding))
            yield data[at:end].decode(encoding, "replace").rstrip("\n"), True
        else:
            end = data.find(b"\n", at) + 1 or len(data)
            line = data[at:end]
            if b"\0" in line and data[end : end + 1] == b"\0":
                end += 1  # UTF-16 was appended to a line without an end
            yield line.decode("utf-8", "replace").rstrip("\n"), b"\0" in line
        at = end


def _end_of_utf16(data: bytes, begin: int, line_end: bytes) -> int:
    """Return where the line ends, including its line end, which is at an even distance from its beginning."""
    at = data.find(line_end, begin)
    while at >= 0 and (at - begin) % 2:
        at = data.find(line_end, at + 1)
    return len(data) if at < 0 else at + 2


def _entry(text: str) -> Entry | None:
    words = [word for word in text.replace("\t", " ").split(" ") if word]
    marker = words.pop(0) if words[0].startswith("@") else ""
    names, *rest = words or [""]
    if marker not in ("", *_MARKERS):
        return None
    if len(rest) < 2 or names.startswith("@") or (names.startswith("|") and _hash(names) is None):
        return None
    kind, blob = rest[:2]
    try:
        key = asyncssh.import_public_key(f"{kind} {blob}")
    except Exception:  # the library can raise anything for invalid data
        return None
    return Entry(marker, names, key)


def _hash(names: str) -> tuple[bytes, bytes] | None:
    """Return salt and hash of a hashed name, |1|SALT|HASH, or None if it has another form."""
    try:
        magic, salt, digest = names[1:].split("|")
        return (base64.b64decode(salt, validate=True), base64.b64decode(digest, validate=True)) if magic == "1" else None
    except ValueError:
        return None


def _pattern(text: str) -> re.Pattern[str]:
    """Return a pattern with * and ?, the only special characters."""
    return re.compile("".join({"*": ".*", "?": "."}.get(character, re.escape(character)) for character in text), re.DOTALL)
