"""What must be copied from one tree to another, and what must not: files that are different on both sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nbserver.notebooks import names
from nbserver.notebooks.part import ABSENT
from nbserver.notebooks.tree import File


@dataclass
class Comparison:
    """The paths to copy, with what they replace (the SHA-256 of a file, or ABSENT); those that are equal; and the conflicts."""

    copied: dict[str, str] = field(default_factory=dict)
    equal: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


def compare(source: Mapping[str, File], target: Mapping[str, File], known: Mapping[str, str], *, ignores_case: bool) -> Comparison:
    """Compare two trees. `known` has the SHA-256 of each file as it was when it was copied last, in either direction.

    A file of the target is replaced only if it is still the one that is known. Files that only the target has stay.
    """
    found = Comparison()
    others = {names.same_on_windows(path): path for path in target} if ignores_case else {}
    for path, file in source.items():
        other = target.get(path)
        if other is None:
            if others.get(names.same_on_windows(path), path) != path or _is_in_the_way(path, target):
                found.conflicts.append(path)
            else:
                found.copied[path] = ABSENT
        elif other.sha256 and other.sha256 == file.sha256:
            found.equal.append(path)
        elif other.sha256 and known.get(path) == other.sha256:
            found.copied[path] = other.sha256
        else:
            found.conflicts.append(path)
    return found


def _is_in_the_way(path: str, target: Mapping[str, File]) -> bool:
    """Return whether the target has a file where the path needs a folder."""
    names_above = path.split("/")[:-1]
    return any("/".join(names_above[: count + 1]) in target for count in range(len(names_above)))
