"""Messages for users: a stable code, an English template, and the named values in it. The events of scripts have the same form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Self

from nbserver.base.plain_text import clean

CODE = re.compile(r"(?=.{1,64}$)[a-z][a-z0-9]*(-[a-z0-9]+)*")
PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*)\}")
VALUE = re.compile(PLACEHOLDER.pattern + r"(\.(?=\s|$))?")  # and the period that ends the sentence
LONGEST = 4000  # characters of a value


class Described:
    """Something that has a code and values, and whose text is `str()` of it: a message, or an error."""

    code: str
    values: Mapping[str, Value]


class Portable(BaseException):
    """An exception that survives pickling whatever its constructor takes: a run on a host may be in another process."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (type(self), self.args), self.__dict__


def _again(kind: type[BaseException], arguments: tuple[Any, ...]) -> BaseException:
    error = kind.__new__(kind)
    error.args = arguments  # OSError does not set them before its constructor is called
    return error


Value = str | int | None | Described
Given = Value | PurePath


@dataclass(frozen=True)
class Message(Described):
    """A message as part of another one, such as a reason, or a warning or finding. `remedy` is the template of what to do, or empty."""

    code: str
    template: str
    values: Mapping[str, Value] = field(default_factory=dict)
    remedy: str = ""

    def __str__(self) -> str:
        return fill(self.template, self.values)

    @property
    def todo(self) -> str:
        """What to do, or empty."""
        return fill(self.remedy, self.values)

    def __hash__(self) -> int:
        return hash((self.code, str(self)))


@dataclass(frozen=True)
class Reported(Described):
    """A message that a script reported. Its text already has the values in it, and is not a template."""

    code: str
    text: str
    values: Mapping[str, Value]
    cause: Mapping[str, Any] | None = None  # the code and the values of the reason that one of the values is

    def __str__(self) -> str:
        return self.text


class Phrase(str):
    """English text that knows its template and its values. A person reads it, and no program: it has no code.

    With a `number` other than 1, the text is that of the template `several`, unless that is empty.
    """

    template: str
    values: Mapping[str, Value]
    several: str
    number: int

    def __new__(cls, template: str, values: Mapping[str, Value], several: str = "", number: int = 1) -> Self:
        found = super().__new__(cls, fill(several if several and number != 1 else template, values))
        found.template, found.values, found.several, found.number = template, values, several, number
        return found

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.template, self.values, self.several, self.number


def with_values(said: str, change: Callable[[str], str]) -> str:
    """Return the text with `change` applied to it, or of a Phrase, to the texts among its values."""
    if not isinstance(said, Phrase):
        return change(said)
    values = {name: with_values(value, change) if isinstance(value, str) else value for name, value in said.values.items()}
    return Phrase(said.template, values, said.several, said.number)


class Lines(Described):
    """Several messages, one per line, or with another `separator` between them. For a program, they are an array."""

    code = "several"
    values: Mapping[str, Value] = {}

    def __init__(self, messages: Sequence[Described], separator: str = "\n") -> None:
        self.messages, self.separator = messages, separator

    def __str__(self) -> str:
        return self.separator.join(map(str, self.messages))


class Cause(Described, Portable, Exception):
    """An exception whose text becomes part of an error for the user: a reason with its code."""

    def __init__(self, code: str, template: str, /, **values: Given) -> None:
        self.code, self.template, self.values = code, template, checked(code, (template,), values)
        super().__init__(fill(template, self.values))


class DescribedError(Cause, ValueError):
    """A value is not acceptable, and why."""


def message(code: str, template: str, /, *, todo: str = "", **values: Given) -> Message:
    """Return a part of another message after checking that it is complete. `todo` is the template of what to do."""
    return Message(code, template, checked(code, (template, todo), values), todo)


def notice(code: str, template: str, /, *, todo: str = "", **values: Given) -> Message:
    """Return a message that is shown by itself, such as a warning or a finding. `todo` is the template of what to do."""
    return Message(code, template, checked(code, (template, todo), values), todo)


def phrase(template: str, /, **values: Given) -> str:
    """Return a Phrase: a complete sentence, or a word of a table."""
    return Phrase(template, converted(values))


def counted(one: str, several: str, count: int, /, **values: Given) -> str:
    """Return a Phrase with a number in it, which is its value `count`."""
    return Phrase(one, converted({**values, "count": count}), several, count)


def converted(values: Mapping[str, Given]) -> dict[str, Value]:
    """Return the values of a message; paths are text."""
    return {name: value if value is None or isinstance(value, (str, int, Described)) else str(value) for name, value in values.items()}


def checked(code: str, templates: tuple[str, ...], values: Mapping[str, Given]) -> dict[str, Value]:
    """Return the values. Raises AssertionError if the code is not valid, or if placeholders and values do not match: that is a bug."""
    if not CODE.fullmatch(code):
        raise AssertionError(f"not a code: {code!r}")
    used = {name for template in templates for name in PLACEHOLDER.findall(template)}
    if used != values.keys():
        raise AssertionError(f"{code}: the placeholders are {sorted(used)}, the values {sorted(values)}")
    return converted(values)


def fill(template: str, values: Mapping[str, Value]) -> str:
    """Return the template with each `{name}` replaced by its value, in a single pass: braces in a value are never expanded.

    Other braces are plain text. A value of None is shown as "none". If a sentence ends after a value that is itself a
    sentence, such as a message of another program, it ends with one period.
    """
    shown = {name: "none" if value is None else str(value) for name, value in values.items()}
    return VALUE.sub(lambda found: shown[found[1]].removesuffix(".") + "." if found[2] else shown[found[1]], template)


def cause(error: Exception, limit: int = 2000) -> Described | str:
    """Return the reason that an exception gives: itself if it has a code, otherwise its text, cleaned and shortened."""
    text = clean(str(error), limit)
    return error if isinstance(error, Described) and text == str(error) else text


def detail(reason: Described) -> dict[str, Any]:
    """Return the code and the values for machine output, next to the text."""
    return {"code": reason.code, "values": as_json(reason.values)}


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values for machine output: text is cleaned and shortened like that of a message, a reason is an object."""
    return {name: _as_json(value) for name, value in values.items()}


def _as_json(value: Any) -> Any:
    if isinstance(value, Lines):
        return [_as_json(part) for part in value.messages]
    if isinstance(value, Described):
        return {"text": clean(str(value), LONGEST), **detail(value)}
    return clean(value, LONGEST) if isinstance(value, str) else value  # None, a number, or already JSON
