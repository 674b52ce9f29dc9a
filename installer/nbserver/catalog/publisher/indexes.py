"""The indexes of python.org and slproweb.com: find the newest release of a version, and return it as a catalog entry.

Pure functions. They raise DownloadError if an index does not have the format of these publishers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from nbserver.base.message import Message, message
from nbserver.catalog.choice import numbers as _numbers
from nbserver.catalog.entries import Download
from nbserver.catalog.publisher.index_json import Table, shown
from nbserver.catalog.publisher.urls import Publisher, file_url
from nbserver.settings.refusal import reason_of

Numbers = tuple[int, ...]

_VERSION = re.compile(r"(?:0|[1-9]\d{0,5})(?:\.(?:0|[1-9]\d{0,5})){2}")
_PROGRAM = re.compile(r"(?:\.\\)?((?:[A-Za-z0-9_][A-Za-z0-9_.-]*\\)*[A-Za-z0-9_][A-Za-z0-9_.-]*)")
_PYTHON_TAGS = {"x64": ("64", "amd64"), "arm64": ("arm64", "arm64")}  # in the id, in the file's name
_OPENSSL_PROCESSORS = {"x64": ("INTEL", "Win64"), "arm64": ("ARM", "Win64ARM")}  # in the index, in the file's name
_LARGEST_FILE = 2**31


def python(pages: Sequence[Table], wanted: str, architecture: str, publisher: Publisher, date: str) -> Download:
    """Return the newest release of `wanted` ("3.13" or "3.13.16"): the complete zip, not the embeddable one.

    `pages` are those of index-windows.json, or one windows-VERSION.json: `versions[]` with `id`, `sort-version`,
    `executable`, `url` and `hash.sha256`, as the Python install manager reads them (PEP 773). Pre-releases and free-threaded
    builds are excluded. `date` (YYYY-MM-DD) is part of `source`.
    """
    in_id, in_name = _PYTHON_TAGS[architecture]
    found: list[tuple[Numbers, Table]] = []
    others: set[str] = set()
    for entry in (entry for page in pages for entry in page.tables("versions")):
        match = re.fullmatch(rf"pythoncore-(\d{{1,6}}\.\d{{1,6}})-{in_id}", entry.text("id"), re.ASCII)
        if match and match[1] != _branch(wanted):
            others.add(match[1])
        elif match and not re.fullmatch(_VERSION.pattern + r"(a|b|rc)\d{1,3}", entry.text("sort-version"), re.ASCII):
            found.append((_version(entry, "sort-version", match[1]), entry))
    version, entry = _newest(found, wanted, _python(wanted, architecture), others, pages[0])
    if entry.number("schema") != 1:
        raise entry.refuse("index-schema-unknown", "schema {schema} is not supported; expected schema 1", schema=entry.number("schema"))
    sha256 = entry.table("hash").sha256("sha256")
    program = _PROGRAM.fullmatch(entry.text("executable"))
    if not program:
        raise entry.refuse(
            "index-executable-outside-zip", "executable is not a path inside the zip: {path}", path=shown(entry.text("executable"))
        )
    return Download(
        name="python",
        version=version,
        architecture=architecture,
        kind="zip",
        url=_url(entry, f"python-{version}-{in_name}.zip", publisher),
        sha256=sha256,
        size=None,
        executable=(program[1],),
        source=f"{entry.url}, read {date}",
    )


def openssl(index: Table, wanted: str, architecture: str, publisher: Publisher, date: str, like: Download) -> Download:
    """Return the newest release of `wanted` ("3.5" or "3.5.6"): the Light msi or exe. `like` is an existing entry: it provides the
    kind and what the index lacks, such as the paths where it may be installed.

    `index` is slproweb's win32_openssl_hashes.json: `files{NAME: {basever, subver, arch, bits, light, installer, url, size,
    sha256}}`.
    """
    in_index, in_name = _OPENSSL_PROCESSORS[architecture]
    found: list[tuple[Numbers, Table]] = []
    others: set[str] = set()
    for name, values in index.table("files").values.items():
        if not isinstance(values, dict):
            raise index.refuse("index-file-not-object", "files[{name}] is not an object", name=shown(name))
        entry = Table(index.url, f"files[{shown(name)}]", values)
        if entry.text("installer") != like.kind or not entry.flag("light") or entry.number("bits") != 64:
            continue
        if entry.text("arch") != in_index:
            continue
        version = _version(entry, "basever", "")
        others.add(_branch(entry.text("basever")))
        if version[:2] == _numbers(_branch(wanted)):
            if entry.text("subver"):
                raise entry.refuse(
                    "index-subversion",
                    "the version must contain only numbers, but subver is {subversion}",
                    subversion=shown(entry.text("subver")),
                )
            if entry.text("url").rpartition("/")[2] != name:
                raise entry.refuse("index-url-other-file", "url belongs to a different file: {url}", url=shown(entry.text("url")))
            found.append((version, entry))
    text, entry = _newest(found, wanted, _light(wanted, architecture, like.kind), others, index)
    if not 0 < entry.number("size") < _LARGEST_FILE:
        raise entry.refuse(
            "index-size-invalid", "size must be from 1 to {limit} bytes, got {size}", limit=_LARGEST_FILE - 1, size=entry.number("size")
        )
    return replace(
        like,
        version=text,
        architecture=architecture,
        url=_url(entry, f"{in_name}OpenSSL_Light-{text.replace('.', '_')}.{like.kind}", publisher),
        sha256=entry.sha256("sha256"),
        size=entry.number("size"),
        source=f"{index.url}, read {date}",
    )


def _python(version: str, architecture: str) -> Message:
    return message("program", "{program} {version} for {architecture}", program="Python", version=version, architecture=architecture)


def _light(version: str, architecture: str, kind: str) -> Message:
    return message(
        "openssl-light", "the Light {kind} of OpenSSL {version} for {architecture}", version=version, architecture=architecture, kind=kind
    )


def _newest(found: Sequence[tuple[Numbers, Table]], wanted: str, what: Message, others: set[str], index: Table) -> tuple[str, Table]:
    """Return the highest version, compared as numbers. Duplicates must be equal."""
    length = len(_numbers(wanted))
    fitting = [(numbers, entry) for numbers, entry in found if numbers[:length] == _numbers(wanted)]
    if not fitting:
        known = sorted(others | {_text(numbers) for numbers, _ in found}, key=_numbers)
        if known:
            raise index.refuse(
                "index-without-release-found", "the index has no release of {what}; found: {found}", what=what, found=", ".join(known)
            )
        raise index.refuse("index-without-release", "the index has no release of {what}", what=what)
    highest = max(numbers for numbers, _ in fitting)
    first, *more = [entry for numbers, entry in fitting if numbers == highest]
    for entry in more:
        if any(entry.values.get(key) != first.values.get(key) for key in ("url", "hash", "sha256", "size", "executable")):
            raise entry.refuse(
                "index-entries-differ", "the entry for {version} differs from its duplicate {other}", version=_text(highest), other=first.at
            )
    return _text(highest), first


def _version(entry: Table, key: str, branch: str) -> Numbers:
    text = entry.text(key)
    if not _VERSION.fullmatch(text) or not text.isascii():
        raise entry.refuse(
            "index-version-malformed", "{key}: expected a version made up of three numbers, found {text}", key=key, text=shown(text)
        )
    if branch and _branch(text) != branch:
        raise entry.refuse(
            "index-version-other-branch", "{key} {version} does not belong to the branch {branch}", key=key, version=text, branch=branch
        )
    return _numbers(text)


def _url(entry: Table, name: str, publisher: Publisher) -> str:
    text = entry.text("url")
    try:
        url = file_url(text, publisher)
    except ValueError as reason:
        raise entry.refuse("index-url-invalid", "url {url} is not valid: {reason}", reason=reason_of(reason), url=shown(text)) from None
    if url.rpartition("/")[2] != name:
        raise entry.refuse(
            "index-url-unexpected-file", "url is not valid: expected the file {file}, found {url}", file=name, url=shown(text)
        )
    return url


def _branch(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _text(numbers: Numbers) -> str:
    return ".".join(map(str, numbers))
