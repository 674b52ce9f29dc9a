"""The kinds of text that settings are made of: addresses, URLs, Windows paths, fingerprints.

Each check refuses with a reason. A reason does not repeat the text, which could be a password in the wrong place.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo, field_validator
from pydantic.json_schema import WithJsonSchema
from pydantic_core import PydanticCustomError

from nbserver.base.date_text import reads_like_date

PASSWORD_MINIMUM = 12  # characters of a notebook's password, unless the inventory says notebook.password_minimum


def refuse(reason: str) -> PydanticCustomError:
    return PydanticCustomError("refused", "{reason}", {"reason": reason})


def plain_text(value: Any) -> Any:
    """Refuse control characters, space at either end, and what PowerShell would take for a date; also within arrays."""
    for text in value if isinstance(value, list | tuple) else [value]:
        if not isinstance(text, str):
            continue
        if not text:
            raise refuse("it is empty")
        if any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u2029" for c in text):
            raise refuse("it holds a control character")
        if text != text.strip():
            raise refuse("it begins or ends with a space")
        if len(text) > 1000:
            raise refuse("it is longer than 1000 characters")
        if reads_like_date(text):
            raise refuse("it reads like a date and time, which PowerShell would change on its way")
    return value


class Settings(BaseModel):
    """A table of the inventory or the catalog: no unknown key, no conversion between types, never changed."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        return plain_text(value)


