"""Render a Windows host's settings and the step files into its script. The only side effect is reading the step files."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from nbserver import __version__
from nbserver.base import json_lines
from nbserver.base.date_text import reads_like_date
from nbserver.base.errors import NbserverError
from nbserver.base.modes import BY_HAND
from nbserver.catalog import lock_lines
from nbserver.render.body import Body
from nbserver.render.contents import contents
from nbserver.render.first_page import first_page
from nbserver.render.script import Script, download_source, host_of, require_keys
from nbserver.render.step_files import read_body
from nbserver.render.windows_settings import WindowsScriptSettings


def render_windows(settings: WindowsScriptSettings, lock: tuple[str, ...]) -> Script:
    """Return the script for a Windows host. `lock` contains lines such as `name==version --hash=...`.

    Raises NbserverError if a text in the settings or the lock cannot be represented as data in the script.
    """
    body = read_body("ps_scripts", settings.scope)
    values = settings.as_json()
    return Script.joined(values, head(values, lock, body), body)


def head(settings: dict[str, Any], lock: tuple[str, ...], body: Body) -> str:
    """Return everything before the body: the header, the parameters, the settings, and the lock. Raises NbserverError."""
    text = header(settings)
    blocks = [
        ("parameters", "The mode for a run by hand.", parameters(settings)),
        ("settings", "What differs from host to host: data, no code.", settings_block(settings)),
        ("lock", "The Python packages, with versions and hashes.", lock_block(lock)),
        ("welcome", "The first notebook that users see, as JSON.", first_page_block(settings.get("notebook", {}).get("language"))),
    ]
    table = contents(settings, body, [(title, sentence, block.count("\n")) for title, sentence, block in blocks], text.count("\n"))
    return "".join([text, table, "\n", *(block for _, _, block in blocks)])


def parameters(settings: dict[str, Any]) -> str:
    """Return the `param` block. Only a script of machine scope has the mode `request`."""
    modes = ", ".join(f"'{mode}'" for mode in BY_HAND if mode != "request" or settings.get("scope") == "machine")
    return f"""\
param(
    [ValidateSet({modes})]
    [string]$Mode = 'test'
)

"""


def header(settings: dict[str, Any]) -> str:
    """Return the comment at the top: what the script does, for which host, and how to run it by hand. Raises NbserverError."""
    host = host_of(settings)
    rights = "; administrator rights are not needed" if settings.get("scope") == "user" else ", and administrator rights"
    source = {
        "mirror": "All downloads come from the mirror in the settings (downloads.mirror)",
        "push": "All downloads come from the workstation, which sends what is missing before apply (downloads.source)",
    }.get(download_source(settings), "Downloads come from the URLs in the settings and from the package index")
    return f"""\
# nbserver {__version__}: sets up a secured notebook server on the Windows host {host}
#
# By hand:
#   powershell -NoProfile -ExecutionPolicy Bypass -File {host}.ps1                reports differences, changes nothing
#   powershell -NoProfile -ExecutionPolicy Bypass -File {host}.ps1 -Mode check    reports what this host lacks
#   powershell -NoProfile -ExecutionPolicy Bypass -File {host}.ps1 -Mode status   reports how the server runs
#   powershell -NoProfile -ExecutionPolicy Bypass -File {host}.ps1 -Mode apply    makes the changes
#   powershell -NoProfile -ExecutionPolicy Bypass -File {host}.ps1 -Mode undo     restores the previous state
#   powershell -NoProfile -ExecutionPolicy Bypass -File {host}.ps1 -Mode rotate   revokes all access, sets a new password
#   powershell -NoProfile -ExecutionPolicy Bypass -File {host}.ps1 -Mode restart  restarts the server
#   powershell -NoProfile -ExecutionPolicy Bypass -File {host}.ps1 -Mode stop     stops the server
#   powershell -NoProfile -ExecutionPolicy Bypass -File {host}.ps1 -Mode rollback returns to the previous environment
#   powershell -NoProfile -ExecutionPolicy Bypass -File {host}.ps1 -Mode set-password        replaces the password
#   powershell -NoProfile -ExecutionPolicy Bypass -File {host}.ps1 -Mode rotate-certificate  replaces the certificate
# Exit codes: 0 success, 2 differences (test, status), 3 failed, 3010 Windows must restart: then apply again
# Requires Windows PowerShell 3.0 or newer, 64-bit{rights}
# {source}
#
"""


def settings_block(settings: dict[str, Any]) -> str:
    """Return `$Settings = ConvertFrom-Json '...'`: one ASCII literal that no value can terminate.

    The JSON has the same lines as in the manifest.
    """
    require_keys(settings)
    for path, value in texts(settings):
        if any("\ud800" <= character <= "\udfff" for character in value):
            raise NbserverError(
                "setting-lone-surrogate",
                "the setting {name} contains a lone surrogate, which is not a valid character",
                todo="Delete the value in the inventory and type it again",
                name=path,
            )
        if becomes_date(value):
            raise NbserverError(
                "setting-looks-like-date",
                "the setting {name} looks like a date, which PowerShell 7 would convert",
                todo="Choose a value that does not look like a date",
                name=path,
            )
    return f"$Settings = ConvertFrom-Json '\n{json_lines.dumps(settings, indent=1)}\n'\n\n"


def becomes_date(text: str) -> bool:
    """Return whether PowerShell 7 would convert a text to a date. Windows PowerShell would not, so no setting can be such a text."""
    return reads_like_date(text) or text.startswith("/Date(")


def texts(value: Any, path: str = "") -> list[tuple[str, str]]:
    """Return every string in a JSON value with its dotted path."""
    if isinstance(value, str):
        return [(path, value)]
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in texts(item, f"{path}.{key}".lstrip("."))]
    if isinstance(value, list):
        return [found for item in value for found in texts(item, path)]
    return []


LOCK_START = "$Lock = @(\n"


@lru_cache(maxsize=16)  # hosts share their locks
def lock_block(lock: tuple[str, ...]) -> str:
    """Return `$Lock = @(...)` with each line of the lock as a literal."""
    for line in lock:
        if lock_lines.package_of(line, conditions=False) is None:
            raise NbserverError(
                "windows-lock-line-malformed",
                '"{line}" is not a valid line of a lock; expected NAME==VERSION --hash=sha256:HEX',
                line=line[:80],
            )
    return LOCK_START + "".join(f"    '{line}'\n" for line in lock) + ")\n\n"


def first_page_block(language: str | None) -> str:
    """Return `$FirstPage = ...` with the notebook that is the first page. It contains no single quote. Null means none."""
    return f"$FirstPage = '\n{first_page(language) if language else ''}'\n\n"
