"""The fields of each event and their valid values. Equivalent to docs/schemas/event.json; a test compares the two. No side effects."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nbserver.base.message import CODE
from nbserver.base.modes import CHANGING, READING

VERSION = 1
MOST_EVENTS = 100_000  # in a run, and in one response of a host
NAME_LENGTH = 64
WORDS_LENGTH = 32_768
TEXT_LENGTH = 1_000_000
CSR_LENGTH = 65_536
PATH_LENGTH = 4096
DATA_LENGTH = 400_000
MOST_VALUES = 20  # in a message
EXACT = 2**53 - 1  # the largest integer that every JSON reader keeps
INT64 = 2**63

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Field:
    """A field of an event. `allows` returns whether a value is valid. A field that is not required may be absent."""

    allows: Callable[[object], bool]
    required: bool = True


def fault(event: Mapping[str, object]) -> str | None:
    """Return what is wrong with the fields of an event, or None. Of the host's text, it repeats only names of fields."""
    name = event.get("event")
    if not isinstance(name, str) or name not in FORMS:
        return "unknown event name"
    form = FORMS["started step"] if name == "started" and event.get("step") != "" else FORMS[name]
    for key, field in form.items():
        if key not in event:
            if field.required:
                return f'"{name}" has no "{key}"'
        elif not field.allows(event[key]):
            return f'"{key}" of "{name}" is not valid'
    return f'"{name}" has an unknown field' if event.keys() - form.keys() else None


def _text(pattern: str = "", least: int = 0, most: int = TEXT_LENGTH) -> Callable[[object], bool]:
    compiled = re.compile(pattern) if pattern else None

    def allows(value: object) -> bool:
        if not isinstance(value, str) or not least <= len(value) <= most or _SURROGATE.search(value):
            return False
        return compiled is None or compiled.fullmatch(value) is not None

    return allows


