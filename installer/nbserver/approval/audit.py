"""`nbserver audit`: check a rendered folder independently, and report what each script would do."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbserver import __version__
from nbserver.approval import listed_approvals, manifest, signature
from nbserver.approval.listed_approvals import ListedApproval
from nbserver.approval.reference import Reference, ReleasedBody, Source, UnknownCatalogError, UnknownLockError
from nbserver.approval.script_settings import AnyScriptSettings, typed
from nbserver.base import json_lines, plain_file, utc
from nbserver.base.errors import ApprovalError, NbserverError
from nbserver.base.message import cause, counted, message, phrase
from nbserver.base.plain_text import clean
from nbserver.render.script import Script

LIMIT = 4_000_000  # maximum size of a script in bytes; most have about 200,000
AGAIN = "Run nbserver render again"
ADD_LOCK = "If the inventory sets packages.lock, add --lock FILE; otherwise, run nbserver render again"
ADD_CATALOG = "If the inventory names a site catalog, add --catalog FILE; otherwise, run nbserver render again"
COMPARE = "Render the scripts again, and use diff to see what changed"


@dataclass(frozen=True)
class AuditedHost:
    """A host of an audited folder. `head` is the part of its script before the body of `released`, `signer` who signed it."""

    name: str
    entry: Mapping[str, Any]
    source: Source
    released: ReleasedBody
    head: str
    signer: str | None


@dataclass(frozen=True)
class Audited:
    """A folder that passed the audit. `sha256` is that of its manifest; the hosts are sorted by name, and approvals by time."""

    sha256: str
    hosts: tuple[AuditedHost, ...]
    approvals: tuple[ListedApproval, ...]


def audit(folder: Path, reference: Reference | None = None) -> list[str]:
    """Return the lines of the report. Raises ApprovalError if the folder contains anything unexpected."""
    return report(checked(folder, reference))


def checked(folder: Path, reference: Reference | None = None) -> Audited:
    """Return what a folder contains. Raises ApprovalError if it contains anything unexpected.

    The folder is not trusted: each script is rendered again from its settings in the manifest and from `reference`. The script
    must match the result byte for byte, and its manifest entry key by key.
    """
    names = plain_file.names(folder)
    path = folder / manifest.FILE_NAME
    data = manifest.read_bytes(path)
    content = manifest.parse(data, path)
    _require_this_release(content, path)
    strange = names - {manifest.FILE_NAME, manifest.APPROVALS, *(entry["script"] for entry in content["hosts"].values())}
    if strange:
        raise ApprovalError(
            "file-not-in-render",
            "{file} does not belong in this folder",
            where=plain_file.shown(folder),
            todo="Remove the file, or render into an empty folder",
            file=clean(min(strange), 100),
        )
    known = reference or Reference.load()
    hosts = []
    for host, entry in sorted(content["hosts"].items()):
        if entry["script"] not in names:
            raise ApprovalError("script-missing", "{script} is missing", where=plain_file.shown(folder), todo=AGAIN, script=entry["script"])
        settings = typed(entry["settings"])
        source, signer, head = _check(folder / entry["script"], path, entry, settings, known)
        hosts.append(AuditedHost(host, entry, source, known.body(settings), head, signer))
    sha256 = hashlib.sha256(data).hexdigest()
    return Audited(sha256, tuple(hosts), listed_approvals.find(folder, content, sha256, utc.now()))


def report(audited: Audited) -> list[str]:
    """Return the lines of the report. What comes from the folder is ASCII, so only a translation adds other characters."""
    reports: dict[str, list[str]] = {}
    for host in audited.hosts:
        lines = reports.setdefault(f"{host.released.system} {host.released.scope}", _report_body(host.released))
        lines.extend(["", *_report(host.name, host.entry, host.source, host.signer)])
    names = ", ".join(host.name for host in audited.hosts)
    return [
        phrase("manifest.json: sha256 {sha256}, hosts: {hosts}", sha256=audited.sha256, hosts=names),
        *(line for system in sorted(reports) for line in ["", *reports[system]]),
        *(["", phrase("approvals")] if audited.approvals else []),
        *(line for approval in audited.approvals for line in approval.lines()),
    ]


def _require_this_release(content: Mapping[str, Any], path: Path) -> None:
    if content["release"] != __version__:
        raise ApprovalError(
            "rendered-by-other-release",
            "the scripts were rendered by nbserver {release}, but this is nbserver {own_release}",
            where=plain_file.shown(path),
            todo="Audit them with nbserver {release}, or render them again",
            release=content["release"],
            own_release=__version__,
        )
    if content["v"] != manifest.VERSION:
        raise ApprovalError(
            "manifest-of-old-version",
            "the manifest is version {version}, which lacks values that the audit compares; expected version {expected}",
            where=plain_file.shown(path),
            todo=AGAIN,
            version=content["v"],
            expected=manifest.VERSION,
        )


def _check(
    path: Path, manifest_path: Path, entry: dict[str, Any], settings: AnyScriptSettings, known: Reference
) -> tuple[Source, str | None, str]:
    """Return the source of a script, who signed it, and its head."""
    code = plain_file.read(path, LIMIT, advice=message("render-again", AGAIN))
    digest, expected = hashlib.sha256(code).hexdigest(), entry["signed_sha256"] or entry["sha256"]
    if digest != expected:
        raise ApprovalError(
            "script-hash-differs",
            "the script's SHA-256 does not match the manifest: expected {expected}, got {actual}",
            where=plain_file.shown(path),
            todo=COMPARE,
            expected=expected,
            actual=digest,
        )
    code, signer = signature.require(code, plain_file.shown(path)) if entry["signed_sha256"] else (code, None)
    try:
        source = known.source(settings, entry["catalog_sha256"])
        script = known.rendered(settings, source)
    except UnknownCatalogError as error:
        raise ApprovalError(
            "catalog-unknown",
            "cannot audit the script for {name}: {reason}",
            where=plain_file.shown(manifest_path),
            todo=ADD_CATALOG,
            name=settings.host,
            reason=error,
        ) from None
    except UnknownLockError as error:
        raise ApprovalError(
            "lock-unknown",
            "cannot audit the script for {name}: {reason}",
            where=plain_file.shown(manifest_path),
            todo=ADD_LOCK,
            name=settings.host,
            reason=error,
        ) from None
    except (ValueError, NbserverError) as error:
        raise ApprovalError(
            "manifest-host-unrenderable",
            "cannot render the script for {name} again: {reason}",
            where=plain_file.shown(manifest_path),
            todo=AGAIN,
            name=settings.host,
            reason=cause(error),
        ) from None
    if code != script.text.encode("ascii"):
        raise _changed_part(code, script, known.body(settings), plain_file.shown(path))
    different = manifest.difference(entry, manifest.entry(script, entry["catalog_sha256"], entry["target"], entry["signed_sha256"]))
    if different:
        raise ApprovalError(
            "manifest-entry-differs",
            "hosts.{name}.{key} does not match {file}",
            where=plain_file.shown(manifest_path),
            todo=COMPARE,
            name=settings.host,
            key=different,
            file=path.name,
        )
    return source, signer, script.text[: len(script.text) - len(known.body(settings).body.text)]


def _changed_part(code: bytes, script: Script, released: ReleasedBody, where: str) -> ApprovalError:
    """Return the error that says which part of the script differs from the script that its settings render to."""
    head = script.text[: len(script.text) - len(released.body.text)].encode("ascii")
    settings = head.rpartition(b"(\n")[0]
    if not code.startswith(settings):
        return ApprovalError("script-head-changed", "the script's header or settings do not match the manifest", where=where, todo=COMPARE)
    if not code.startswith(head):
        return ApprovalError(
            "script-lock-changed",
            "the list of packages or the first page (Welcome.ipynb) in the script does not match the manifest",
            where=where,
            todo=COMPARE,
        )
    return ApprovalError(
        "script-body-changed",
        "the script body does not match release {release}",
        where=where,
        todo=COMPARE,
        release=__version__,
    )


def _report_body(released: ReleasedBody) -> list[str]:
    lines = released.body.text.count("\n")
    return [
        phrase(
            "body of release {release} for {system} hosts, scope {scope}: sha256 {sha256}, {count} lines, identical in all scripts below",
            release=__version__,
            system=released.system,
            scope=released.scope,
            sha256=released.sha256,
            count=lines,
        ),
        *(phrase("{name} {title}", name=f"    {name:<12}", title=phrase(title)) for name, title in released.titles),
    ]


def _report(host: str, entry: Mapping[str, Any], source: Source, signer: str | None) -> list[str]:
    no_downloads = phrase("no programs; the package manager of the host downloads its own packages")
    if entry["settings"]["scope"] == "user":
        no_downloads = phrase("no programs")
    downloads = [
        line
        for download in entry["downloads"]
        for line in (
            f"    {download['name']} {download['version']}  {download['url']}",
            phrase("        sha256 {sha256}, {size}", sha256=download["sha256"], size=_size(download["size"])),
        )
    ]
    return [
        f"{host}: {entry['script']}  sha256 {entry['sha256']}",
        f"    head sha256 {entry['head_sha256']}",
        *(
            [
                phrase(
                    "    signed sha256 {sha256}, as {signer}; the signature itself was not verified",
                    sha256=entry["signed_sha256"],
                    signer=signer,
                )
            ]
            if signer
            else []
        ),
        phrase("  target"),
        *(f"    {key:<18}  {json.dumps(value)}" for key, value in entry["target"].items() if value is not None),
        phrase("  settings"),
        *(f"    {line}" for line in json_lines.dumps(entry["settings"]).splitlines()[1:-1]),
        phrase("  downloads from the catalog {title}, sha256 {sha256}", title=source.title, sha256=entry["catalog_sha256"]),
        *(downloads or [phrase("    {words}", words=no_downloads)]),
        phrase("    packages from the lock {title}, sha256 {sha256}", title=source.lock_title, sha256=entry["lock_sha256"]),
    ]


def _size(size: int | None) -> str:
    return counted("{count} byte", "{count} bytes", size) if size else phrase("size not published")
