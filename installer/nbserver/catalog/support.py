"""Until when publishers fix vulnerabilities in a branch of their program: shipped data, which no host gets."""

from __future__ import annotations

import importlib.resources
import tomllib
from dataclasses import dataclass
from datetime import date

from nbserver.catalog.choice import begins
from nbserver.catalog.entries import Download


@dataclass(frozen=True)
class Support:
    """`until` is the last day."""

    name: str
    branch: str
    until: date
    source: str


def load() -> tuple[Support, ...]:
    """Return the shipped table."""
    text = importlib.resources.files("nbserver").joinpath("catalog", "data", "support.toml").read_text("utf-8")
    return tuple(Support(**entry) for entry in tomllib.loads(text)["support"])


def of(download: Download, table: tuple[Support, ...]) -> Support | None:
    """Return the entry for the branch of a program, or None if the table does not have it."""
    return next((one for one in table if one.name == download.name and begins(download.version, one.branch)), None)