def _integer(least: int, most: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _one_of(*values: str) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and value in values


def _either(*kinds: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: any(kind(value) for kind in kinds)


def _values(value: object) -> bool:
    """Return whether a value has the named values of a message: texts, integers, and nulls."""
    return isinstance(value, dict) and len(value) <= MOST_VALUES and all(_NAME(name) and _VALUE(item) for name, item in value.items())


def _cause(value: object) -> bool:
    """Return whether a value has the code and the values of another message."""
    return isinstance(value, dict) and value.keys() == {"code", "values"} and _CODE(value["code"]) and _values(value["values"])


def _object(**fields: Callable[[object], bool]) -> Callable[[object], bool]:
    """Return whether a value is an object with exactly these fields."""
    return lambda value: isinstance(value, dict) and value.keys() == fields.keys() and all(fields[key](value[key]) for key in fields)


def _versions(value: object) -> bool:
    """Return whether a value has versions by the name of a program."""
    return isinstance(value, dict) and len(value) <= MOST_VALUES and all(_NAME(name) and _VERSION(item) for name, item in value.items())


def _null(value: object) -> bool:
    return value is None


def _boolean(value: object) -> bool:
    return type(value) is bool


_STEP = _text("[a-z][a-z0-9_]*", most=NAME_LENGTH)
_NO_STEP = _one_of("")
_WORDS = _text(least=1, most=WORDS_LENGTH)
_TEXT = _text()
_VALUE = _either(_null, _TEXT, _integer(-INT64, INT64 - 1))
_COUNT = _integer(0, EXACT)
_NAME = _text("[a-z][a-z0-9_]*", most=NAME_LENGTH)
_CODE = _text(CODE.pattern, most=NAME_LENGTH)
_VERSION = _text("[0-9A-Za-z.+!-]+", most=NAME_LENGTH)
_RUN = _text("[0-9A-Za-z-]{1,64}")
_OPERATOR = _text(most=WORDS_LENGTH)
_RELEASE = _text(r"[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*", most=NAME_LENGTH)
_SHA256 = _text("[0-9a-f]{64}")
_TIME = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
_EVENT_TIME = _text(_TIME + r"\.[0-9]{7}Z")

_COMMON = {
    "v": Field(_integer(VERSION, VERSION)),
    "n": Field(_integer(1, MOST_EVENTS)),
    "time": Field(_EVENT_TIME),
    "step": Field(_either(_NO_STEP, _STEP)),
    "event": Field(_TEXT),
}
_OF_A_STEP = {**_COMMON, "step": Field(_STEP)}
_OF_THE_RUN = {**_COMMON, "step": Field(_NO_STEP)}

# What a message consists of, next to its English text. The scripts of 0.2.0 and earlier did not report codes.
_MESSAGE = {"code": Field(_CODE, required=False), "values": Field(_values, required=False)}
_CAUSE = {"cause": Field(_cause, required=False)}

_KEPT_RUN = _object(
    run=_RUN,
    mode=_one_of(*CHANGING),
    outcome=_one_of("ok", "failed", "stopped", "reboot", "running", "interrupted"),
    operator=_OPERATOR,
    release=_RELEASE,
    script_sha256=_SHA256,
    started=_EVENT_TIME,
    finished=_either(_NO_STEP, _EVENT_TIME),
)
_LIMIT = _object(asked=_text("[0-9A-Za-z%]{1,20}"), now=_text("([0-9a-z. ]{1,40})?"))

# By event name. "started step" is the form of `started` for a step.
FORMS: Mapping[str, Mapping[str, Field]] = {
    "started": {
        **_OF_THE_RUN,
        "run": Field(_RUN),
        "mode": Field(_one_of(*READING, *CHANGING)),
        "operator": Field(_OPERATOR),
        "release": Field(_RELEASE),
        "host": Field(_text("[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9_-])?")),
        "script_sha256": Field(_SHA256),
        "boot": Field(_text(f"({_TIME}Z)?"), required=False),
    },
    "started step": {**_OF_A_STEP, "title": Field(_WORDS)},
    "difference": {**_OF_A_STEP, **_MESSAGE, "what": Field(_WORDS), "is": Field(_VALUE), "should": Field(_VALUE)},
    "progress": {
        **_OF_A_STEP,
        **_MESSAGE,
        "what": Field(_WORDS),
        "done": Field(_COUNT, required=False),
        "total": Field(_either(_null, _COUNT), required=False),
        "unit": Field(_one_of("bytes", "packages", "seconds"), required=False),
    },
    "changed": _OF_A_STEP,
    "unchanged": _OF_A_STEP,
    "restored": {**_OF_A_STEP, "kind": Field(_WORDS), "what": Field(_WORDS)},
    "finding": {
        **_OF_A_STEP,
        **_MESSAGE,
        **_CAUSE,
        "name": Field(_NAME),
        "state": Field(_one_of("ok", "warning", "failed", "unknown")),
        "text": Field(_TEXT),
        "todo": Field(_TEXT),
    },
    "warning": {**_COMMON, **_MESSAGE, **_CAUSE, "text": Field(_TEXT)},
    "failed": {**_COMMON, **_MESSAGE, **_CAUSE, "text": Field(_TEXT), "at": Field(_text("line [0-9]*", most=NAME_LENGTH), required=False)},
    "log": {**_COMMON, **_MESSAGE, "text": Field(_TEXT), "program": Field(_WORDS, required=False)},
    "request": {
        **_OF_A_STEP,
        "csr": Field(_text("-----BEGIN CERTIFICATE REQUEST-----\n[A-Za-z0-9+/=\n]+\n-----END CERTIFICATE REQUEST-----\n", most=CSR_LENGTH)),
    },
    "status": {
        **_OF_THE_RUN,
        "service": Field(
            _object(
                state=_one_of("running", "starting", "stopped", "failed", "absent"),
                by=_one_of("systemd", "task", "background", "none"),
                start=_one_of("automatic", "manual", "disabled", "none"),
                since=_text(f"({_TIME}Z)?"),
            )
        ),
        "limits": Field(_either(_null, _object(memory_max=_LIMIT, tasks_max=_LIMIT, cpu_quota=_LIMIT)), required=False),
        "previous": Field(
            _either(
                _null,
                _object(environment=_text(least=1, most=PATH_LENGTH), lock=_text("([0-9a-f]{64})?"), installed=_text(f"({_TIME}Z)?")),
            ),
            required=False,
        ),
        "versions": Field(_versions),
        "certificate": Field(
            _either(_null, _object(fingerprint=_text("SHA256:[0-9a-f]{64}"), subject=_OPERATOR, expires=_text(f"{_TIME}Z")))
        ),
        "record": Field(_either(_null, _COUNT)),
        "last": Field(_either(_null, _KEPT_RUN)),
    },
    "kept": {
        **_OF_THE_RUN,
        "id": Field(_RUN),
        "run": Field(_either(_null, _KEPT_RUN)),
        "sha256": Field(_SHA256),
        "size": Field(_COUNT),
        "script": Field(_one_of("kept", "changed", "missing")),
    },
    "file": {
        **_OF_THE_RUN,
        "path": Field(_text(least=1, most=PATH_LENGTH)),
        "size": Field(_COUNT),
        "sha256": Field(_text("([0-9a-f]{64})?")),
        "state": Field(
            _one_of(
                "present",
                "stored",
                "conflict",
                "link",
                "unreadable",
                "name",
                "large",
                "incomplete",
                "damaged",
                "absent",
                "partial",
                "needless",
                "refused",
            )
        ),
    },
    "content": {
        **_OF_THE_RUN,
        "path": Field(_text(least=1, most=PATH_LENGTH)),
        "offset": Field(_COUNT),
        "data": Field(_text("[A-Za-z0-9+/]*={0,2}", most=DATA_LENGTH)),
    },
    "finished": {
        **_OF_THE_RUN,
        "outcome": Field(_one_of("ok", "failed", "stopped", "reboot", "waiting")),
        "differs": Field(_boolean),
        "changed": Field(_COUNT),
        "reboot": Field(_boolean),
        "fingerprint": Field(_text("(SHA256:[0-9a-f]{64})?")),
        "restarting": Field(_boolean, required=False),
    },
}
NAMES = frozenset(FORMS) - {"started step"}
