"""The table of contents in a script's header: where each part begins, what it does, and what these settings do not use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbserver.render.body import Body


def contents(settings: Mapping[str, Any], body: Body, data: list[tuple[str, str, int]], above: int) -> str:
    """Return the comment lines. `data` has (title, sentence, lines) of the blocks between the header and the body.

    `above` is the number of lines of the header without this table. All lines have at most 120 columns.
    """
    unused = unused_parts(settings, body)
    begin = above + 1 + len(data) + len(body.parts) + (1 + len(unused) if unused else 0) + 2
    rows = []
    for title, sentence, lines in data:
        rows.append((begin, title, sentence))
        begin += lines
    rows += [(begin + part.line - 1, part.title, part.sentence) for part in body.parts]
    width = max(len(title) for _, title, _ in rows)
    table = [f"# {line:>6}  {title:<{width}}  {sentence}".rstrip() for line, title, sentence in rows]
    listed = [f"#         {title:<{width}}  {reason}" for title, reason in unused.items()]
    return "\n".join(["# Contents, by line:", *table, *(["# Not used with these settings:", *listed] if unused else [])]) + "\n"


def unused_parts(settings: Mapping[str, Any], body: Body) -> dict[str, str]:
    """Return title -> reason for each part of the body that a script with these settings never uses."""
    reasons = {part.title: _reason(settings, part.title) for part in body.parts}
    return {title: reason for title, reason in reasons.items() if reason}


def _reason(settings: Mapping[str, Any], title: str) -> str:
    kind, _, name = title.partition(": ")
    if kind == "step" and name in settings.get("skip", ()):
        return "skipped in the inventory"
    certificate = settings.get("certificate", {})
    if title in _OTHER_SOURCES and certificate.get("source") == "host":
        return "the host signs its certificate itself"
    if title == "step: vc_redist" and "vc_redist" in settings and settings["vc_redist"] is None:
        return "this OpenSSL does not need it"
    only = _ONLY_USER if settings.get("scope") == "machine" else _ONLY_MACHINE
    return f"only in scope {'user' if only is _ONLY_USER else 'machine'}" if title in only else ""


_OTHER_SOURCES = frozenset({"prelude: certificate_sources", "prelude: certificate_store", "prelude: certificate_requests"})
_ONLY_USER = frozenset({"prelude: processes"})
_ONLY_MACHINE = frozenset(
    {
        *(f"step: {name}" for name in ("openssl", "user", "firewall")),
        *(f"prelude: {name}" for name in ("firewall", "users", "apt", "zypper")),
    }
)
