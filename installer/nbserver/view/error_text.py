"""The errors of hosts in the language of the reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbserver.language.language import Language
    from nbserver.run.failures import Group
    from nbserver.run.result import Result


def error_text(result: Result, language: Language) -> str:
    """Return the error of a host."""
    return language.reported(result.error, result.detail.get("code"), result.detail.get("values", {}))


def group_text(group: Group, language: Language) -> str:
    """Return the error of the first host of a group."""
    return language.reported(group.text, group.detail.get("code"), group.detail.get("values", {}))
