"""Render a Linux host's settings and the step files into its script. The only side effect is reading the step files."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from nbserver import __version__
from nbserver.base.errors import NbserverError
from nbserver.catalog import lock_lines
from nbserver.render.body import Body
from nbserver.render.contents import contents
from nbserver.render.first_page import first_page
from nbserver.render.linux_settings import LinuxScriptSettings
from nbserver.render.script import Script, download_source, host_of, require_keys
from nbserver.render.step_files import read_body

LOCK_START = "LOCK=(\n"


def render_linux(settings: LinuxScriptSettings, lock: tuple[str, ...]) -> Script:
    """Return the script for a Linux host. `lock` contains lines such as `name==version [; marker] --hash=...`.

    Raises NbserverError if a text in the settings or the lock cannot be represented as data in the script.
    """
    body = read_body("linux_scripts", settings.scope)
    values = settings.as_json()
    return Script.joined(values, head(values, lock, body), body, "sh")


def head(settings: dict[str, Any], lock: tuple[str, ...], body: Body) -> str:
    """Return everything before the body: the header, the settings, and the lock. Raises NbserverError."""
    text = header(settings)
    blocks = [
        ("settings", "What differs from host to host: data, no code.", settings_block(settings)),
        ("lock", "The Python packages, with versions and hashes.", lock_block(lock)),
        ("welcome", "The first notebook that users see, as JSON.", first_page_block(settings.get("notebook", {}).get("language"))),
    ]
    table = contents(settings, body, [(title, sentence, block.count("\n")) for title, sentence, block in blocks], text.count("\n"))
    return "".join([text, table, "\n", *(block for _, _, block in blocks)])


def header(settings: dict[str, Any]) -> str:
    """Return the comment at the top: what the script does, for which host, and how to run it by hand. Raises NbserverError."""
    host = host_of(settings)
    user = settings["scope"] == "user"
    bash, needs = ("bash", "and Python 3.10 or newer with venv; root is not needed") if user else ("sudo bash", "systemd, and root")
    source = {
        "mirror": "Python packages come from the mirror in the settings (downloads.mirror)",
        "push": "Python packages come from the workstation, which sends what is missing before apply (downloads.source)",
    }.get(download_source(settings), "Python packages come from the package index")
    return f"""\
# nbserver {__version__}: sets up a secured notebook server on the Linux host {host}
#
# By hand:
#   {bash} {host}.sh           reports differences, changes nothing
#   {bash} {host}.sh check     reports what this host lacks
#   {bash} {host}.sh status    reports how the server runs and which run was the last
#   {bash} {host}.sh apply     makes the changes
#   {bash} {host}.sh undo      restores the previous state
#   {bash} {host}.sh rotate    revokes all access and sets a new password
#   {bash} {host}.sh restart   restarts the server
#   {bash} {host}.sh stop      stops the server
#   {bash} {host}.sh rollback  returns to the previous environment
#   {bash} {host}.sh set-password        replaces the password
#   {bash} {host}.sh rotate-certificate  replaces the certificate
# Exit codes: 0 success, 2 differences (test, status), 3 failed, 102 success, but the host must restart
# Requires bash 4.4 or newer, {needs}
# {source}
# shellcheck shell=bash disable=SC2034,SC2088,SC2317
#
"""


def settings_block(settings: dict[str, Any]) -> str:
    """Return one assignment per line, in the order of the manifest. The names are `NB_` and the upper-case path of the setting.

    The values are literals in which bash expands nothing.
    """
    require_keys(settings)
    variables = _variables(settings, "NB")
    names = [name for name, _ in variables]
    if twice := next((name for index, name in enumerate(names) if name in names[:index]), ""):
        raise NbserverError(
            "bash-variable-twice",
            "two settings map to the bash variable {name}",
            todo="Report this bug, and include this message",
            name=twice,
        )
    return "".join(f"{name}={value}\n" for name, value in variables) + "\n"


def _variables(settings: dict[str, Any], prefix: str) -> list[tuple[str, str]]:
    found = []
    for key, value in sorted(settings.items()):
        name = f"{prefix}_{key.upper()}"
        if isinstance(value, dict):
            found += _variables(value, name)
        elif isinstance(value, list):
            found.append((name, f"( {' '.join(literal(item, name) for item in value)} )" if value else "()"))
        else:
            found.append((name, literal(value, name)))
    return found


def literal(value: str | int | bool | None, name: str) -> str:
    """Return the value as a bash literal, in which nothing is expanded. Null becomes the empty string.

    Printable ASCII is written in single quotes. If the text contains anything else or a quote, it is written as $'...' with
    octal escapes, which mean the same in every locale. Raises NbserverError for a value that a bash variable cannot store.
    """
    if value is None:
        value = ""
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, str | int):
        raise NbserverError(
            "setting-not-for-bash",
            "the setting {name} has a value that a bash variable cannot store",
            todo="Report this bug, and include this message",
            name=name,
        )
    text = str(value)
    try:
        data = text.encode("utf-8")
    except UnicodeEncodeError:
        raise NbserverError(
            "setting-lone-surrogate",
            "the setting {name} contains a lone surrogate, which is not a valid character",
            todo="Delete the value in the inventory and type it again",
            name=name,
        ) from None
    if 0 in data:
        raise NbserverError(
            "setting-nul",
            "the setting {name} contains a NUL byte, which bash cannot store",
            todo="Remove the NUL byte from the value in the inventory",
            name=name,
        )
    if all(32 <= byte < 127 and byte != 39 for byte in data):
        return f"'{text}'"
    return "$'" + "".join(chr(byte) if 32 <= byte < 127 and byte not in (39, 92) else f"\\{byte:03o}" for byte in data) + "'"


@lru_cache(maxsize=16)  # hosts share their locks
def lock_block(lock: tuple[str, ...]) -> str:
    """Return `LOCK=( ... )` with each line of the lock as a literal."""
    for line in lock:
        if lock_lines.package_of(line, conditions=True) is None:
            raise NbserverError(
                "linux-lock-line-malformed",
                '"{line}" is not a valid line of a lock; expected NAME==VERSION [; CONDITION] --hash=sha256:HEX',
                line=line[:80],
            )
    return LOCK_START + "".join(f"    '{line}'\n" for line in lock) + ")\n\n"


def first_page_block(language: str | None) -> str:
    """Return `FIRST_PAGE=...` with the notebook that is the first page. It contains no single quote. Null means none."""
    return f"# shellcheck disable=SC2016 # nothing in it is expanded\nFIRST_PAGE='\n{first_page(language) if language else ''}'\n\n"
