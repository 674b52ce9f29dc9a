"""The error to raise for a value that is not valid, with the reason as a message."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbserver.base.message import Described, Given, Lines, message

if TYPE_CHECKING:
    from pydantic_core import PydanticCustomError


def refuse(code: str, template: str, /, **values: Given) -> PydanticCustomError:
    """Return the error to raise for a value. The code is also pydantic's type of the error."""
    from pydantic_core import PydanticCustomError

    return PydanticCustomError(code, "{reason}", {"reason": message(code, template, todo="", **values)})


def contradiction(broken: Sequence[tuple[str, Described]]) -> PydanticCustomError:
    """Return the error to raise for settings that contradict each other: (key, reason) of each rule that they violate."""
    from pydantic_core import PydanticCustomError

    reasons = [message("setting-invalid", "{key}: {reason}", key=key, reason=reason) for key, reason in broken]
    return PydanticCustomError("contradiction", "{reason}", {"reason": Lines(reasons, "; ")})


def reason_of(error: ValueError) -> Described | str:
    """Return the reason of an error that a check of a value raised."""
    from pydantic_core import PydanticCustomError

    if isinstance(error, PydanticCustomError):
        reason: Described = (error.context or {})["reason"]
        return reason
    return error if isinstance(error, Described) else str(error)
