"""Group hosts that failed for the same reason: fifty hosts behind one closed port are one message."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nbserver.run.result import Result


@dataclass(frozen=True)
class Group:
    """Hosts that failed for the same reason. `text` is the error of the first one, and `detail` has its code and values."""

    text: str
    hosts: tuple[str, ...]
    detail: Mapping[str, Any] = field(default_factory=dict, compare=False)


def group(results: Iterable[Result]) -> tuple[Group, ...]:
    """Return the groups of the results that have an error, the largest first."""
    return grouped((result.host, result.error, result.detail) for result in results if result.error)


def grouped(failed: Iterable[tuple[str, str, Mapping[str, Any]]]) -> tuple[Group, ...]:
    """Return the groups of (host, error, its code and values), the largest first."""
    found: dict[tuple[str, ...], list[str]] = {}
    first: dict[tuple[str, ...], tuple[str, Mapping[str, Any]]] = {}
    for host, text, detail in failed:
        key = reason(host, text, detail)
        found.setdefault(key, []).append(host)
        first.setdefault(key, (text, detail))
    groups = (Group(first[key][0], tuple(hosts), first[key][1]) for key, hosts in found.items())
    return tuple(sorted(groups, key=lambda one: -len(one.hosts)))


def reason(host: str, text: str, detail: Mapping[str, Any]) -> tuple[str, ...]:
    """Return why a host failed, as a key.

    The reason is the same if the codes are: those of the error and of the reasons in it, and the step. Without a code, it is the
    same if the texts are, apart from the name of the host.
    """
    return tuple(_codes(detail)) or ("", re.sub(rf"(?<![\w.-]){re.escape(host)}(?![\w-])", "{host}", text))


def _codes(detail: Mapping[str, Any], depth: int = 5) -> Iterable[str]:
    if not isinstance(detail.get("code"), str):
        return
    yield detail["code"]
    values = detail.get("values")
    if not isinstance(values, Mapping) or not depth:
        return
    if isinstance(values.get("step"), str):
        yield f"step {values['step']}"
    if detail["code"] == "internal-error":  # two bugs are two reasons
        yield f"{values.get('kind')}: {values.get('reason')}"
    for value in values.values():
        if isinstance(value, Mapping):
            yield from _codes(value, depth - 1)
