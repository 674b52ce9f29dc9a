"""`nbserver audit`: reads a rendered folder as an auditor would, and says what each script would do and whether it is whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from installer import __version__, bash_script, manifest, script
from installer.errors import ApprovalError
from installer.script import body_sha256
from installer.step_files import read_body, read_titles

_KINDS = {".ps1": ("ps_scripts", script), ".sh": ("linux_scripts", bash_script)}


def audit(folder: Path) -> list[str]:
    """The report, line by line. Raises ApprovalError where a script is not what its manifest and this release say.

    Every byte is accounted for: the header and the settings are rendered again from the manifest's settings, the lock is
    read as data and its hash compared, the rest must be this release's body.
    """
    content = manifest.read(folder / manifest.FILE_NAME)
    if content["release"] != __version__:
        raise ApprovalError(
            f"was rendered by release {content['release']}, this is {__version__}", where=str(folder), todo="Audit it with the release that rendered it"
        )
    lines: list[str] = []
    for suffix, (kind, language) in _KINDS.items():
        hosts = {host: entry for host, entry in content["hosts"].items() if str(entry["script"]).endswith(suffix)}
        if not hosts:
            continue
        body, steps = read_body(kind)
        lines += [
            *([""] if lines else []),
            f"body of release {__version__}: sha256 {body_sha256(body)}, {body.count(chr(10))} lines, the same in every script below",
            *(f"    {name:<12} {title}" for name, title in read_titles(kind)),
        ]
        for host, entry in hosts.items():
            _compare(folder / str(entry["script"]), entry, body, language.head(entry["settings"], steps) + language.LOCK_START)
            lines += ["", *_report(host, entry)]
    return lines


def _compare(path: Path, entry: Mapping[str, Any], body: str, start: str) -> None:
    def wrong(what: str) -> ApprovalError:
        return ApprovalError(what, where=str(path), todo="Render it again, and see with a diff what was changed")

    try:
        code = path.read_bytes()
        text = code.decode("ascii")
    except OSError as error:
        raise wrong(f"cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise wrong(f"is not ASCII at byte {error.start}") from None
    if hashlib.sha256(code).hexdigest() != entry["sha256"]:
        raise wrong("has not the SHA-256 of the manifest")
    if entry["downloads"] != manifest.downloads(entry["settings"]):
        raise wrong("has other downloads than the manifest lists")
    if not text.startswith(start):
        raise wrong("does not begin with the header and the settings of the manifest")
    if not text.endswith(body):
        raise wrong("does not end with the body of this release")
    lock = text[len(start) : len(text) - len(body)]
    packages = [line.strip().strip("'") for line in lock.splitlines() if line.startswith("    '")]
    if lock != "".join(f"    '{line}'\n" for line in packages) + ")\n\n":
        raise wrong("has more than a lock between its settings and its body")
    if hashlib.sha256("".join(f"{line}\n" for line in packages).encode("ascii")).hexdigest() != entry["lock_sha256"]:
        raise wrong("has not the lock of the manifest")


def _report(host: str, entry: Mapping[str, Any]) -> list[str]:
    told = {"host", "release", *(download["name"] for download in entry["downloads"])}
    settings = {key: value for key, value in entry["settings"].items() if key not in told}
    downloads = [
        f"    {download['name']} {download['version']}  {download['url']}\n        sha256 {download['sha256']}, {_size(download['size'])}"
        for download in entry["downloads"]
    ]
    return [
        f"{host}: {entry['script']}  sha256 {entry['sha256']}",
        "  settings",
        *(f"    {key:<14} {json.dumps(value)}" for key, value in sorted(settings.items())),
        "  downloads",
        *(downloads or ["    nothing by itself" if settings.get("scope") == "user" else "    nothing by itself; the system's package manager brings its packages"]),
        f"    packages of the lock, sha256 {entry['lock_sha256']}",
    ]


def _size(size: int | None) -> str:
    return f"{size} bytes" if size else "size not published"
