"""`nbserver audit`: check a rendered folder independently, and report what each script would do."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbserver import __version__
from nbserver.approval import manifest
from nbserver.approval.reference import Body, Reference, Source
from nbserver.approval.script_settings import AnyScriptSettings, typed
from nbserver.base import json_lines, plain_file
from nbserver.base.errors import ApprovalError, NbserverError
from nbserver.base.plain_text import clean
from nbserver.render.script import Script

LIMIT = 4_000_000  # bytes of a script, which usually has about 200,000


def audit(folder: Path, reference: Reference | None = None) -> list[str]:
    """Return the lines of the report, in ASCII. Raises ApprovalError if anything in the folder is not as expected.

    Nothing is trusted: each script is rendered again from the manifest's settings and `reference`. The script and its manifest
    entry must match the result, byte for byte and key by key.
    """
    names = plain_file.names(folder)
    path = folder / manifest.FILE_NAME
    data = manifest.read_bytes(path)
    content = manifest.parse(data, path)
    _require_this_release(content, path)
    strange = names - {manifest.FILE_NAME, *(entry["script"] for entry in content["hosts"].values())}
    if strange:
        raise ApprovalError(
            f"{clean(min(strange), 100)} is not one of its files",
            where=plain_file.shown(folder),
            todo="Remove it, or render into an empty folder",
        )
    known = reference or Reference.load()
    reports: dict[str, list[str]] = {}
    for host, entry in sorted(content["hosts"].items()):
        if entry["script"] not in names:
            raise ApprovalError(f"{entry['script']} is missing", where=plain_file.shown(folder), todo="Render it again")
        settings = typed(entry["settings"])
        source, body = _check(folder / entry["script"], path, entry, settings, known), known.body(settings)
        reports.setdefault(body.system, _report_body(body)).extend(["", *_report(host, entry, source)])
    hosts = ", ".join(sorted(content["hosts"]))
    return [
        f"{manifest.FILE_NAME}: sha256 {hashlib.sha256(data).hexdigest()}, hosts: {hosts}",
        *(line for system in sorted(reports) for line in ["", *reports[system]]),
    ]


def _require_this_release(content: Mapping[str, Any], path: Path) -> None:
    if content["release"] != __version__:
        raise ApprovalError(
            f"was rendered by release {content['release']}, this is {__version__}",
            where=plain_file.shown(path),
            todo="Audit it with the release that rendered it",
        )
    if content["v"] != manifest.VERSION:
        raise ApprovalError(
            f"is a manifest of version {content['v']}, which lacks the hashes of the heads",
            where=plain_file.shown(path),
            todo="Render it again",
        )


def _check(path: Path, manifest_path: Path, entry: dict[str, Any], settings: AnyScriptSettings, known: Reference) -> Source:
    code = plain_file.read(path, LIMIT, todo="Render it again")
    again = "Render it again, and see with a diff what was changed"
    if hashlib.sha256(code).hexdigest() != entry["sha256"]:
        raise ApprovalError("does not have the SHA-256 that the manifest names", where=plain_file.shown(path), todo=again)
    try:
        source = known.source(settings, entry["catalog_sha256"])
        script = known.rendered(settings, source)
    except (ValueError, NbserverError) as error:
        raise ApprovalError(
            f"hosts.{settings.host}: {clean(str(error))}", where=plain_file.shown(manifest_path), todo="Render it again"
        ) from None
    if code != script.text.encode("ascii"):
        raise ApprovalError(_changed_part(code, script, known.body(settings)), where=plain_file.shown(path), todo=again)
    different = manifest.difference(entry, manifest.entry(script, entry["catalog_sha256"]))
    if different:
        raise ApprovalError(
            f"hosts.{settings.host}.{different} is not what {path.name} has", where=plain_file.shown(manifest_path), todo=again
        )
    return source


def _changed_part(code: bytes, script: Script, body: Body) -> str:
    """Return where the script differs from the one rendered from its settings."""
    head = script.text[: len(script.text) - len(body.text)].encode("ascii")
    settings = head.rpartition(b"(\n")[0]
    if not code.startswith(settings):
        return "does not begin with the header and the settings that the manifest names"
    if not code.startswith(head):
        return "does not have the lock that the manifest names, and nothing else, between its settings and its body"
    return f"does not end with the body of release {__version__}"


def _report_body(body: Body) -> list[str]:
    lines = body.text.count("\n")
    return [
        f"body of release {__version__} for {body.system} hosts: sha256 {body.sha256}, {lines} lines, the same in every script below",
        *(f"    {name:<12} {title}" for name, title in body.titles),
    ]


def _report(host: str, entry: Mapping[str, Any], source: Source) -> list[str]:
    by_itself = (
        "nothing by itself"
        if entry["settings"]["scope"] == "user"
        else "nothing by itself; the system's package manager brings its packages"
    )
    downloads = [
        line
        for download in entry["downloads"]
        for line in (
            f"    {download['name']} {download['version']}  {download['url']}",
            f"        sha256 {download['sha256']}, {_size(download['size'])}",
        )
    ]
    return [
        f"{host}: {entry['script']}  sha256 {entry['sha256']}",
        f"    head sha256 {entry['head_sha256']}",
        "  settings",
        *(f"    {line}" for line in json_lines.dumps(entry["settings"]).splitlines()[1:-1]),
        f"  downloads, from the catalog {source.title}, sha256 {entry['catalog_sha256']}",
        *(downloads or [f"    {by_itself}"]),
        f"    packages of the lock {source.lock_title}, sha256 {entry['lock_sha256']}",
    ]


def _size(size: int | None) -> str:
    return f"{size} bytes" if size else "size not published"
