"""The environment before the last upgrade, which `nbserver rollback` would use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from nbserver.base.plain_text import clean
from nbserver.language.language import ENGLISH, Language


def said(previous: Mapping[str, str] | None, language: Language = ENGLISH) -> str:
    """Return the environment in one line, such as `/opt/nbserver/env-7fefc45f, installed 2026-11-22, lock 7fefc45f...`.

    `previous` has the form of the event `status`. Return an empty string if no environment is kept.
    """
    if previous is None:
        return ""
    parts = [clean(previous["environment"], 300)]
    if previous["lock"]:
        parts += [
            language.text("installed {date}", date=previous["installed"][:10]),
            language.text("lock {sha256}", sha256=previous["lock"]),
        ]
    return language.joined(parts)


def name(previous: Mapping[str, str] | None) -> str:
    """Return the name of the folder of the environment alone, or an empty string."""
    return clean(PurePosixPath(previous["environment"]).name, 40) if previous else ""
