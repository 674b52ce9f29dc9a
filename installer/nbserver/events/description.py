"""Describe an event in one line that is safe to print on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nbserver.base.message import Message, Reported, notice
from nbserver.base.plain_text import clean
from nbserver.events.reader import Event
from nbserver.language.language import ENGLISH, Language

# The names of events, the outcomes and kinds of errors of hosts, and the states of files and findings, as a person reads them.
WORDS = (
    *("started", "difference", "progress", "changed", "unchanged", "restored", "finding", "warning", "failed", "log", "request"),
    *("status", "kept", "file", "content", "finished", "ok", "unknown", "stopped", "reboot", "waiting"),
    *("present", "stored", "conflict", "link", "unreadable", "name", "large", "incomplete", "damaged", "absent", "partial"),
    *("needless", "refused", "bytes", "packages", "seconds", "differs", "unreachable", "dns", "timeout", "host_key", "certificate"),
    *("auth", "sudo", "rights", "step", "internal"),
)


def describe(event: Event, language: Language = ENGLISH) -> str:
    """Return a description of an event in one line that is safe to print on a terminal."""
    return clean(_said(event, language))


def failure(host: str, event: Event) -> Message:
    """Return the error of a host that reported a `failed` event."""
    text, code = clean(event.data["text"]), event.data.get("code")
    reason = Reported(code, text, event.data.get("values", {}), event.data.get("cause")) if code else text
    if event.step:
        return notice("step-failed", "{name}, {step}: {reason}", name=host, step=event.step, reason=reason)
    return notice("script-failed", "{name}, script: {reason}", name=host, reason=reason)


def _said(event: Event, language: Language) -> str:
    data = event.data
    if event.event == "difference":
        return language.text(
            "{what}: is {present}, should be {wanted}",
            what=_reported(data, "what", language),
            present=shown(data.get("is"), language, data.get("code")),
            wanted=shown(data.get("should"), language, data.get("code")),
        )
    if event.event == "progress":
        return progress(data, language)
    if event.event == "finished":
        outcome = language.word(str(data.get("outcome")))
        return language.text("{outcome}, {count} changed", outcome=outcome, count=data.get("changed", 0))
    if event.event == "file":
        return f"{data['path']} {language.word(data['state'])}"
    if event.event == "content":
        return language.text("{path} from byte {offset}", path=data["path"], offset=data["offset"])
    if event.event == "request":
        return language.text("certificate request")
    if "text" in data:
        return _reported(data, "text", language)
    if "title" in data:
        return language.word(str(data["title"]))
    return str(data.get("what", data.get("mode", "")))


def _reported(data: Mapping[str, Any], key: str, language: Language) -> str:
    return language.reported(str(data.get(key)), data.get("code"), data.get("values", {}), data.get("cause"))


def progress(data: Mapping[str, Any], language: Language = ENGLISH) -> str:
    """Return the progress, such as `python-3.13.13-amd64.zip 12 of 30 MB`."""
    what, done, total = _reported({"what": "", **data}, "what", language), data.get("done"), data.get("total")
    if not isinstance(done, int):
        return what
    scale, unit = (1e6, language.text("MB")) if data.get("unit") == "bytes" else (1, language.word(str(data.get("unit", ""))))
    amount = f"{done / scale:.0f}"
    if isinstance(total, int):
        amount = language.text("{done} of {total}", done=amount, total=f"{total / scale:.0f}")
    return f"{what} {amount} {unit}".rstrip()


def shown(value: Any, language: Language = ENGLISH, code: str | None = None) -> str:
    """Return a value of a difference with a code in readable form."""
    if value is None or value == "":
        return language.text("absent") if value is None else language.text("empty")
    return language.difference_word(str(value), code)
