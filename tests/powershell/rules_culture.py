"""Rules about what a host's culture changes: letters without a pair (i and I in Turkish), calendars, decimal commas."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.powershell.findings import Scripts, command_name, member_name, named_parameters, static_call
from tests.powershell.syntax import Node

# These compare without regard to case, by the culture of the host; -eq and -contains by none.
IGNORE_CASE = {
    "Imatch": "-match",
    "Inotmatch": "-notmatch",
    "Ireplace": "-replace",
    "Ilike": "-like",
    "Inotlike": "-notlike",
    "Isplit": "-split",
}
CASE_OPTIONS = re.compile(r"IgnoreCase|\(\?[a-z]*i", re.IGNORECASE)
# A class such as \d or \s is no letter, nor is an escape such as \. or `n.
ESCAPES = re.compile(r"[\\`].", re.DOTALL)
TEXT_METHODS = frozenset("startswith endswith indexof lastindexof compareto".split())
CASE_METHODS = frozenset("tolower toupper totitlecase".split())
PARSED_OR_FORMATTED = frozenset("double single decimal float datetime datetimeoffset timespan".split())
# Standard formats that are the same in every culture, and hexadecimal.
SAME_EVERYWHERE = re.compile(r"['\"]([ours]|[xX]\d*|[dD]\d+)['\"]")
FORMAT_ITEM = re.compile(r"\{\d+(?:,-?\d+)?:([^}]*)\}")
CULTURE = re.compile(r"InvariantCulture|\[StringComparison\]::Ordinal|'Ordinal|'Invariant", re.IGNORECASE)


def text_is_compared_by_no_culture(scripts: Scripts) -> Iterator[str]:
    """Patterns with a letter by -cmatch, -creplace, ...; methods with an ordinal comparison."""
    for node in scripts.all("BinaryExpression"):
        operator = IGNORE_CASE.get(node.values.get("Operator", ""))
        if operator and _has_letter(node.children[1]):
            yield f"{node.place}: {operator} with a letter; use -c{operator[1:]}: {node.text[:80]}"
    for node in scripts.all("SwitchStatement"):
        flags = node.values.get("Flags", "None")
        if ("Regex" in flags or "Wildcard" in flags) and "CaseSensitive" not in flags:
            yield f"{node.place}: switch -{flags.lower()} without -CaseSensitive"
    for node in scripts.all("InvokeMemberExpression"):
        name, arguments = member_name(node), node.children[2:]
        words = " ".join(argument.text for argument in arguments)
        if name in CASE_METHODS and "InvariantCulture" not in words:
            yield f"{node.place}: .{name}(); use .{name}Invariant()"
        if name in TEXT_METHODS and not CULTURE.search(words) and not words.lower().startswith("[char]"):
            yield f"{node.place}: .{name}() without an ordinal comparison"
        if static_call(node) == ("string", "compare") and not CULTURE.search(words):
            yield f"{node.place}: [string]::Compare without an ordinal comparison"
        if static_call(node)[0].endswith("regex") and CASE_OPTIONS.search(words) and "CultureInvariant" not in words:
            yield f"{node.place}: IgnoreCase without CultureInvariant"
    # Without -Culture, the order of texts may differ from host to host, which is harmless in a list that people read. -Culture '' is the
    # culture of the host, too.
    for command in scripts.commands("Sort-Object"):
        if any("culture".startswith(name) and len(name) > 1 for name in _parameters(command)):
            yield f"{command.place}: Sort-Object -Culture; use [Array]::Sort with [StringComparer]::Ordinal"


def _parameters(command: Node) -> set[str]:
    return {parameter.values["ParameterName"].lower() for parameter in named_parameters(command)}


def _has_letter(pattern: Node) -> bool:
    """Of a pattern that stands in the script; what a variable holds may have one."""
    first = pattern.children[0] if pattern.kind == "ArrayLiteral" else pattern
    if first.kind != "StringConstantExpression":
        return first.kind != "ConstantExpression"
    return any(character.isalpha() for character in ESCAPES.sub("", first.text))


def dates_and_numbers_are_written_by_no_culture(scripts: Scripts) -> Iterator[str]:
    """Calendars and decimal signs. Text in double quotes is safe: PowerShell expands it by no culture."""
    for node in scripts.all("InvokeMemberExpression"):
        (kind, method), name, arguments = static_call(node), member_name(node), node.children[2:]
        words = " ".join(argument.text for argument in arguments)
        if CULTURE.search(words):
            continue
        if name == "tostring" and arguments and "bitconverter" not in kind and kind != "convert" and not SAME_EVERYWHERE.fullmatch(words):
            yield f"{node.place}: .ToString({words}) without InvariantCulture"
        if method in ("parse", "tryparse", "parseexact") and kind in PARSED_OR_FORMATTED:
            yield f"{node.place}: [{kind}]::{method} without InvariantCulture"
        if (kind, method) == ("string", "format") or (kind == "convert" and method in ("todouble", "todecimal", "tosingle", "todatetime")):
            yield f"{node.place}: [{kind}]::{method} without InvariantCulture"
        if name.startswith(("toshortdate", "tolongdate", "toshorttime", "tolongtime")):
            yield f"{node.place}: .{name}()"
    for node in scripts.all("BinaryExpression"):
        if node.values.get("Operator") == "Format":
            for item in FORMAT_ITEM.findall(node.children[0].text):
                if not SAME_EVERYWHERE.fullmatch(f"'{item}'"):
                    yield f"{node.place}: -f with {item}"
    for command in scripts.commands("Get-Date"):
        if {"format", "uformat"} & _parameters(command):
            yield f"{command.place}: {command_name(command)} -Format"


RULES = (text_is_compared_by_no_culture, dates_and_numbers_are_written_by_no_culture)