def host_name(text: str) -> str:
    """Return a DNS name or IP address as it is, IPv6 in its short form."""
    if "://" in text or "/" in text:
        raise refuse("it holds a scheme or a path; only the name or address belongs here")
    if "@" in text:
        raise refuse("it holds a user; only the name or address belongs here")
    if text.startswith("["):
        raise refuse("an IPv6 address stands here without brackets")
    if ":" in text and text.count(":") == 1:
        raise refuse("it holds a port; only the name or address belongs here")
    if "%" in text:
        raise refuse("an IPv6 address with a zone works on one machine only")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    labels = text.split(".")
    if len(text) > 253 or not all(re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", x) for x in labels):
        raise refuse("it is neither a DNS name nor an IP address")
    if labels[-1].isdigit():
        raise refuse("it is not an IPv4 address of four numbers up to 255, and no DNS name ends in a number")
    return text


def listen_address(text: str) -> str:
    try:
        return text if text == "*" else str(ipaddress.ip_address(text))
    except ValueError:
        raise refuse("it is not an IP address") from None


def remote_address(text: str) -> str:
    """Return an address, a network or one of the firewall's words in the form that is compared later."""
    for word in ("Any", "LocalSubnet"):
        if text.lower() == word.lower():
            return word
    try:
        return str(ipaddress.ip_network(text) if "/" in text else ipaddress.ip_address(text))
    except ValueError as reason:
        if "host bits" in str(reason):
            raise refuse("the network has bits set behind its prefix length") from None
        raise refuse("it is not an IP address, a network or a word of the firewall") from None


def one_firewall_rule(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not texts:
        raise refuse("the array is empty, so nobody could connect")
    if "Any" in texts and len(texts) > 1:
        raise refuse('"Any" makes the other addresses pointless')
    return unlike(texts)


def unlike(texts: tuple[str, ...]) -> tuple[str, ...]:
    if len({text.lower() for text in texts}) < len(texts):
        raise refuse("the array names something twice")
    return texts


def url(text: str, *schemes: str, path: bool) -> str:
    """Return a URL of printable ASCII with one of `schemes` and without user, password, query and fragment."""
    if "@" in text:
        raise refuse("a URL here never holds a user or password")
    if not re.fullmatch(r"[!-~]+", text) or any(c in text for c in "\"'<>\\^`{|}"):
        raise refuse("it holds a character that no URL has")
    try:
        parts = urlsplit(text)
        name, port = parts.hostname, parts.port
    except ValueError:
        raise refuse("its host or port cannot be read") from None
    if parts.scheme not in schemes:
        raise refuse(f"it does not begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if not name or port == 0:
        raise refuse("it lacks a host or its port is 0")
    host_name(name)
    if "?" in text or "#" in text:
        raise refuse("it holds a query or a fragment")
    if not path and parts.path not in ("", "/"):
        raise refuse("it holds a path")
    return text


def web_address(text: str) -> str:
    return url(text, "https", "http", path=True)


def public_url(text: str) -> str:
    return url(text, "https", path=False)


def proxy_url(text: str) -> str:
    return url(text, "http", "https", path=False)


def windows_path(text: str) -> str:
    """Return an absolute path on a drive, or one that begins with %Variable%; 200 characters at most."""
    if len(text) > 200:
        raise refuse("it is longer than 200 characters")
    start = re.match(r"([A-Za-z]:(?=\\)|%[A-Za-z_][A-Za-z0-9_()]*%(?=\\|$))", text)
    if not start:
        raise refuse("it is not absolute")
    if any(c in "\"'`;%/:*?<>|\u2018\u2019\u201a\u201b\u201c\u201d\u201e" for c in text[start.end() :]):
        raise refuse("it holds a character that has no place in it: one of \" ' ` ; % / : * ? < > |")
    if any(part in (".", "..") for part in text.split("\\")):
        raise refuse("it holds . or .. as a folder")
    return text


def windows_folder(text: str) -> str:
    """Return a Windows path below a drive's root or below a variable's folder: its permissions will be set."""
    if not re.search(r"\\[^\\]", windows_path(text)):
        raise refuse("it names no folder below the drive or the variable")
    return text


def fingerprint(text: str) -> str:
    """Return SHA256: and 64 lower-case hex digits."""
    digits = text[7:].replace(":", "").lower()
    if text[:7].upper() != "SHA256:" or not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise refuse("it is not SHA256: followed by 64 hex digits")
    return f"SHA256:{digits}"


def thumbprint(text: str) -> str:
    """Return 40 upper-case hex digits. Windows' certificate dialog shows them with spaces, behind an invisible mark."""
    digits = re.sub("[ :\u200e]", "", text).upper()
    if not re.fullmatch(r"[0-9A-F]{40}", digits):
        raise refuse("it is not a thumbprint of 40 hex digits")
    return digits


def version_prefix(text: str) -> str:
    if not re.fullmatch(r"(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){0,3}", text):
        raise refuse("it is not a version made of numbers and points")
    return text


def configuration_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", text):
        raise refuse("it holds a character other than letters, digits and . _ -")
    return text


def _beside(value: Any, info: ValidationInfo) -> Any:
    """Make text an absolute path; it counts from the folder of the file that it stands in (`folder` of the context)."""
    if not isinstance(value, str):
        return value
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        raise refuse("the home folder that ~ means is unknown") from None
    folder = (info.context or {}).get("folder", Path())
    return Path(os.path.abspath(folder / path))  # noqa: PTH100 (a link stays a link)


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise refuse("there is no such file")
    return path


def _array(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


_PATH = WithJsonSchema({"type": "string"})
FilePath = Annotated[Path, BeforeValidator(_beside), _PATH]
ExistingFile = Annotated[Path, AfterValidator(_existing), BeforeValidator(_beside), _PATH]
Array = BeforeValidator(_array)
HostName = Annotated[str, AfterValidator(host_name)]
ListenAddress = Annotated[str, AfterValidator(listen_address)]
RemoteAddress = Annotated[str, AfterValidator(remote_address)]
WebAddress = Annotated[str, AfterValidator(web_address)]
PublicUrl = Annotated[str, AfterValidator(public_url)]
ProxyUrl = Annotated[str, AfterValidator(proxy_url)]
WindowsPath = Annotated[str, AfterValidator(windows_path)]
WindowsFolder = Annotated[str, AfterValidator(windows_folder)]
Fingerprint = Annotated[str, AfterValidator(fingerprint)]
Thumbprint = Annotated[str, AfterValidator(thumbprint)]
VersionPrefix = Annotated[str, AfterValidator(version_prefix)]
ConfigurationName = Annotated[str, AfterValidator(configuration_name)]
