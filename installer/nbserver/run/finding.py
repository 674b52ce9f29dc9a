"""What a check finds: whether one requirement is met, and what to do if it is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from nbserver.base.message import Message, detail
from nbserver.base.plain_text import clean

if TYPE_CHECKING:
    from nbserver.events.reader import Event

State = Literal["ok", "warning", "failed", "unknown"]


@dataclass(frozen=True)
class Finding:
    """`name` is the requirement, `text` what was found, `todo` what to do, and `detail` the code and the values of the message.

    `cause` has the code and the values of the reason in it. It is not part of the finding for a program.
    """

    name: str
    state: State
    text: str
    todo: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)
    cause: Mapping[str, Any] | None = field(default=None, compare=False)

    def as_json(self) -> dict[str, Any]:
        """Return the finding for a program."""
        return {"name": self.name, "state": self.state, "text": self.text, "todo": self.todo, **self.detail}


def of_event(event: Event) -> Finding:
    """Return what a script reported. Its texts come from the host."""
    data = event.data
    known = {key: data[key] for key in ("code", "values") if key in data}
    return Finding(data["name"], data["state"], clean(data["text"]), clean(data["todo"]), known, data.get("cause"))


def of_message(name: str, state: State, said: Message) -> Finding:
    """Return what the workstation found."""
    return Finding(name, state, str(said), "", detail(said))
