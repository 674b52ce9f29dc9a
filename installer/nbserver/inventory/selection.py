"""Select hosts by name, group, or pattern: the language of HOST on the command line, and of --limit.

A comma separates parts, as a space does on the command line. A part is a name, a group, `all`, a glob pattern, or several of them
with `|` between them. As in Ansible's patterns, the order of the parts does not matter: first all parts without a mark are united, then the
hosts that are not in each part with `&` are left out, then those in the parts with `!`. Without a part without a mark, that begins
with all hosts.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbserver.base.errors import InventoryError
from nbserver.inventory.names import LOCAL
from nbserver.settings.faults import few, nearest

ALL = "all"  # every host of the inventory, unless a host or a group has this name
_IF_THERE = "\0"  # before the name of a host that need not exist: no argument of a command can have this character


@dataclass(frozen=True)
class Part:
    """One part of a pattern: a mark (`&`, `!`, or none) and what it matches, each in lower case and as it was written."""

    mark: str
    words: tuple[tuple[str, str], ...]


def parts(patterns: Iterable[str]) -> Iterator[Part]:
    for pattern in patterns:
        for text in _split(pattern, ","):
            text = text.strip()
            mark = text[:1] if text[:1] in ("&", "!") else ""
            words = (word.strip() for word in _split(text.removeprefix(mark), "|"))
            yield Part(mark, tuple((word.lower(), word) for word in words))


def _split(text: str, mark: str) -> list[str]:
    """Return the parts between the marks. One between the brackets of a glob pattern is not a mark: a bracket that closes comes next.

    A pattern can be the names of all hosts, so the time grows with its length, and not faster.
    """
    found, end, is_inside = [], len(text), False
    for at in reversed(range(len(text))):
        if text[at] in "[]":
            is_inside = text[at] == "]"
        elif text[at] == mark and not is_inside:
            found.append(text[at + 1 : end])
            end = at
    return [text[:end], *reversed(found)]


def limited(patterns: Sequence[str], limits: Sequence[str]) -> tuple[str, ...]:
    """Return the patterns that select those hosts of `patterns` that `limits` select too."""
    found = list(parts(limits))
    united = [word for part in found if not part.mark for _, word in part.words]
    united.sort(key=lambda word: "[" in word.rpartition("]")[2])  # a bracket that is not closed is not closed by another word
    marked = [part.mark + "|".join(word for _, word in part.words) for part in found if part.mark]
    return (*patterns, *(["&" + "|".join(united)] if united else []), *marked)


def if_there(names: Iterable[str]) -> list[str]:
    """Return patterns for exactly these hosts: those that are no longer in the inventory match nothing, nor does a group with such a name."""
    return [name if name == LOCAL else _IF_THERE + name for name in names]


def gone(patterns: Iterable[str], names: Iterable[str]) -> list[str]:
    """Return the hosts of `if_there` that are not among the names of all hosts."""
    there = {name.lower() for name in names}
    words = (pair for part in parts(patterns) for pair in part.words)
    return [text[1:] for word, text in words if word.startswith(_IF_THERE) and word[1:] not in there]


def includes_local(patterns: Iterable[str]) -> bool:
    """Return whether this machine is named, other than to leave it out."""
    return any(word == LOCAL for part in parts(patterns) if part.mark != "!" for word, _ in part.words)


def is_only_local(patterns: Iterable[str]) -> bool:
    """Return whether nothing but this machine is named."""
    found = [(part.mark, word) for part in parts(patterns) for word, _ in part.words]
    return bool(found) and all(item == ("", LOCAL) for item in found)


@dataclass(frozen=True)
class Selection:
    """What can be selected: the names of all hosts, in the order of the inventory, and the hosts of each group. `path` is for messages."""

    path: Path
    names: Sequence[str]
    groups: Mapping[str, Sequence[str]]

    def choose(self, patterns: Sequence[str]) -> list[str]:
        """Return the names that the patterns select, each once: `local`, and others in the order of the inventory.

        Matching ignores case. Neither `all` nor a glob pattern or a group has `local`. Raises InventoryError for a name, group, or glob pattern that
        matches no host, also after `!`: a host that must be left out could have another name. Raises it as well if no host is left.
        """
        hosts = {name.lower(): name for name in self.names}
        groups = {name.lower(): members for name, members in self.groups.items()}
        found = [
            (part.mark, {name for word, text in part.words for name in self._matches(word, text, hosts, groups)})
            for part in parts(patterns)
        ]
        chosen = set[str]().union(*(names for mark, names in found if not mark))
        marked = any(mark for mark, _ in found)
        can_be_empty = marked or any(_IF_THERE in pattern for pattern in patterns)
        if marked and all(mark for mark, _ in found):
            chosen = set(self.names)
        for mark, names in found:
            if mark:
                chosen = chosen & names if mark == "&" else chosen - names
        if can_be_empty and not chosen:
            raise InventoryError(
                "no-host-left",
                "the patterns and options exclude every host",
                where=str(self.path),
                todo="Check the patterns that begin with & or !, and the options --limit and --failed-from",
            )
        return [name for name in (LOCAL, *self.names) if name in chosen]

    def _matches(self, word: str, text: str, hosts: Mapping[str, str], groups: Mapping[str, Sequence[str]]) -> Sequence[str]:
        if word == LOCAL:
            return [LOCAL]
        if word.startswith(_IF_THERE):
            return [hosts[word[1:]]] if word[1:] in hosts else []
        if word in groups:
            return groups[word]
        if word == ALL and word not in hosts and self.names:
            return self.names
        matches = [hosts[word]] if word in hosts else [hosts[name] for name in fnmatch.filter(hosts, word)]
        if not matches:
            raise self._no_match(text)
        return matches

    def _no_match(self, pattern: str) -> InventoryError:
        where = str(self.path)
        hosts, groups = few(self.names), few(self.groups)
        near = nearest(pattern, [*self.names, *self.groups])
        if near:
            return InventoryError(
                "no-match-near",
                'no host or group matches "{pattern}" (did you mean "{near}"?)',
                where=where,
                todo="Known hosts: {hosts}. Known groups: {groups}",
                pattern=pattern,
                near=near,
                hosts=hosts,
                groups=groups,
            )
        return InventoryError(
            "no-match",
            'no host or group matches "{pattern}"',
            where=where,
            todo="Known hosts: {hosts}. Known groups: {groups}",
            pattern=pattern,
            hosts=hosts,
            groups=groups,
        )
