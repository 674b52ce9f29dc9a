"""Rules about .NET: the scripts run on .NET Framework 4.5 and newer, and the tests on a .NET that has more.

framework_api.txt has what .NET Framework 4.5 has of the members that the scripts use, with the types of all parameters. Where the
scripts use something else, renew it:

    python -m tests.powershell.rules_framework >names.txt      # needs the engine
    mcs -out:framework_api.exe tools/framework_api.cs          # Debian's package mono-devel
    mono framework_api.exe /usr/lib/mono/4.5-api <names.txt >tests/powershell/framework_api.txt
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.powershell.findings import Rule, Scripts, member_name, static_call
from tests.powershell.syntax import Node

DATA = Path(__file__).with_name("framework_api.txt")
# PowerShell's own names of types (about_Type_Accelerators), and a type of .NET 5 and newer that is used with PowerShell 7 only.
ACCELERATORS = {
    **{
        name: f"system.{name}"
        for name in "byte char string object array datetime timespan uri version guid math convert environment".split()
    },
    "int": "system.int32",
    "long": "system.int64",
    "bool": "system.boolean",
    "regex": "system.text.regularexpressions.regex",
    "hashtable": "system.collections.hashtable",
    "xml": "system.xml.xmldocument",
}
OF_POWERSHELL = frozenset("switch ref ordered scriptblock pscustomobject nullstring void io.filesystemaclextensions".split())
# Methods of PowerShell's own objects, and of FileSystemAclExtensions.
METHODS_OF_POWERSHELL = frozenset("writeobject getnewclosure".split())


def full_name(name: str) -> str:
    """Return a type's name in lower case with its namespace, of an array the element's: `List[string]` -> `...list`1`."""
    name = name.lower().strip("'")
    while name.endswith("[]"):
        name = name[:-2]
    generic, _, arguments = name.partition("[")
    if arguments:
        name = f"{generic}`{arguments.count(',') + 1}"
    if name in ACCELERATORS:
        return ACCELERATORS[name]
    return name if name.startswith("system.") else f"system.{name}"


@cache
def framework() -> dict[str, list[tuple[str, ...]]]:
    """What the file has, in lower case: "type NAME", "new TYPE", "static TYPE.MEMBER", "method NAME" -> the parameters of its overloads."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for line in DATA.read_text("ascii").lower().splitlines():
        name, _, parameters = line.partition("(")
        found.setdefault(name, []).append(tuple(filter(None, re.split(r", (?![^\[]*\])", parameters[:-1]))))
    return found


def _accepts(name: str, count: int) -> bool:
    """Whether an overload has this many parameters, or a last one that takes any number."""
    return any(
        len(overload) == count or (overload and overload[-1].startswith("params ") and count >= len(overload) - 1)
        for overload in framework().get(name, ())
    )


def _uses(scripts: Scripts) -> Iterator[tuple[Node, str, int | None]]:
    """Yield (node, name as in the file, number of arguments or None) of each use of .NET."""
    for node in scripts.all("TypeExpression", "TypeConstraint"):
        if node.values["TypeName"].lower() not in OF_POWERSHELL:
            yield node, f"type {full_name(node.values['TypeName'])}", None
    for node in scripts.all("InvokeMemberExpression", "MemberExpression"):
        kind, member = static_call(node)
        count = len(node.children) - 2 if node.kind == "InvokeMemberExpression" else None
        if kind and kind not in OF_POWERSHELL:
            yield node, f"static {full_name(kind)}.{member}", count
        elif "Static" not in node.values and count is not None and member_name(node) not in METHODS_OF_POWERSHELL:
            yield node, f"method {member_name(node)}", count
    for node in scripts.commands("New-Object"):
        words = [child for child in node.children[1:] if child.kind != "CommandParameter"]
        if words and words[0].text.endswith("[]"):
            yield node, f"type {full_name(words[0].text)}", None
        elif words:
            yield node, f"new {full_name(words[0].text)}", _given(words[1:])


def _given(words: list[Node]) -> int:
    """The number of arguments of New-Object TYPE ARGUMENTS, where several are a list."""
    if not words:
        return 0
    for node in (words[0], *words[0].descendants()):
        if node.kind == "ArrayLiteral":
            return len(node.children)
        if node.kind not in ("ParenExpression", "Pipeline", "CommandExpression"):
            break
    return 1


def net_4_5_has_what_is_used(scripts: Scripts) -> Iterator[str]:
    known = framework()
    for node, name, count in _uses(scripts):
        if name.startswith("method ") and not name.removeprefix("method "):
            continue  # the name is computed
        if name not in known and not (name.startswith("new ") and f"type {name[4:]}" in known and not count):
            yield f"{node.place}: {name} is not in .NET Framework 4.5 (or not yet in framework_api.txt)"
        elif count is not None and count and not _accepts(name, count):
            yield f"{node.place}: {name} has no overload with {count} arguments in .NET Framework 4.5"


def a_text_is_split_at_characters(scripts: Scripts) -> Iterator[str]:
    """Newer .NET can split at a string. In .NET Framework the same call splits at each of its characters."""
    for node in scripts.all("InvokeMemberExpression"):
        arguments = node.children[2:]
        if member_name(node) != "split" or static_call(node)[0] or not arguments:
            continue
        first = arguments[0]
        typed = first.kind == "ConvertExpression" and first.children[0].values.get("TypeName", "").lower() in ("char", "char[]", "string[]")
        if not typed and not (first.kind == "StringConstantExpression" and len(first.values.get("Value", "")) == 1):
            yield f"{node.place}: {node.text} may split at a string or at each character; cast to [char[]] or [string[]]"


RULES: tuple[Rule, ...] = (net_4_5_has_what_is_used, a_text_is_split_at_characters)


def main() -> None:
    """Print the names that the scripts use, for tools/framework_api.cs."""
    from tests.powershell.engine import STEP_FILES  # the engine is needed for this only
    from tests.powershell.syntax import parse

    trees, aliases = parse([(path.name, path.read_text("ascii")) for path in sorted(STEP_FILES.rglob("*.ps1"))])
    names = set()
    for _, name, _ in _uses(Scripts(trees, aliases, {})):
        kind, _, rest = name.partition(" ")
        names.add(f"static {rest.rpartition('.')[0]} {rest.rpartition('.')[2]}" if kind == "static" else name)
        if kind == "new":
            names.add(f"type {rest}")
    print("\n".join(sorted(names)))


if __name__ == "__main__":
    main()
