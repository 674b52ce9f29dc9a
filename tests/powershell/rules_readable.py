"""Rules about what a person meets who reads a script from top to bottom."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nbserver.base.message import CODE
from tests.powershell.findings import Scripts, command_name, named_parameters
from tests.powershell.syntax import Node

COLUMNS, LINES, SENTENCE = 120, 40, 88
# Cmdlets of the modules that Windows generates from CDXML: in a session that was opened before, they ignore the script's 'Stop'.
CDXML = re.compile(r"\w+-(ScheduledTask\w*|NetFirewall\w*|NetTCPConnection)$", re.IGNORECASE)
HEAD = re.compile(r"# ---- (prelude: \w+|step: \w+|main) (-+)")


def lines_fit_into_120_columns(scripts: Scripts) -> Iterator[str]:
    for file in scripts.files:
        for number, line in enumerate(file.text.split("\n"), 1):
            if len(line) > COLUMNS:
                yield f"{file.name}:{number}: {len(line)} columns"


def functions_have_at_most_40_lines(scripts: Scripts) -> Iterator[str]:
    for node in scripts.all("FunctionDefinition"):
        lines = node.text.count("\n") + 1
        if lines > LINES:
            yield f"{node.place}: {node.values['Name']} has {lines} lines"


def functions_have_a_verb_and_a_singular_noun(scripts: Scripts) -> Iterator[str]:
    for node in scripts.all("FunctionDefinition"):
        name = node.values["Name"]
        if not re.fullmatch(r"[A-Z][a-z]+(To|From)?-[A-Z][A-Za-z0-9]+", name):
            yield f"{node.place}: {name} is not Verb-Noun"
        elif re.search(r"[^aisu]s$", name) and not name.endswith(("Windows", "Bits")):
            yield f"{node.place}: {name} is a plural"


def three_parameters_have_a_block(scripts: Scripts) -> Iterator[str]:
    for node in scripts.all("FunctionDefinition"):
        if len([child for child in node.children if child.kind == "Parameter"]) > 2:
            yield f"{node.place}: {node.values['Name']} has its parameters on one line"


def a_condition_and_its_throw_have_a_line_each(scripts: Scripts) -> Iterator[str]:
    for node in scripts.all("ThrowStatement"):
        condition = next((above for above in node.ancestors() if above.kind == "IfStatement"), None)
        if condition is not None and node.text != "throw" and "\n" not in node.script.text[condition.start : node.start]:
            yield f"{node.place}: {node.text.splitlines()[0]}"


def cdxml_cmdlets_stop_at_an_error(scripts: Scripts) -> Iterator[str]:
    for command in scripts.commands():
        name = command_name(command)
        named = {one.values["ParameterName"].lower() for one in named_parameters(command)}
        if CDXML.match(name) and name.lower() not in scripts.functions and "erroraction" not in named:
            yield f"{command.place}: {name} without -ErrorAction"


def a_file_says_first_what_it_does(scripts: Scripts) -> Iterator[str]:
    for file in scripts.files:
        lines = file.text.split("\n")
        if lines[0].startswith("# ==== body"):
            lines = lines[lines.index("") + 1 :]
        name = file.name.rpartition("/")[2].removesuffix(".ps1")
        head = HEAD.fullmatch(lines[0])
        if not head or head[1].rpartition(" ")[2] != name or len(lines[0]) != 102:
            yield f"{file.name}:1: {lines[0]}"
        elif not re.fullmatch(rf"# [A-Z].{{1,{SENTENCE - 2}}}\.", lines[1]):
            yield f"{file.name}:2: {lines[1]}"


# ---- messages

# Command -> how many texts follow the code.
MESSAGES = {"new-failure": 1, "new-codedexception": 1, "write-stepprogress": 1, "add-difference": 1, "write-notice": 1}


def everything_thrown_has_a_code(scripts: Scripts) -> Iterator[str]:
    for node in scripts.all("ThrowStatement"):
        if node.text != "throw" and not re.match(r"throw \(New-Failure |throw \$(Run\.NotKept|failure|conflict|fault)\b", node.text):
            yield f"{node.place}: {node.text.splitlines()[0]}"


def messages_are_literal_and_complete(scripts: Scripts) -> Iterator[str]:
    for command in scripts.commands(*MESSAGES, "Invoke-Program", "Invoke-OpenSsl"):
        if command.function.lower() in ("new-failure", "invoke-openssl", "invoke-program"):
            continue
        code, text, values = _parts(command)
        if code is None and text is None:
            continue
        if code is None or not CODE.fullmatch(code):
            yield f"{command.place}: the code is not a literal in kebab case"
        elif text is None:
            yield f"{command.place}: the text is not a literal"
        elif values is not None and (wrong := set(re.findall(r"\{([a-z0-9_]+)\}", text)) ^ values):
            yield f"{command.place}: {code} and its values differ in {', '.join(sorted(wrong))}"


def _parts(command: Node) -> tuple[str | None, str | None, set[str] | None]:
    """The code, the text, and the names of the values; values are None if they are not literal."""
    name = command_name(command).lower()
    named = _named(command)
    if name in ("invoke-program", "invoke-openssl"):
        return _literal(named.get("code")), _literal(named.get("text")), None
    positional = _positional(command)
    if name == "write-notice":
        positional = positional[1:]
    code, text = (_literal(node) for node in [*positional, None, None][:2])
    tables = [node for node in positional[2:] if node is not None and node.kind == "Hashtable"]
    others = [node for node in positional[2:] if node is not None and node.kind == "VariableExpression"]
    if not tables and others and name != "add-difference":
        return code, text, None
    values = {key for table in tables[-1:] for key in _keys(table)}
    if "values" in named:
        values = set(_keys(named["values"])) if named["values"].kind == "Hashtable" else values
    return code, text, values | ({"cause"} if "cause" in named else set())


def _named(command: Node) -> dict[str, Node]:
    found = {}
    for at, child in enumerate(command.children):
        if child.kind == "CommandParameter":
            value = child.children[0] if child.children else command.children[at + 1] if at + 1 < len(command.children) else child
            found[child.values["ParameterName"].lower()] = value
    return found


SWITCHES = {"quiet"}


def _positional(command: Node) -> list[Node | None]:
    found: list[Node | None] = []
    skip = False
    for child in command.children[1:]:
        if skip:
            skip = False
        elif child.kind == "CommandParameter":
            skip = not child.children and child.values["ParameterName"].lower() not in SWITCHES
        else:
            found.append(child)
    return found


def _literal(node: Node | None) -> str | None:
    """The text of a string constant, or of constants that are joined in parentheses."""
    if node is None:
        return None
    if node.kind == "StringConstantExpression":
        return node.values["Value"]
    leaves = [leaf for leaf in node.descendants() if not leaf.children]
    if node.kind == "ParenExpression" and all(leaf.kind == "StringConstantExpression" for leaf in leaves):
        return "".join(leaf.values["Value"] for leaf in leaves)
    return None


def _keys(table: Node) -> list[str]:
    return [child.values.get("Value", child.text) for child in table.children[::2]]


RULES = (
    lines_fit_into_120_columns,
    functions_have_at_most_40_lines,
    functions_have_a_verb_and_a_singular_noun,
    three_parameters_have_a_block,
    a_condition_and_its_throw_have_a_line_each,
    cdxml_cmdlets_stop_at_an_error,
    a_file_says_first_what_it_does,
    everything_thrown_has_a_code,
    messages_are_literal_and_complete,
)
# What is true for the files need not be true for the settings and the lock of a rendered script.
FOR_FILES_ONLY = frozenset({lines_fit_into_120_columns, a_file_says_first_what_it_does})
