"""Describe an event in one line that is safe to print on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbserver.base.message import Message, Reported, message
from nbserver.base.plain_text import clean
from nbserver.events.reader import Event


def describe(event: Event) -> str:
    """Return a description of an event in one line that is safe to print on a terminal."""
    return clean(_said(event))


def failure(host: str, event: Event) -> Message:
    """Return the error of a host that reported a `failed` event."""
    text, code = clean(event.data["text"]), event.data.get("code")
    reason = Reported(code, text, event.data.get("values", {})) if code else text
    if event.step:
        return message("step-failed", "{name}, {step}: {reason}", name=host, step=event.step, reason=reason)
    return message("script-failed", "{name}, script: {reason}", name=host, reason=reason)


def _said(event: Event) -> str:
    data = event.data
    if event.event == "difference":
        return f"{data.get('what')}: is {shown(data.get('is'))}, should be {shown(data.get('should'))}"
    if event.event == "progress":
        return progress(data)
    if event.event == "finished":
        return f"{data.get('outcome')}, {data.get('changed', 0)} changed"
    if event.event == "file":
        return f"{data['path']} {data['state']}"
    if event.event == "content":
        return f"{data['path']} from byte {data['offset']}"
    if event.event == "request":
        return "certificate request"
    for key in ("text", "title", "what", "mode"):
        if key in data:
            return str(data[key])
    return ""


def progress(data: Mapping[str, Any]) -> str:
    """Return the progress, such as `python-3.13.13-amd64.zip 12 of 30 MB`."""
    what, done, total = str(data.get("what", "")), data.get("done"), data.get("total")
    if not isinstance(done, int):
        return what
    scale, unit = (1e6, "MB") if data.get("unit") == "bytes" else (1, str(data.get("unit", "")))
    of = f" of {total / scale:.0f}" if isinstance(total, int) else ""
    return f"{what} {done / scale:.0f}{of} {unit}".rstrip()


def shown(value: Any) -> str:
    """Return a value of a difference in readable form."""
    return "absent" if value is None else str(value) if value != "" else "empty"
