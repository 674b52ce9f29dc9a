"""What PowerShell's parser says of scripts, as a tree to look at from Python. One engine run for all of them."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from tests.powershell.engine import SECONDS, command, environment
from tests.powershell.start import begun


@dataclass(eq=False, repr=False)
class Node:
    """A syntax node; `kind` is the class's name in System.Management.Automation.Language without Ast, `values` its properties."""

    script: ParsedScript
    parent: Node | None
    kind: str
    start: int
    end: int
    values: dict[str, str]
    children: list[Node] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<{self.kind} {self.place}>"

    @property
    def text(self) -> str:
        return self.script.text[self.start : self.end]

    @property
    def place(self) -> str:
        """FILE:LINE."""
        return self.script.place(self.start)

    def ancestors(self) -> Iterator[Node]:
        node = self.parent
        while node:
            yield node
            node = node.parent

    def descendants(self) -> Iterator[Node]:
        for child in self.children:
            yield child
            yield from child.descendants()

    @property
    def function(self) -> str:
        """The name of the function that this stands in, or ""."""
        return next((node.values["Name"] for node in self.ancestors() if node.kind == "FunctionDefinition"), "")


@dataclass(eq=False, repr=False)
class ParsedScript:
    """`errors` and `tokens` are (offset, words)."""

    name: str
    text: str
    errors: list[tuple[int, str]] = field(default_factory=list)
    tokens: list[tuple[int, str]] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def place(self, offset: int) -> str:
        line = self.text.count("\n", 0, offset) + 1
        return f"{self.name}:{line}"


def parse(scripts: Sequence[tuple[str, str]]) -> tuple[list[ParsedScript], frozenset[str]]:
    """(parsed scripts, the engine's aliases in lower case) of (name, text). Raises EngineEnded."""
    lines = "".join(base64.b64encode(text.encode("utf-8")).decode("ascii") + "\n" for _, text in scripts)
    engine = begun(command("syntax_facts.ps1"), environment())
    with engine.killed_after(SECONDS):
        out, _ = engine.process.communicate(lines)
    if engine.process.returncode:
        raise engine.ended(out[-200:])
    engine.close()
    parsed: list[ParsedScript] = []
    aliases = set()
    for line in out.splitlines():
        word, *fields = line.split("\t")
        if word == "script":
            parsed.append(ParsedScript(*scripts[len(parsed)]))
        elif word == "alias":
            aliases.add(unquote(fields[0]).lower())
        elif word in ("error", "token"):
            facts = parsed[-1].errors if word == "error" else parsed[-1].tokens
            facts.append((int(fields[0]), unquote(fields[1])))
        else:
            _add_node(parsed[-1], fields)
    if len(parsed) != len(scripts) or not aliases:
        raise AssertionError(f"the engine read {len(parsed)} of {len(scripts)} scripts")
    for script in parsed:
        for node in script.nodes:
            node.children.sort(key=lambda child: (child.start, child.end))
    return parsed, frozenset(aliases)


def _add_node(script: ParsedScript, fields: list[str]) -> None:
    parent, kind, start, end, *values = fields
    above = script.nodes[int(parent)] if parent != "-1" else None
    named = {name: unquote(value) for name, _, value in (value.partition("=") for value in values)}
    node = Node(script, above, kind.removesuffix("Ast"), int(start), int(end), named)
    script.nodes.append(node)
    if above:
        above.children.append(node)
