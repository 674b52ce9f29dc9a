"""Collects the messages of the Python sources: every call that takes a code and a template, with `ast`.

Which functions and classes these are is not listed: their first two parameters are `code` and `template`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nbserver.base.message import CODE, PLACEHOLDER
from tools.message_entry import Entry

PLACES = {"host", "where", "todo"}  # keywords that are not values
REASON = "Cause"  # the base class of exceptions whose text is a value of another message
HOST = "HostError"  # the base class of errors whose place is a host, unless they have another one
PART = "message"  # the function that returns a value of another message; `notice` returns one that stands alone


@dataclass
class Found:
    """The messages, and for each call that breaks a rule `FILE:LINE: what is wrong`."""

    entries: list[Entry] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def collect(root: Path, checkout: Path) -> Found:
    """Return the messages of all modules below `root`."""
    modules = {path.relative_to(checkout).as_posix(): ast.parse(path.read_text("utf-8")) for path in sorted(root.rglob("*.py"))}
    return collect_modules(modules)


def collect_modules(modules: Mapping[str, ast.Module]) -> Found:
    """Return the messages of parsed modules, by file name."""
    functions, classes = functions_of(modules.values()), classes_of(modules.values())
    supplied, parts = supplied_by(modules.values()), parts_of(modules.values())
    of_hosts = _with_subclasses(
        {HOST}, [node for module in modules.values() for node in ast.walk(module) if isinstance(node, ast.ClassDef)]
    )
    texts = {file: _constants(module) for file, module in modules.items()}
    found = Found()
    for file, module in modules.items():
        known = {**_imported(module, texts), **texts[file]}
        for call in _calls(module, functions, classes):
            name = _name(call.func)
            kind, place = ("part", "") if name in parts or _only_values(call) else ("", _place(call, name in of_hosts))
            _take(call, file, known, found, supplied.get(name, set()), kind, place)
    return found


def supplied_by(modules: Iterable[ast.Module]) -> dict[str, set[str]]:
    """Return the values that a function adds to the message it is called with, by the name of the function."""
    found: dict[str, set[str]] = {}
    for function in (node for module in modules for node in ast.walk(module) if isinstance(node, ast.FunctionDef) and _takes_message(node)):
        own = {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call) and node.args and _name(node.args[0]) == "code"):
            added = {keyword.arg for keyword in call.keywords if keyword.arg and keyword.arg not in own}
            found.setdefault(function.name, set()).update(added)
    return found


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def functions_of(modules: Iterable[ast.Module]) -> set[str]:
    """Return the names of the functions and methods whose calls are messages."""
    return {node.name for module in modules for node in ast.walk(module) if isinstance(node, ast.FunctionDef) and _takes_message(node)}


def classes_of(modules: Iterable[ast.Module]) -> set[str]:
    """Return the names of the classes whose calls are messages; a class inherits that."""
    found = [node for module in modules for node in ast.walk(module) if isinstance(node, ast.ClassDef)]
    names = {
        node.name
        for node in found
        if any(isinstance(item, ast.FunctionDef) and item.name == "__init__" and _takes_message(item) for item in node.body)
    }
    return _with_subclasses(names, found)


def parts_of(modules: Iterable[ast.Module]) -> set[str]:
    """Return the names of the functions and classes whose calls are parts of other messages: `message`, the exceptions that
    are a reason, and each function that passes its own code to one of these."""
    nodes = [node for module in modules for node in ast.walk(module)]
    parts = {PART} | _with_subclasses({REASON}, [node for node in nodes if isinstance(node, ast.ClassDef)])
    passing = {node.name for node in nodes if isinstance(node, ast.FunctionDef) and _takes_message(node) and _passes_to(node, parts)}
    return parts | passing - {"__init__"}


def _with_subclasses(names: set[str], classes: Iterable[ast.ClassDef]) -> set[str]:
    bases = {node.name: {base.id for base in node.bases if isinstance(base, ast.Name)} for node in classes}
    found = set(names)
    while more := {name for name, above in bases.items() if name not in found and found & above}:
        found |= more
    return found


def _passes_to(function: ast.FunctionDef, names: set[str]) -> bool:
    calls = (node for node in ast.walk(function) if isinstance(node, ast.Call) and node.args)
    return any(_name(call.func) in names and _name(call.args[0]) == "code" for call in calls)


def _takes_message(function: ast.FunctionDef) -> bool:
    given = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
    return [name for name in given if name not in ("self", "cls")][:2] == ["code", "template"]


def _calls(node: ast.AST, functions: set[str], classes: set[str], passing: bool = False) -> Iterator[ast.Call]:
    """Yield each call of a message. A function that is `passing` may call another one with its own code and template."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef):
            given = {argument.arg for argument in child.args.args if _is_error_class(argument.annotation)}
            yield from _calls(child, functions, classes | given, _takes_message(child))
            continue
        if isinstance(child, ast.Call):
            name = child.func
            called = isinstance(name, ast.Name) and name.id in functions | classes
            called = called or (isinstance(name, ast.Attribute) and name.attr in functions - {"__init__"})
            if called and not (passing and child.args and isinstance(child.args[0], ast.Name)):
                yield child
        yield from _calls(child, functions, classes, passing)


