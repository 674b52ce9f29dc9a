"""What was rendered: manifest.json, with the hashes that an approval and an audit rest on. docs/formats.md describes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from installer import __version__
from installer.errors import ApprovalError
from installer.script import Script

FILE_NAME = "manifest.json"
VERSION = 1


def build(scripts: Iterable[Script], catalog_digests: Mapping[str, str]) -> dict[str, Any]:
    """The manifest of rendered scripts: release, and per host its catalog, script, settings, steps and downloads."""
    hosts = {
        script.host: {
            "catalog_sha256": catalog_digests[script.host],
            "script": script.file_name,
            "sha256": script.sha256,
            "body_sha256": script.body_sha256,
            "steps": list(script.steps),
            "settings": script.settings,
            "downloads": downloads(script.settings),
            "lock_sha256": script.settings["packages"]["lock_sha256"],
        }
        for script in scripts
    }
    return {"v": VERSION, "release": __version__, "hosts": hosts}


def to_text(manifest: Mapping[str, Any]) -> str:
    """The bytes that stand in the file, the same on every workstation."""
    return json.dumps(manifest, indent=2, sort_keys=True, ensure_ascii=True) + "\n"


def read(path: Path) -> dict[str, Any]:
    """A manifest from disk. Raises ApprovalError where it cannot be read or is no manifest of this version."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ApprovalError(f"cannot be read ({error.strerror})", where=str(path), todo="Render it first") from None
    except (ValueError, RecursionError):
        raise ApprovalError("is no JSON", where=str(path), todo="Render it again") from None
    if not isinstance(value, dict) or value.get("v") != VERSION or not isinstance(value.get("hosts"), dict):
        raise ApprovalError(f"is no manifest of version {VERSION}", where=str(path), todo="Render it with this release")
    return value


def require_approved(manifest: Mapping[str, Any], path: Path, script: Script) -> None:
    """Raises ApprovalError unless this very script stands in the approved manifest."""
    entry = manifest["hosts"].get(script.host)
    if entry is None:
        raise ApprovalError(f"{script.host} does not stand in the approved manifest", where=str(path), todo="Have it approved first")
    if not isinstance(entry, dict) or entry.get("sha256") != script.sha256:
        approved = entry.get("sha256") if isinstance(entry, dict) else None
        raise ApprovalError(
            f"the script of {script.host} is {script.sha256}, approved is {approved}",
            where=str(path),
            todo="See what changed with nbserver render, and have it approved again",
        )


def downloads(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a script with these settings downloads, beside the packages of its lock. A Linux script: nothing; package managers do. A Python that is there: neither."""
    if settings.get("system") == "linux":
        return []
    return [
        {"name": name, **{key: settings[name][key] for key in ("version", "url", "size", "sha256")}}
        for name in ("python", "vc_redist", "openssl")
        if settings[name] and "url" in settings[name]
    ]
