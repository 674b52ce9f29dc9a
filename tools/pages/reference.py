"""Which part of which page is generated from what."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tools.pages import commands, formats, inventory
from tools.pages.parts import filled, names

STREAM = (
    "ended",
    "backup",
    "server_log",
    "evidence",
    "notebooks",
    "delivery",
    "status",
    "server",
    "verified",
    "run_summary",
    "verified_host",
    "failed_host",
)
ANSWERS = tuple(formats.load("answer")["$defs"])
PARTS: dict[str, Callable[[], str]] = {
    **{name: partial(inventory.keys, model) for name, model in inventory.KINDS.items()},
    "secret references": inventory.secret_references,
    "commands": commands.overview,
    "options": commands.details,
    "variables": commands.variables,
    "events": formats.events,
    "fields of event": partial(formats.fields, "event", "event"),
    "fields of settings/download": partial(formats.fields, "settings", "download"),
    **{
        f"fields of {name}": partial(formats.fields, name)
        for name in (
            "catalog",
            "settings",
            "settings_linux",
            "manifest",
            "approval",
            "record",
            "review",
            "run",
            "intent",
            "resumed",
            "summary",
            "chain",
            "rotation",
            "known",
            "evidence_log",
            "host",
            "bundle",
            "bundle_approval",
        )
    },
    **{f"fields of stream/{name}": partial(formats.fields, "stream", name) for name in STREAM},
    **{f"fields of answer/{name}": partial(formats.fields, "answer", name) for name in ANSWERS},
}


def stale(docs: Path) -> dict[Path, str]:
    """Return the pages whose generated parts are not as they should be, with the text that they should have."""
    pages = {page: page.read_text("utf-8") for page in sorted(docs.glob("*.md"))}
    return {page: text for page, before in pages.items() if (text := filled(before, PARTS)) != before}


def unused(docs: Path) -> set[str]:
    """Return the parts that no page has."""
    return set(PARTS) - {name for page in docs.glob("*.md") for name in names(page.read_text("utf-8"))}
