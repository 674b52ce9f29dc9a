"""manifest.json: the list of rendered scripts with the hashes that an approval and an audit rely on (see docs/formats.md)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nbserver import __version__
from nbserver.approval import target
from nbserver.base import file_format, json_lines, plain_file, strict_json
from nbserver.base.errors import ApprovalError
from nbserver.base.message import cause, message
from nbserver.base.plain_text import clean
from nbserver.render.script import Script

FILE_NAME = "manifest.json"
APPROVALS = "approvals"  # the folder of the signed approvals, next to the manifest; what is rendered does not include it
VERSION = 3
LIMIT = 64_000_000  # maximum size in bytes, enough for about 16,000 hosts
REVIEW = "Run nbserver render, review the changes, and have the script approved again"
HASHES = ("sha256", "head_sha256", "body_sha256")


def build(scripts: Iterable[Script], catalog_digests: Mapping[str, str], targets: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the manifest of rendered scripts: the release, and for each host its catalog, script, settings, steps, downloads, and target.

    `targets` has the target of each host in the form of `target.of`.
    """
    entries = {script.host: entry(script, catalog_digests[script.host], targets[script.host]) for script in scripts}
    return {"v": VERSION, "release": __version__, "hosts": entries}


def entry(script: Script, catalog_digest: str, target: Mapping[str, Any], signed_sha256: str | None = None) -> dict[str, Any]:
    """Return the manifest entry of one script. All of it but the target can be recomputed from the script's settings and its catalog."""
    return {
        "catalog_sha256": catalog_digest,
        "script": script.file_name,
        "sha256": script.sha256,
        "signed_sha256": signed_sha256,
        "head_sha256": script.head_sha256,
        "body_sha256": script.body_sha256,
        "steps": list(script.steps),
        "settings": script.settings,
        "downloads": downloads(script.settings),
        "lock_sha256": script.settings["packages"]["lock_sha256"],
        "target": dict(target),
    }


def to_text(manifest: Mapping[str, Any]) -> str:
    """Return the text of the manifest file, which is the same on every workstation."""
    return json_lines.dumps(dict(manifest)) + "\n"


def entry_text(entry: Mapping[str, Any]) -> str:
    """Return the text of one entry, for `joined`."""
    return json_lines.dumps(dict(entry), level=2)


def joined(entries: Mapping[str, str]) -> str:
    """Return the text of the manifest of this release that has these entries: `to_text` of it, with less memory for many hosts."""
    hosts = ",\n    ".join(f"{json.dumps(name)}: {entries[name]}" for name in sorted(entries))
    return json_lines.dumps({"v": VERSION, "release": __version__, "hosts": {}}).replace("{}", "{\n    " + hosts + "\n  }", 1) + "\n"


def read(path: Path) -> dict[str, Any]:
    """Return a manifest of this or an earlier version from a file. Raises ApprovalError for anything else."""
    return parse(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """Return the contents of a manifest file. Raises ApprovalError."""
    return plain_file.read(path, LIMIT, advice=message("render-first", "Run nbserver render first"))


def parse(data: bytes, path: Path) -> dict[str, Any]:
    """Parse the contents of a manifest file. Messages name `path`. Raises ApprovalError."""
    try:
        value = strict_json.parse(data)
        file_format.require_supported(value, VERSION, plain_file.shown(path), ApprovalError)
        from nbserver.approval import manifest_check  # its rules are not needed to write a manifest

        manifest_check.require_manifest(value)
    except ValueError as error:
        raise ApprovalError(
            "manifest-invalid",
            "the manifest is not valid: {reason}",
            where=plain_file.shown(path),
            todo="Run nbserver render again",
            reason=cause(error, 1000),
        ) from None
    found: dict[str, Any] = value
    return found


def require_targets(manifest: Mapping[str, Any], path: Path) -> None:
    """Raise ApprovalError if the manifest is of an earlier version, which names no target: a signature would approve any."""
    if manifest["v"] != VERSION:
        raise ApprovalError(
            "manifest-without-targets",
            "a signed approval requires a manifest that names the target of each host, but a manifest of version {version} does not",
            where=plain_file.shown(path),
            todo="Render the scripts again and have them approved",
            version=manifest["v"],
        )


def require_approved(manifest: Mapping[str, Any], path: Path, script: Script, reached: Mapping[str, Any]) -> None:
    """Raise ApprovalError unless the manifest approves exactly this script for the target `reached`, and describes both correctly.

    Manifests of versions 1 and 2 name no target, and approve any.
    """
    where = plain_file.shown(path)
    approved = manifest["hosts"].get(script.host)
    if approved is None:
        raise ApprovalError(
            "not-approved",
            "{name} is not in the approved manifest",
            where=where,
            todo="Have the script for this host approved first",
            name=script.host,
        )
    for key in HASHES:
        if key in approved and approved[key] != getattr(script, key):
            raise _not_the_approved(key, where, name=script.host, expected=approved[key], actual=getattr(script, key))
    if "target" in approved or manifest["v"] == VERSION:
        _require_target(approved.get("target") or {}, reached, where, script.host)
    described = {
        key: value
        for key, value in entry(script, approved["catalog_sha256"], reached, approved.get("signed_sha256")).items()
        if key in approved or manifest["v"] == VERSION
    }
    different = difference(approved, described)
    if different:
        raise ApprovalError(
            "approved-entry-differs",
            "hosts.{name}.{key} does not match the approved script",
            where=where,
            todo=REVIEW,
            name=script.host,
            key=different,
        )


def _require_target(approved: Mapping[str, Any], reached: Mapping[str, Any], where: str, name: str) -> None:
    different = target.difference(approved, reached)
    if different:
        raise ApprovalError(
            "target-not-approved",
            "the target of {name} does not match the approved one: expected {key} = {expected}, got {actual}",
            where=where,
            todo=REVIEW,
            name=name,
            key=different,
            expected=_shown(approved.get(different)),
            actual=_shown(reached.get(different)),
        )


def _shown(value: Any) -> str:
    """Return a value of a target as the manifest has it."""
    return clean(json.dumps(value), 300)


def _not_the_approved(key: str, where: str, *, name: str, expected: str, actual: str) -> ApprovalError:
    if key == "sha256":
        return ApprovalError(
            "script-not-approved",
            "the script for {name} does not match the approved one: expected SHA-256 {expected}, got {actual}",
            where=where,
            todo=REVIEW,
            name=name,
            expected=expected,
            actual=actual,
        )
    if key == "head_sha256":
        return ApprovalError(
            "head-not-approved",
            "the head of the script for {name} does not match the approved one: expected SHA-256 {expected}, got {actual}",
            where=where,
            todo=REVIEW,
            name=name,
            expected=expected,
            actual=actual,
        )
    return ApprovalError(
        "body-not-approved",
        "the body of the script for {name} does not match the approved one: expected SHA-256 {expected}, got {actual}",
        where=where,
        todo=REVIEW,
        name=name,
        expected=expected,
        actual=actual,
    )


def difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str | None:
    """Return the first key whose values differ in two entries, or None."""
    return next((key for key in sorted(one.keys() | other.keys()) if not strict_json.same(one.get(key), other.get(key))), None)


def downloads(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a script downloads in addition to the packages of its lock.

    A Linux script leaves downloads to the package manager. A Python that is already present is not downloaded.
    """
    if settings.get("system") == "linux":
        return []
    return [
        {"name": name, **{key: source[key] for key in ("version", "url", "size", "sha256")}}
        for name in ("python", "vc_redist", "openssl")
        if settings[name] and "url" in settings[name]
        for source in (settings[name], *settings[name].get("sources", ()))
    ]
