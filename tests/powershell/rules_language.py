"""Rules about the text itself: what Windows PowerShell 3.0 reads as it is meant."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.powershell.findings import Scripts, member_name, static_call, variable_name
from tests.powershell.syntax import Node

NEWER_NODES = {
    "TernaryExpression": "the ternary operator (7.0)",
    "PipelineChain": "&& and || (7.0)",
    "TypeDefinition": "classes and enums (5.0)",
    "UsingStatement": "using (5.0)",
    "UsingExpression": "$using: (a script has no other session)",
    "ConfigurationDefinition": "configurations (4.0)",
    "DynamicKeywordStatement": "dynamic keywords (4.0)",
}
NEWER_OPERATORS = {"QuestionQuestion": "?? (7.0)", "QuestionQuestionEquals": "??= (7.0)"}
NEWER_PROPERTIES = {
    "NullConditional": "?. and ?[] (7.0)",
    "GenericTypeArguments": "type arguments of a method (7.3)",
    "Background": "a background job & (6.0)",
    "CleanBlock": "clean (7.3)",
}
# Decimal and hexadecimal numbers, real numbers, d and l, and the multiples; not 0b1, 1u, 1y, 1s, 1n.
OLD_NUMBER = re.compile(r"(0x[0-9a-f]+l?|[0-9]*\.?[0-9]+(e[+-]?[0-9]+)?[dl]?)([kmgtp]b)?", re.IGNORECASE)
NEWER_ESCAPES = re.compile(r"(?<!`)(?:``)*`(u\{|e)")

# What PowerShell 3.0 sets by itself.
AUTOMATIC = frozenset(
    "_ args consolefilename error erroractionpreference executioncontext false foreach home host input lastexitcode matches "
    "myinvocation null ofs pid profile progresspreference pscmdlet pscommandpath pshome psitem psscriptroot psversiontable pwd "
    "shellid stacktrace switch this true".split()
)


def no_parse_errors(scripts: Scripts) -> Iterator[str]:
    for file in scripts.files:
        for offset, message in file.errors:
            yield f"{file.place(offset)}: {message}"


def ascii_with_line_feeds(scripts: Scripts) -> Iterator[str]:
    """A code page, a BOM or a typographic quote can then change nothing."""
    for file in scripts.files:
        for found in re.finditer(r"[^\n\x20-\x7e]", file.text):
            yield f"{file.place(found.start())}: the character U+{ord(found[0]):04X}"
        if file.text and not file.text.endswith("\n"):
            yield f"{file.place(len(file.text))}: the last line does not end"


def no_syntax_that_3_0_lacks(scripts: Scripts) -> Iterator[str]:
    for node in scripts.all():
        for newer in _newer_syntax(node):
            yield f"{node.place}: {newer}"
    for file in scripts.files:
        for offset, token in file.tokens:
            if token == "LeadingPipe":
                yield f"{file.place(offset)}: a line that begins with | (7.0)"
            elif token.startswith("Number ") and not OLD_NUMBER.fullmatch(token[7:]):
                yield f"{file.place(offset)}: the number {token[7:]}"


def _newer_syntax(node: Node) -> Iterator[str]:
    if node.kind in NEWER_NODES:
        yield NEWER_NODES[node.kind]
    if node.values.get("Operator") in NEWER_OPERATORS:
        yield NEWER_OPERATORS[node.values["Operator"]]
    for name, words in NEWER_PROPERTIES.items():
        if node.values.get(name):
            yield words
    if node.kind == "ForEachStatement" and node.values.get("Flags", "None") != "None":
        yield "foreach -parallel (workflows, 7.0)"
    if node.kind == "InvokeMemberExpression":
        if static_call(node)[1] == "new":
            yield "::new() (5.0)"
        if "Static" not in node.values and member_name(node) in ("where", "foreach"):
            yield f".{member_name(node)}() (4.0)"
    if (
        node.kind in ("ExpandableStringExpression", "StringConstantExpression")
        and not node.text.startswith(("'", "@'"))
        and NEWER_ESCAPES.search(node.text)
    ):
        yield "`u{} and `e (6.0)"
    if (
        node.kind == "BinaryExpression"
        and node.values["Operator"] == "DotDot"
        and {"StringConstantExpression"} & {c.kind for c in node.children}
    ):
        yield "a range of characters (6.0)"


def every_variable_is_assigned(scripts: Scripts) -> Iterator[str]:
    """Strict mode fails where one is not. Variables that only newer versions set ($IsWindows, ...) are found here too."""
    assigned = set(AUTOMATIC)
    for node in scripts.all("AssignmentStatement", "Parameter", "ForEachStatement"):
        target = next((child for child in node.children if node.kind != "Parameter" or child.kind == "VariableExpression"), None)
        assigned.update(variable_name(variable) for variable in _targets(target))
    for variable in scripts.all("VariableExpression"):
        name = variable_name(variable)
        if ":" not in name and name not in assigned:
            yield f"{variable.place}: ${name} is assigned nowhere"


def _targets(node: Node | None) -> Iterator[Node]:
    if node is None or node.kind in ("MemberExpression", "IndexExpression"):
        return
    if node.kind == "VariableExpression":
        yield node
    for child in node.children:
        yield from _targets(child)


def and_beside_or_has_parentheses(scripts: Scripts) -> Iterator[str]:
    """Both bind equally in PowerShell, from left to right: `a -or b -and c` is `(a -or b) -and c`, as no reader expects."""
    for node in scripts.all("BinaryExpression"):
        kinds = {node.values["Operator"], *(child.values["Operator"] for child in node.children if child.kind == "BinaryExpression")}
        if {"And", "Or"} <= kinds:
            yield f"{node.place}: {node.text}"


RULES = (no_parse_errors, ascii_with_line_feeds, no_syntax_that_3_0_lacks, every_variable_is_assigned, and_beside_or_has_parentheses)
