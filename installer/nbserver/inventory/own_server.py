"""What is known about the notebook server of this machine, wherever a command is called: its port and folder, and its inventory.

Port and folder are in the configuration of the server. The inventory is in nbserver.server, in the user's folder for state:
`{"v": 1, "inventories": {"user": "/home/anna/site/nbserver.toml"}}`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from nbserver.base import atomic_file, user_folders
from nbserver.base.errors import UsageError

FILE_NAME = "nbserver.server"
LARGEST = 1_000_000  # bytes
VERSION = 1


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
    named = _inventories().get(scope)
    return Path(named) if named else None


def remember(scope: str, inventory: Path | None) -> None:
    """Record from which inventory the server of the scope was set up. With None, it had none."""
    before = _inventories()
    after = {name: path for name, path in before.items() if name != scope} | ({scope: str(inventory)} if inventory else {})
    if after == before:
        return
    path = state_folder(sys.platform) / FILE_NAME
    try:
        if after:
            path.parent.mkdir(0o700, parents=True, exist_ok=True)
            atomic_file.write_text(path, json.dumps({"v": VERSION, "inventories": after}, indent=2) + "\n")
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(
            "own-server-not-written",
            "could not record which inventory the server belongs to ({reason})",
            where=str(path),
            todo="Make the folder writable; until then, run commands for local with -i",
            reason=error.strerror or type(error).__name__,
        ) from None


def _inventories() -> dict[str, str]:
    """Return the inventories by scope. A file that is not valid counts as missing: it only saves typing -i."""
    try:
        found = _json(state_folder(sys.platform) / FILE_NAME)["inventories"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UsageError):
        return {}
    return {scope: path for scope, path in found if scope in ("user", "machine") and isinstance(path, str) and os.path.isabs(path)}  # noqa: PTH117


def _json(path: Path) -> Any:
    with path.open("rb") as file:
        return json.loads(file.read(LARGEST))
