"""The way of the data: which package may import which, and that nothing goes in circles."""

from __future__ import annotations

import ast
import configparser
import importlib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.checkout import CHECKOUT, SOURCE

PACKAGE = SOURCE / "nbserver"
ORDER = (
    "base",
    "language",
    "settings",
    "inventory",
    "catalog",
    "certificate",
    "render",
    "approval",
    "bundle",
    "pages",
    "review",
    "export",
    "events",
    "transports",
    "notebooks",
    "run",
    "view",
    "verify",
    "report",
    "local",
    "commands",
    "cli",
)  # each may import those before it


def modules() -> dict[str, Path]:
    return {".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path for path in PACKAGE.rglob("*.py")}


def imports(path: Path, known: dict[str, Path]) -> list[tuple[int, str]]:
    """(line, module) of every import of nbserver's own modules, also of those within functions and for types only."""
    found = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: an import begins with nbserver"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.append((node.lineno, whole if whole in known else str(node.module)))
    return [(line, name) for line, name in found if name.partition(".")[0] == "nbserver"]


def upward(name: str, imported: str) -> bool:
    """Whether the second lies above the first. The package itself has the version only, for all."""
    if imported == "nbserver" or "." not in name.replace("nbserver.__main__", "nbserver"):
        return False
    here, there = (ORDER.index(module.split(".")[1]) for module in (name, imported))
    return there > here


def test_every_package_has_its_place() -> None:
    assert {path.stem for path in PACKAGE.iterdir() if path.name != "__pycache__"} == {*ORDER, "__init__", "__main__"}


def test_imports_point_one_way() -> None:
    known = modules()
    wrong = [
        f"{path.relative_to(CHECKOUT)}:{line}: {name} imports {imported}, which is above it"
        for name, path in known.items()
        for line, imported in imports(path, known)
        if upward(name, imported)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_two_modules_import_each_other() -> None:
    known = modules()
    graph = {name: {imported for _, imported in imports(path, known) if imported != name} for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(circle.args[1]))


def test_an_upward_import_would_be_found(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("if TYPE_CHECKING:\n    from nbserver.run import operation\n\ndef f():\n    import nbserver.cli\n")
    found = imports(file, modules())
    assert found == [(2, "nbserver.run.operation"), (5, "nbserver.cli")]
    assert [upward("nbserver.render.bash", imported) for _, imported in found] == [True, True]
    assert not upward("nbserver.run.operation", "nbserver.render.bash") and not upward("nbserver.render.bash", "nbserver")


def test_the_source_root_is_no_package() -> None:
    """A package of that name is in the package index: whoever has it installed would get that one."""
    assert not (SOURCE / "__init__.py").exists()
    files = [path for folder in ("installer", "tests", "tools", "benchmarks") for path in (CHECKOUT / folder).rglob("*.py")]
    wrong = []
    for path in files:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            wrong += [f"{path.relative_to(CHECKOUT)}:{node.lineno}" for name in names if name.partition(".")[0] == "installer"]  # type: ignore[attr-defined]
    assert not wrong


def test_every_name_that_is_imported_exists() -> None:
    """Also within functions, which only some machine runs."""
    missing = []
    for path in (path for folder in ("installer", "tests", "tools", "benchmarks") for path in (CHECKOUT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] == "nbserver":
                module = importlib.import_module(str(node.module))
                names = (alias.name for alias in node.names)
                missing += [
                    f"{path.relative_to(CHECKOUT)}:{node.lineno}: {node.module} has no {name}"
                    for name in names
                    if not hasattr(module, name) and f"{node.module}.{name}" not in modules()
                ]
    assert not missing, "\n".join(missing)


def test_every_package_is_in_the_wheel() -> None:
    """setup.cfg lists them. tests/test_wheel.py builds one, which takes a minute."""
    configuration = configparser.ConfigParser()
    configuration.read(CHECKOUT / "setup.cfg", encoding="utf-8")
    listed = set(configuration["options"]["packages"].split())
    assert {".".join(path.parent.relative_to(SOURCE).parts) for path in PACKAGE.rglob("__init__.py")} <= listed
