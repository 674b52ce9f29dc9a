"""What commands print can be translated: it is no bare text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.checkout import CHECKOUT, SOURCE

PRINTING = frozenset({"say", "warn", "echo", "tell", "ask", "prompt", "shown"})
FOREIGN = re.compile(r"powershell -ExecutionPolicy| -RemoteAddress ADDRESS|^nbserver: $")  # a command for another program, and a name


def bare(node: ast.expr) -> str:
    """The words of a literal, also within an f-string, or nothing."""
    if isinstance(node, ast.JoinedStr):
        return " ".join(filter(None, map(bare, node.values)))
    if isinstance(node, ast.BinOp):
        return " ".join(filter(None, (bare(node.left), bare(node.right))))
    text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
    return text if re.search("[A-Za-z]{3}", text) and " " in text and not FOREIGN.search(text) else ""


def printed() -> Iterator[tuple[str, str]]:
    for path in sorted((SOURCE / "nbserver").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr if isinstance(node.func, ast.Attribute) else ""
                if name in PRINTING and (text := bare(node.args[0])):
                    yield f"{path.relative_to(CHECKOUT)}:{node.lineno}", text


def test_what_is_printed_is_a_phrase_or_a_message() -> None:
    assert [f"{place}: use phrase(...) for {text!r}" for place, text in printed()] == []