def _is_error_class(annotation: ast.expr | None) -> bool:
    return annotation is not None and ast.unparse(annotation) == "type[NbserverError]"


def _constants(module: ast.Module) -> dict[str, str]:
    return {
        target.id: statement.value.value
        for statement in module.body
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant) and isinstance(statement.value.value, str)
        for target in statement.targets
        if isinstance(target, ast.Name)
    }


def _imported(module: ast.Module, texts: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the text constants that a module imports from others."""
    found: dict[str, str] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.ImportFrom) and node.module:
            place = node.module.replace(".", "/") + ".py"
            for file, known in texts.items():
                if file == place or file.endswith(f"/{place}"):
                    found |= {alias.asname or alias.name: known[alias.name] for alias in node.names if alias.name in known}
    return found


def _take(call: ast.Call, file: str, known: Mapping[str, str], found: Found, supplied: set[str], kind: str, place: str) -> None:
    at = f"{file}:{call.lineno}"
    code, template = (_text(argument, known) for argument in [*call.args, None, None][:2])
    if code is None or template is None or not isinstance(call.args[0], ast.Constant):
        found.faults.append(f"{at}: the code and the template must be literals")
        return
    if not CODE.fullmatch(code):
        found.faults.append(f"{at}: {code} is not a valid code")
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    remedy = _text(keywords["todo"], known) if "todo" in keywords else ""
    if remedy is None:
        found.faults.append(f"{at}: todo must be a literal or a constant")
        return
    if None in keywords:
        found.faults.append(f"{at}: the values must be named")
        return
    values = ({str(name) for name in keywords} | supplied) - PLACES
    used = set(PLACEHOLDER.findall(template + " " + remedy))
    if used != values:
        found.faults.append(f"{at}: the placeholders are {sorted(used)}, the values {sorted(values)}")
    found.entries.append(Entry(code, template, remedy, file, call.lineno, kind, (), place))


def _only_values(call: ast.Call) -> bool:
    """Return whether the text is nothing but other messages."""
    text = _text(call.args[1], {}) if len(call.args) > 1 else None
    return text is not None and not any(map(str.isalpha, PLACEHOLDER.sub("", text)))


def _place(call: ast.Call, of_host: bool) -> str:
    """Return what precedes the text of an error: `HOST`, `WHERE`, or a literal; or nothing."""
    for keyword in call.keywords:
        if keyword.arg == "where":
            return str(keyword.value.value) if isinstance(keyword.value, ast.Constant) else "WHERE"
    return "HOST" if of_host else ""


def _text(node: ast.expr | None, known: Mapping[str, str]) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return known.get(node.id) if isinstance(node, ast.Name) else None
