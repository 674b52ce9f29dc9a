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
    rows = len(data) + len(body.parts) + len(HEADINGS) + (1 + len(unused) if unused else 0)
    begin = above + 1 + rows + 2  # the title of the table, and the empty line after it
    width = max(len(name) for name in [*(title for title, _, _ in data), *(part.name for part in body.parts)])
    lines = ["# Contents, by line. To follow a run, begin with main: it runs the steps, which use the prelude."]
    for title, sentence, count in data:
        lines.append(_row(begin, title, sentence, width))
        begin += count
    for kind, heading in HEADINGS.items():
        parts = [part for part in body.parts if part.title.rpartition(": ")[0] == kind]
        lines += [heading, *(_row(begin + part.line - 1, part.name, part.sentence, width) for part in parts)]
    lines += [_row(begin + part.line - 1, part.name, part.sentence, width) for part in body.parts if ": " not in part.title]
    if unused:
        width = max(map(len, unused))
        lines += ["# Not used with these settings:", *(f"#        {title:<{width}}  {reason}" for title, reason in unused.items())]
    return "\n".join(lines) + "\n"


HEADINGS = {"prelude": "# Prelude, which the steps use:", "step": "# Steps, in the order in which they run:"}


def _row(line: int, name: str, sentence: str, width: int) -> str:
    return f"# {line:>5}  {name:<{width}}  {sentence}".rstrip()


REASON_WORDS = ("skipped in the inventory", "the host signs its certificate itself", "this OpenSSL does not need it")


def unused_parts(settings: Mapping[str, Any], body: Body) -> dict[str, str]:
    """Return title -> reason for each part of the body that a script with these settings never uses."""
    reasons = {part.title: _reason(settings, part.title) for part in body.parts}
    return {title: reason for title, reason in reasons.items() if reason}


def _reason(settings: Mapping[str, Any], title: str) -> str:
    kind, _, name = title.partition(": ")
    if kind == "step" and name in settings.get("skip", ()):
        return REASON_WORDS[0]
    certificate = settings.get("certificate", {})
    if title in _OTHER_SOURCES and certificate.get("source") == "host":
        return REASON_WORDS[1]
    if title == "step: vc_redist" and "vc_redist" in settings and settings["vc_redist"] is None:
        return REASON_WORDS[2]
    return ""


_OTHER_SOURCES = frozenset({"prelude: certificate_sources", "prelude: certificate_store", "prelude: certificate_requests"})
