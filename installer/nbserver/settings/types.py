"""The types of text values in settings: addresses, URLs, Windows paths, fingerprints.

A check refuses a value with a reason. The reason does not repeat the value, which could be a password in the wrong place.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator
from pydantic.json_schema import WithJsonSchema

from nbserver.base.date_text import reads_like_date
from nbserver.base.plain_text import is_invisible
from nbserver.settings.host_name import host_name, require_no_zone
from nbserver.settings.refusal import refuse
from nbserver.settings.windows_path import windows_folder, windows_path

PASSWORD_MINIMUM = 12  # minimum length of a notebook password, unless the inventory sets notebook.password_minimum


_IN_FILE_NAMES = "\u202f"  # a narrow space: systems write it in file names with a time


def plain_text(value: Any) -> Any:
    """Refuse control and invisible characters, outer spaces, and what PowerShell would convert to a date; also in arrays."""
    for text in value if isinstance(value, list | tuple) else [value]:
        if not isinstance(text, str):
            continue
        if not text:
            raise refuse("text-empty", "must not be empty")
        if any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u2029" for c in text):
            raise refuse(
                "text-control-characters",
                "must not contain control characters (in \"...\", write each backslash as \\\\; or use '...', where a backslash is literal)",
            )
        if text != text.strip():
            raise refuse("text-outer-space", "must not begin or end with a space")
        invisible = next((c for c in text if is_invisible(c) and c != _IN_FILE_NAMES), "")
        if invisible:
            raise refuse(
                "text-invisible-character",
                "must not contain invisible characters such as {character}; delete the text and type it again",
                character=f"U+{ord(invisible):04X}",
            )
        if len(text) > 1000:
            raise refuse("text-too-long", "must not be longer than 1000 characters")
        if reads_like_date(text):
            raise refuse("text-like-date", "must not look like a date and time, because PowerShell would convert it")
    return value


class Settings(BaseModel):
    """A table of the inventory or the catalog: without unknown keys, without type conversion, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, defer_build=True)
    pasted_with_mark: ClassVar[frozenset[str]] = frozenset()
    """The keys of texts that Windows shows behind an invisible mark (U+200E)."""

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any, info: ValidationInfo) -> Any:
        if info.field_name in cls.pasted_with_mark and isinstance(value, str):
            value = value.removeprefix("\u200e")
        return plain_text(value)


def listen_address(text: str) -> str:
    require_no_zone(text)
    try:
        return text if text == "*" else str(ipaddress.ip_address(text))
    except ValueError:
        raise refuse("not-an-address", "must be an IP address") from None


def remote_address(text: str) -> str:
    """Return an address, a network or a firewall keyword in its canonical form. A network of one address becomes the address: ufw
    shows it so."""
    for word in ("Any", "LocalSubnet"):
        if text.lower() == word.lower():
            return word
    require_no_zone(text)
    try:
        network = ipaddress.ip_network(text)
    except ValueError as reason:
        if "host bits" in str(reason):
            raise refuse("network-host-bits", "the network address has host bits set: all bits after the prefix length must be 0") from None
        raise refuse(
            "not-a-remote-address", 'must be an IP address, a network such as 192.0.2.0/24, or a firewall keyword such as "Any"'
        ) from None
    if not network.prefixlen:
        raise refuse("network-of-all-addresses", 'this network contains every address; use "Any" instead')
    return str(network if network.num_addresses > 1 else network.network_address)


