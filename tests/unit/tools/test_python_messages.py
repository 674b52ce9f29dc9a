"""The rules for messages in the Python sources, and that the collector finds them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from nbserver.base.message import CODE
from tests.checkout import CHECKOUT, SOURCE
from tools import message_page, python_messages
from tools.message_entry import Entry

BASE = """
class NbserverError(Exception):
    def __init__(self, code: str, template: str, /, *, where: str = "", todo: str = "", **values): ...
class UsageError(NbserverError): ...
class Deeper(UsageError): ...
class Other(Exception):
    def __init__(self, what): ...
class HostError(NbserverError): ...
class LostError(HostError): ...
class Cause(Exception):
    def __init__(self, code: str, template: str, /, **values): ...
class Reason(Cause): ...
def message(code: str, template: str, /, **values): ...
def notice(code: str, template: str, /, **values): ...
"""


def collected(source: str) -> python_messages.Found:
    return python_messages.collect_modules({"base.py": ast.parse(BASE), "it.py": ast.parse(source)})


@pytest.mark.parametrize(
    ("source", "entry"),
    [
        ("raise UsageError('no-match', 'no {name}', name=x)", Entry("no-match", "no {name}", "", "it.py", 1)),
        ("raise Deeper('a', 'b' 'c', where=y, todo='Do {d}', d=1) from None", Entry("a", "bc", "Do {d}", "it.py", 1, place="WHERE")),
        ("raise UsageError('a', 'b', where='catalog')", Entry("a", "b", "", "it.py", 1, place="catalog")),
        ("raise LostError('a', 'b', host=h)", Entry("a", "b", "", "it.py", 1, place="HOST")),
        ("warn(notice('a', 'b'))", Entry("a", "b", "", "it.py", 1)),
        ("raise Reason('a', 'b')", Entry("a", "b", "", "it.py", 1, "part")),
        (
            "def refuse(code: str, template: str):\n    return message(code, template)\nrefuse('a', 'b')",
            Entry("a", "b", "", "it.py", 3, "part"),
        ),
        ("def f(error: type[NbserverError]):\n    raise error('a', 'b')", Entry("a", "b", "", "it.py", 2)),
        ("class C:\n    def m(self):\n        return message('a', 'b')", Entry("a", "b", "", "it.py", 3, "part")),
        ("DO = 'Do it'\nx = [UsageError('a', 'b', todo=DO)]", Entry("a", "b", "Do it", "it.py", 2)),
        ("class C:\n    def say(self, code: str, template: str): ...\n\nc.say('a', 'b')", Entry("a", "b", "", "it.py", 4)),
        (
            "def f(code: str, template: str, *, where):\n    raise UsageError(code, template, where=where, reason=x)\nf('a', '{reason}')",
            Entry("a", "{reason}", "", "it.py", 3, "part"),  # of placeholders only
        ),
    ],
)
def test_a_message_is_found(source: str, entry: Entry) -> None:
    found = collected(source)
    assert (found.entries, found.faults) == ([entry], [])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise UsageError(f'a', 'b')", ""),
        ("raise UsageError('a', f'b {x}')", "it.py:1: the code and the template must be literals"),
        ("raise UsageError('a', 'b {}'.format(x))", "literals"),
        ("raise UsageError('a', x)", "literals"),
        ("raise UsageError(code, 'b')", "literals"),
        ("raise UsageError('b')", "literals"),
        ("raise Deeper('a', 'b' + x)", "literals"),
        ("raise UsageError('a', 'b', todo=f'c {x}')", "todo must be a literal or a constant"),
        ("def f(todo):\n    raise UsageError('a', 'b', todo=todo)", "it.py:2: todo"),
        ("raise UsageError('a', '{x}')", "the placeholders are ['x'], the values []"),
        ("raise UsageError('a', 'b', x=1)", "the placeholders are [], the values ['x']"),
        ("raise UsageError('a', '{x}', **values)", "the values must be named"),
        ("raise UsageError('A b', 'c')", "not a valid code"),
    ],
)
def test_a_broken_rule_is_found(source: str, words: str) -> None:
    (fault,) = collected(source).faults
    assert words in fault


def test_what_only_passes_a_message_on_is_none() -> None:
    assert (
        collected("def refuse(code: str, template: str, **values):\n    return message(code, template, **values)")
        == python_messages.Found()
    )
    assert collected("raise Other(f'{x}')\nclick.UsageError(f'{x}')") == python_messages.Found()


FOUND = python_messages.collect(SOURCE / "nbserver", CHECKOUT)


def test_every_error_of_nbserver_has_a_literal_code_and_template_with_its_values() -> None:
    assert not FOUND.faults, "\n".join(FOUND.faults)
    assert len(FOUND.entries) > 500 and all(CODE.fullmatch(entry.code) for entry in FOUND.entries)


def test_no_two_texts_share_a_code() -> None:
    assert message_page.twice(FOUND.entries) == []


def test_no_raise_of_an_error_is_missed() -> None:
    """Each `raise` of a class that takes a message is a call that was collected, or passes on the text of another error."""
    classes = {
        "NbserverError",
        *(name for name in python_messages.classes_of(modules()) if name.endswith(("Error", "Fault", "Refused", "Much"))),
    }
    known = {(entry.file, entry.line) for entry in FOUND.entries}
    missed = [
        f"{path}:{node.lineno}: {ast.unparse(node)}"
        for path, module in parsed().items()
        for node in ast.walk(module)
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
        if isinstance(node.exc.func, ast.Name) and node.exc.func.id in classes and (path, node.exc.lineno) not in known
        if ast.unparse(node.exc.args[0]) != "code"  # of a function that takes the message, whose calls were collected
    ]
    assert not missed, "\n".join(missed)


def parsed() -> dict[str, ast.Module]:
    return {
        path.relative_to(CHECKOUT).as_posix(): ast.parse(path.read_text("utf-8")) for path in sorted((SOURCE / "nbserver").rglob("*.py"))
    }


def modules() -> list[ast.Module]:
    return list(parsed().values())


def test_a_module_constant_of_another_module_is_known(tmp_path: Path) -> None:
    (tmp_path / "nbserver").mkdir()
    (tmp_path / "nbserver" / "one.py").write_text(BASE + "DO = 'Do it'\n")
    (tmp_path / "nbserver" / "two.py").write_text("from nbserver.one import DO, UsageError\nUsageError('a', 'b', todo=DO)\n")
    assert python_messages.collect(tmp_path, tmp_path).entries == [Entry("a", "b", "Do it", "nbserver/two.py", 2)]
