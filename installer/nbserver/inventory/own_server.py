"""What is known about the notebook server of this machine, wherever a command is called: its port and folder, and its inventory.

Port and folder are in the configuration of the server. The inventory is in nbserver.server, in the user's folder for state:
`{"v": 1, "inventories": {"user": "/home/anna/site/nbserver.toml"}}`. `"unverified": {"user": true}` is there while `up` has not verified
the server with the password that it generated.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nbserver.base import atomic_file, user_folders
from nbserver.base.errors import UsageError

FILE_NAME = "nbserver.server"
LARGEST = 1_000_000  # bytes
VERSION = 1
_TRUSTED = {"fingerprint": "SHA256:[0-9a-f]{64}", "sha1": "[0-9a-f]{40}"}


@dataclass(frozen=True)
class Trusted:
    """A certificate that the user's browsers trust. `sha1` names it in the store of Windows."""

    fingerprint: str
    sha1: str


def state_folder(platform: str) -> Path:
    """Return the user's folder for state. `platform` is sys.platform. Raises UsageError without a home folder."""
    return user_folders.folder("LOCALAPPDATA") if platform == "win32" else user_folders.home() / ".local" / "state"


def configuration(scope: str, platform: str) -> Path:
    """Return the configuration of the server of a scope. Raises UsageError without a home folder."""
    if platform == "win32":
        folder = user_folders.folder("ProgramData") / "nbserver" if scope == "machine" else state_folder(platform) / "nbserver" / "state"
        return folder / "service" / "jupyter_server_config.json"
    folder = Path("/etc/nbserver") if scope == "machine" else user_folders.home() / ".config" / "nbserver"
    return folder / "jupyter_config.json"


def settings(scope: str, platform: str = sys.platform) -> dict[str, Any]:
    """Return `notebook.port` and `notebook.directory` of the server that is set up, without a folder that is the default one.

    Without a server, or if this user may not read its configuration, return an empty dict.
    """
    try:
        server = _json(configuration(scope, platform))["ServerApp"]
        port, directory = server["port"], server["root_dir"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    found: dict[str, Any] = {}
    if type(port) is int and (1 if scope == "machine" or platform == "win32" else 1024) <= port <= 65535:
        found["port"] = port
    if isinstance(directory, str) and not _is_default(directory, scope, platform):
        found["directory"] = directory
    return found


def _is_default(directory: str, scope: str, platform: str) -> bool:
    if scope == "machine":
        return platform == "win32" or directory == "/var/lib/nbserver/notebooks"
    home = Path(os.environ.get("USERPROFILE", "")) if platform == "win32" else user_folders.home()
    return os.path.normcase(directory) == os.path.normcase(home / "notebooks")


def inventory_of(scope: str) -> Path | None:
    """Return the inventory from which the server of the scope was set up, or None if it had none, or if it is not known."""
    named = _state()["inventories"].get(scope)
    return Path(named) if named else None


def remember(scope: str, inventory: Path | None) -> None:
    """Record from which inventory the server of the scope was set up. With None, it had none. Raises UsageError."""
    state = _state()
    inventories = {name: path for name, path in state["inventories"].items() if name != scope}
    _write(state, {**state, "inventories": inventories | ({scope: str(inventory)} if inventory else {})})


def trusted() -> Trusted | None:
    """Return the certificate that `up --trust` has added to the certificates that the user's browsers trust."""
    found = _state()["trusted"]
    return Trusted(found["fingerprint"], found["sha1"]) if found else None


def remember_trusted(certificate: Trusted | None) -> None:
    """Record which certificate was added, or with None that it was removed. Raises UsageError."""
    state = _state()
    _write(state, {**state, "trusted": asdict(certificate) if certificate else {}})


def is_unverified(scope: str) -> bool:
    """Return whether `up` generated a password for the server of the scope, and has not verified the server with it."""
    return scope in _state()["unverified"]


def remember_unverified(scope: str, *, unverified: bool) -> None:
    """Record whether that is so. Raises UsageError."""
    state = _state()
    others = {name: True for name in state["unverified"] if name != scope}
    _write(state, {**state, "unverified": others | ({scope: True} if unverified else {})})


def certificate(platform: str = sys.platform) -> Path:
    """Return the certificate of the server in user scope."""
    return configuration("user", platform).parent / "certificate.pem"


def _write(before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    if after == before:
        return
    path = state_folder(sys.platform) / FILE_NAME
    try:
        if any(after.values()):
            path.parent.mkdir(0o700, parents=True, exist_ok=True)
            found = {name: part for name, part in after.items() if part or name != "unverified"}
            atomic_file.write_text(path, json.dumps({"v": VERSION, **found}, indent=2) + "\n")
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            "own-server-not-written",
            "could not record the inventory and the trusted certificate of the local server ({reason})",
            where=str(path),
            todo="Make the folder writable. Until then, specify the inventory with -i in each command for local",
            reason=error.strerror or type(error).__name__,
        ) from None


def _state() -> dict[str, dict[str, Any]]:
    """Return the valid parts of the file. The others count as missing: they only save typing -i, and help undo."""
    try:
        found = _json(state_folder(sys.platform) / FILE_NAME)
        inventories, kept = found.get("inventories", {}).items(), found.get("trusted", {})
        unverified = {scope: True for scope in ("user", "machine") if found.get("unverified", {}).get(scope) is True}
        is_valid = {name: re.fullmatch(form, kept[name]) for name, form in _TRUSTED.items()} if kept else {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError):
        return {"inventories": {}, "trusted": {}, "unverified": {}}
    paths = {scope: path for scope, path in inventories if scope in ("user", "machine") and isinstance(path, str) and os.path.isabs(path)}  # noqa: PTH117
    certificate = {name: kept[name] for name in _TRUSTED} if is_valid and all(is_valid.values()) else {}
    return {"inventories": paths, "trusted": certificate, "unverified": unverified}


def _json(path: Path) -> Any:
    """Return the value in a file. Raises OSError and ValueError."""
    with path.open("rb") as file:
        try:
            return json.loads(file.read(LARGEST))
        except RecursionError:
            raise ValueError("nested too deeply") from None
