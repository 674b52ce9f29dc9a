"""Each kind of host gets its own function, and nobody else asks for the kind."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from nbserver.inventory.by_kind import ByKind, LocalByKind
from nbserver.inventory.hosts import AnyHost
from nbserver.inventory.linux_host import LinuxHost
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.inventory.local_windows_host import LocalWindowsHost
from nbserver.inventory.windows_host import WindowsHost
from tests.checkout import SOURCE

KINDS = {"WindowsHost", "LinuxHost", "LocalWindowsHost", "LocalLinuxHost"}
NAMES = ("local_windows", "local_linux")
WINDOWS = WindowsHost.model_validate(
    {"name": "w", "system": "windows", "address": "w", "user": "u", "password": {"env": "W"}, "notebook": {"password": {"env": "N"}}}
)
LINUX = LinuxHost.model_validate({"name": "l", "system": "linux", "address": "l", "user": "u", "notebook": {"password": {"env": "N"}}})


@pytest.mark.parametrize("host", [WINDOWS, LINUX, LocalWindowsHost(), LocalLinuxHost()], ids=lambda host: type(host).__name__)
def test_each_kind_has_its_function(host: AnyHost) -> None:
    named = ByKind(
        windows=lambda host, word: f"WindowsHost {host.name} {word}",
        linux=lambda host, word: f"LinuxHost {host.name} {word}",
        local_windows=lambda host, word: f"LocalWindowsHost {host.name} {word}",
        local_linux=lambda host, word: f"LocalLinuxHost {host.name} {word}",
    )
    assert named(host, "x") == f"{type(host).__name__} {host.name} x"


def test_so_has_each_kind_of_this_machine() -> None:
    named = LocalByKind(windows=lambda host: ("windows", host.system), linux=lambda host: ("linux", host.system))
    assert named(LocalWindowsHost()) == ("windows", "windows") and named(LocalLinuxHost()) == ("linux", "linux")


def asks_for_the_kind(node: ast.AST) -> bool:
    """isinstance(..., a kind of host), a comparison of .system, or one with the name of a kind."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
        return bool(KINDS & {name.id for name in ast.walk(node.args[1]) if isinstance(name, ast.Name)})
    if isinstance(node, ast.Compare):
        sides = (node.left, *node.comparators)
        return any(isinstance(side, ast.Attribute) and side.attr == "system" for side in sides) or any(
            isinstance(side, ast.Constant) and side.value in NAMES for side in sides
        )
    return False


def test_the_kind_of_a_host_is_asked_in_one_place() -> None:
    found = {
        path.relative_to(SOURCE).as_posix()
        for path in Path(SOURCE).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if asks_for_the_kind(node)
    }
    assert found == {"nbserver/inventory/by_kind.py", "nbserver/inventory/new_inventory.py"}, "a new host has no kind yet"