def one_firewall_rule(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not texts:
        raise refuse("no-remote-address", "must not be empty, or nobody will be able to connect")
    if "Any" in texts and len(texts) > 1:
        raise refuse("any-with-addresses", '"Any" cannot be combined with other addresses')
    return unlike(texts)


def unlike(texts: tuple[str, ...]) -> tuple[str, ...]:
    if len({text.lower() for text in texts}) < len(texts):
        raise refuse("array-duplicate", "the array contains the same value twice; values are not case-sensitive")
    return texts


def url(text: str, *schemes: str, path: bool) -> str:
    """Return a URL of printable ASCII with one of `schemes`, and without a user, password, query or fragment.

    Its host is in the form that `host_name` returns.
    """
    if "@" in text:
        raise refuse("url-with-credentials", "must not contain a user name or password")
    host = re.match(r"[A-Za-z]+://([^/?#:\[\]]+)", text)
    if host and (not host[1].isascii() or host[1].endswith(".")):
        text = text[: host.start(1)] + host_name(host[1]) + text[host.end(1) :]
    if not re.fullmatch(r"[!-~]+", text) or any(c in text for c in "\"'<>\\^`{|}"):
        raise refuse("url-character", "contains a character that is not allowed in a URL")
    try:
        parts = urlsplit(text)
        name, port = parts.hostname, parts.port
    except ValueError:
        raise refuse("url-host-invalid", "the host or port of the URL is not valid") from None
    if parts.scheme not in schemes:
        first, *others = (f"{scheme}://" for scheme in schemes)
        if others:
            raise refuse("url-schemes", "must begin with {first} or {other}", first=first, other=others[0])
        raise refuse("url-scheme", "must begin with {scheme}", scheme=first)
    if not name or port == 0:
        raise refuse("url-without-host", "must contain a host, and the port must not be 0")
    host_name(name)
    if "?" in text or "#" in text:
        raise refuse("url-with-query", "must not contain a query or fragment")
    if not path and parts.path not in ("", "/"):
        raise refuse("url-with-path", "must not contain a path")
    return text


def web_address(text: str) -> str:
    return url(text, "https", "http", path=True)


def mirror_url(text: str) -> str:
    """Return an https URL without a slash at the end. pip and uv separate several URLs by spaces or commas."""
    found = url(text, "https", path=True).rstrip("/")
    if "," in found:
        raise refuse("url-character", "contains a character that is not allowed in a URL")
    return found


def public_url(text: str) -> str:
    return url(text, "https", path=False)


def proxy_url(text: str) -> str:
    return url(text, "http", "https", path=False)


def fingerprint(text: str) -> str:
    """Return SHA256: and 64 lower-case hex digits."""
    digits = text[7:].replace(":", "").lower()
    if text[:7].upper() != "SHA256:" or not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise refuse("not-a-fingerprint", "must be SHA256: followed by 64 hex digits")
    return f"SHA256:{digits}"


def thumbprint(text: str) -> str:
    """Return 40 upper-case hex digits. The certificate dialog of Windows shows them with spaces."""
    digits = re.sub("[ :]", "", text).upper()
    if not re.fullmatch(r"[0-9A-F]{40}", digits):
        raise refuse("not-a-thumbprint", "must be a thumbprint of 40 hex digits")
    return digits


def version_prefix(text: str) -> str:
    if not re.fullmatch(r"(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){0,3}", text):
        raise refuse("not-a-version", "must be a version made up of numbers and dots, such as 3.11.9")
    return text


def configuration_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", text):
        raise refuse("configuration-name-invalid", "must contain only letters, digits, and . _ -")
    return text


def _relative_to_file(value: Any, info: ValidationInfo) -> Any:
    """Return an absolute path. A relative path starts at the folder of the file that contains it (`folder` of the context)."""
    if not isinstance(value, str):
        return value
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        raise refuse("no-home-for-tilde", "~ cannot be used because this user has no home folder") from None
    folder = (info.context or {}).get("folder", Path())
    return Path(os.path.abspath(folder / path))  # noqa: PTH100 (a link stays a link)


def _existing(path: Path) -> Path:
    if not os.path.isfile(path):  # noqa: PTH113 (Path.is_file raises PermissionError, and for a name that is too long)
        raise refuse("file-missing", "the file does not exist")
    return path


def _array(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_PATH = WithJsonSchema({"type": "string"})
FilePath = Annotated[Path, BeforeValidator(_relative_to_file), _PATH]
ExistingFile = Annotated[Path, AfterValidator(_existing), BeforeValidator(_relative_to_file), _PATH]
Array = BeforeValidator(_array)
HostName = Annotated[str, AfterValidator(host_name)]
ListenAddress = Annotated[str, AfterValidator(listen_address)]
RemoteAddress = Annotated[str, AfterValidator(remote_address)]
WebAddress = Annotated[str, AfterValidator(web_address)]
MirrorUrl = Annotated[str, AfterValidator(mirror_url)]
PublicUrl = Annotated[str, AfterValidator(public_url)]
ProxyUrl = Annotated[str, AfterValidator(proxy_url)]
WindowsPath = Annotated[str, AfterValidator(windows_path)]
WindowsFolder = Annotated[str, AfterValidator(windows_folder)]
Fingerprint = Annotated[str, AfterValidator(fingerprint)]
Thumbprint = Annotated[str, AfterValidator(thumbprint)]
VersionPrefix = Annotated[str, AfterValidator(version_prefix)]
ConfigurationName = Annotated[str, AfterValidator(configuration_name)]
