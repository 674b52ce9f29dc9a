"""What a rule looks at, and the questions that several rules ask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from tests.powershell.syntax import Node, ParsedScript

Profiles = Mapping[str, Mapping[str, frozenset[str]]]
"""Version -> command in lower case -> its parameters in lower case."""


@dataclass(frozen=True, repr=False)
class Scripts:
    """Scripts that run together. `profiles` is empty where nobody named the folder with the versions' commands."""

    files: Sequence[ParsedScript]
    aliases: frozenset[str]
    profiles: Profiles

    def all(self, *kinds: str) -> Iterator[Node]:
        """The nodes of these kinds, or all of them."""
        for file in self.files:
            for node in file.nodes:
                if not kinds or node.kind in kinds:
                    yield node

    @cached_property
    def functions(self) -> dict[str, Node]:
        """Name in lower case -> its definition."""
        return {node.values["Name"].lower(): node for node in self.all("FunctionDefinition")}

    def commands(self, *names: str) -> Iterator[Node]:
        """Calls of these commands, or of all."""
        wanted = {name.lower() for name in names}
        for node in self.all("Command"):
            if not wanted or command_name(node).lower() in wanted:
                yield node


Rule = Callable[[Scripts], Iterator[str]]
"""Yields a line FILE:LINE: WORDS for each violation."""


def command_name(command: Node) -> str:
    """The name that a call has in the text; "" where it is computed."""
    first = command.children[0]
    return first.values.get("Value", "") if first.kind == "StringConstantExpression" else ""


def named_parameters(command: Node) -> list[Node]:
    return [child for child in command.children if child.kind == "CommandParameter"]


def variable_name(variable: Node) -> str:
    """In lower case, without a scope."""
    path = variable.values.get("VariablePath", "").lower()
    scope, _, name = path.partition(":")
    return name if scope in ("script", "global", "local", "private", "using", "variable") else path


def static_call(call: Node) -> tuple[str, str]:
    """("io.file", "writealltext") of [IO.File]::WriteAllText(...), "System." left out; ("", "") for other calls."""
    target, member = call.children[0], call.children[1]
    if "Static" not in call.values or target.kind != "TypeExpression":
        return "", ""
    return target.values["TypeName"].lower().removeprefix("system."), member.values.get("Value", "").lower()


def member_name(node: Node) -> str:
    """The member of a member or method expression, in lower case."""
    return node.children[1].values.get("Value", "").lower() if len(node.children) > 1 else ""
