"""The file of allowed signers, in the format of OpenSSH (ALLOWED SIGNERS in ssh-keygen(1)): who may sign, with which key, until when.

A certificate authority is refused, and every line must be valid: a list that is read in part would allow something else than it says.
Keys of other types than Ed25519 may be listed, for example for git, and cannot approve.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from nbserver.approval import sshsig
from nbserver.base import plain_file
from nbserver.base.errors import ApprovalError
from nbserver.base.message import DescribedError, Message, cause, message

LIMIT = 1_000_000  # bytes of the file, enough for about 8000 keys
LONGEST = 8_000  # characters of a line
LONGEST_PATTERN = 200
FIRST_YEAR, LAST_YEAR = 1972, 2996  # leap years, of which a local time can be converted on every system

_KEY_TYPE = re.compile(r"(ssh|ecdsa|sk)-[a-z0-9@.-]+")
_OPTION = re.compile(r'([A-Za-z-]+)(?:="([^"\\]*)")?(,|$)')
_TIME = re.compile(r"(\d{8}|\d{12}|\d{14})(Z|UTC)?", re.ASCII)


@dataclass(frozen=True)
class AllowedSigner:
    """One line: a key, the patterns of the names that may use it, for which namespaces, and when. Without a time, there is no limit."""

    line: int
    principals: str
    key: bytes
    namespaces: str | None = None
    valid_after: datetime | None = None
    valid_before: datetime | None = None


@dataclass(frozen=True)
class AllowedSigners:
    """A parsed file. `where` is its path for messages."""

    where: str
    lines: tuple[AllowedSigner, ...]

    def refusal(self, name: str, key: sshsig.PublicKey, namespace: str, now: datetime) -> Message | None:
        """Return why `name` may not sign with this key, or None if a line of the file allows it."""
        of_key = [line for line in self.lines if line.key == key.blob and matches(name, line.principals)]
        usable = [line for line in of_key if line.namespaces is None or matches(namespace, line.namespaces)]
        if any(_is_valid(line, now) for line in usable):
            return None
        if usable:
            return message(
                "signer-not-valid-now",
                "the key on line {line} of {file} has expired or is not valid yet",
                line=usable[0].line,
                file=self.where,
            )
        if of_key:
            return message(
                "signer-other-namespace",
                'line {line} of {file} does not allow the namespace "{namespace}"',
                line=of_key[0].line,
                file=self.where,
                namespace=namespace,
            )
        return message(
            "signer-unknown", "{file} does not allow {name} to sign with the key {key}", file=self.where, name=name, key=key.fingerprint
        )


def _is_valid(line: AllowedSigner, now: datetime) -> bool:
    return (line.valid_after is None or line.valid_after <= now) and (line.valid_before is None or now <= line.valid_before)


def read(path: Path) -> AllowedSigners:
    """Return the allowed signers in a file. Raises ApprovalError with file and line."""
    data = plain_file.read(
        path,
        LIMIT,
        advice=message("allowed-signers-expected", "Specify an allowed signers file in the format that ssh-keygen(1) describes"),
    )
    where = plain_file.shown(path)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ApprovalError("allowed-signers-not-utf8", "the file is not UTF-8 text", where=where, todo="Save the file as UTF-8") from None
    found: list[AllowedSigner] = []
    for number, line in enumerate(text.split("\n"), 1):
        try:
            found += _parsed(line.removesuffix("\r"), number)
        except ValueError as error:
            raise ApprovalError(
                "allowed-signers-invalid",
                "the line is not valid: {reason}",
                where=f"{where}:{number}",
                todo="Correct the line. For the format, see ALLOWED SIGNERS in ssh-keygen(1)",
                reason=cause(error),
            ) from None
    if not found:
        raise ApprovalError(
            "allowed-signers-empty", "the file lists no signers", where=where, todo="Add a line of the form: NAME ssh-ed25519 AAAA..."
        )
    return AllowedSigners(where, tuple(found))


def _parsed(line: str, number: int) -> Iterator[AllowedSigner]:
    if len(line) > LONGEST:
        raise DescribedError("signer-line-too-long", "the line is longer than {limit} characters", limit=LONGEST)
    line = line.strip(" \t")
    if not line or line.startswith("#"):
        return
    if any(ord(character) < 32 and character != "\t" for character in line):
        raise DescribedError("signer-line-control", "the line contains a control character")
    quoted = re.fullmatch(r'"([^"]+)"[ \t]+(.*)', line) if line.startswith('"') else re.fullmatch(r"(\S+)[ \t]+(.*)", line)
    if not quoted:
        raise DescribedError("signer-line-invalid", "expected the names of signers, then options (if any), a key type, and a key in Base64")
    principals, rest = quoted.groups()
    _require_patterns(principals)
    options, words = "", rest.split()
    if not words or not _KEY_TYPE.fullmatch(words[0]):  # without words, what is left is a space that is not ASCII
        options, rest = _options_and_rest(rest)
        words = rest.split()
    yield AllowedSigner(number, principals, _key(words), *_limits(options))


def _options_and_rest(text: str) -> tuple[str, str]:
    """Split at the first space that is not in quotes."""
    found = re.match(r'((?:[^\s"]|"[^"]*")+)[ \t]+(.*)', text)
    if not found:
        raise DescribedError("signer-line-invalid", "expected the names of signers, then options (if any), a key type, and a key in Base64")
    return found[1], found[2]


def _key(words: list[str]) -> bytes:
    if len(words) < 2 or not _KEY_TYPE.fullmatch(words[0]):
        raise DescribedError("signer-line-invalid", "expected the names of signers, then options (if any), a key type, and a key in Base64")
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        raise DescribedError("signer-key-not-base64", "the key is not valid Base64") from None
    if blob[4 : 4 + int.from_bytes(blob[:4], "big")] != words[0].encode():
        raise DescribedError("signer-key-type-differs", "the key type does not match the key data")
    if words[0] in (sshsig.ED25519, sshsig.SK_ED25519):
        try:
            sshsig.parse_key(blob)
        except ValueError:
            raise DescribedError("signer-key-invalid", "the key is not a complete Ed25519 key") from None
    return blob


def _limits(options: str) -> tuple[str | None, datetime | None, datetime | None]:
    values: dict[str, str | None] = {}
    at = 0
    while at < len(options):
        option = _OPTION.match(options, at)
        name = option[1].lower() if option else ""
        if name == "cert-authority":
            raise DescribedError("signer-authority", "cert-authority is not supported; list the key of each person instead")
        if option is None or option[2] is None or name not in ("namespaces", "valid-after", "valid-before"):
            raise DescribedError(
                "signer-option-unknown", 'the option is not supported; expected namespaces="...", valid-after="...", or valid-before="..."'
            )
        if name in values:
            raise DescribedError("signer-option-twice", "the option {name} is set twice", name=name)
        values[name], at = option[2], option.end()
    if options.endswith(","):
        raise DescribedError("signer-options-end", "the options must not end with a comma")
    after, before = (_time(values.get(name)) for name in ("valid-after", "valid-before"))
    if after and before and before <= after:
        raise DescribedError("signer-times", "valid-before must be later than valid-after")
    namespaces = values.get("namespaces")
    if namespaces is not None:
        _require_patterns(namespaces)
    return namespaces, after, before


def _require_patterns(patterns: str) -> None:
    for pattern in patterns.split(","):
        if not pattern.removeprefix("!") or len(pattern) > LONGEST_PATTERN:
            raise DescribedError("signer-pattern", "a pattern must be 1 to {limit} characters long", limit=LONGEST_PATTERN)


def _time(text: str | None) -> datetime | None:
    """Return a time in the local zone or, with Z, in UTC. Raises ValueError."""
    if text is None:
        return None
    found = _TIME.fullmatch(text)
    try:
        if not found:
            raise ValueError
        time = datetime.strptime(found[1].ljust(14, "0"), "%Y%m%d%H%M%S")
        return time.replace(tzinfo=UTC) if found[2] else _of_local(time)
    except ValueError:
        raise DescribedError("signer-time", "a time must have the form YYYYMMDD or YYYYMMDDHHMM[SS], with Z for UTC") from None


def _of_local(time: datetime) -> datetime:
    """Return a time of the local zone in UTC. Windows knows the zone from 1970 to 3000 only: before and after, it is that of a near year."""
    known = time.replace(year=min(max(time.year, FIRST_YEAR), LAST_YEAR))
    try:
        return time.replace(tzinfo=timezone(known.astimezone().utcoffset() or timedelta())).astimezone(UTC)
    except OverflowError:  # in the first hours of year 1, or in the last ones of 9999
        return time.replace(tzinfo=UTC)


def matches(name: str, patterns: str) -> bool:
    """Return whether a name matches a list of patterns: one matches it, and none with ! in front does (PATTERNS in ssh_config(5))."""
    found = False
    for pattern in patterns.split(","):
        if _matches(name, pattern.removeprefix("!")):
            if pattern.startswith("!"):
                return False
            found = True
    return found


def _matches(name: str, pattern: str) -> bool:
    """Return whether a name matches a pattern with * and ?, in time that grows with the product of their lengths."""
    reached = {0}  # how many characters of the name the pattern can have matched so far
    for character in pattern:
        if character == "*":
            reached = set(range(min(reached), len(name) + 1))
        else:
            reached = {at + 1 for at in reached if at < len(name) and character in ("?", name[at])}
        if not reached:
            return False
    return len(name) in reached
