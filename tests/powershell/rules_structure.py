"""Rules about how the files fit together: steps, and what undo can put back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from tests.powershell.findings import Scripts, command_name, member_name, variable_name
from tests.powershell.syntax import Node


def every_recorded_kind_can_be_put_back(scripts: Scripts) -> Iterator[str]:
    kinds = set(restorable(scripts))
    for command in scripts.commands("Save-Before"):
        kind = command.children[1] if len(command.children) > 1 else command
        if kind.kind != "StringConstantExpression":
            yield f"{command.place}: the kind is no literal: {command.text}"
        elif kind.values["Value"] not in kinds:
            yield f"{command.place}: $Restore has no '{kind.values['Value']}'"


def every_restore_has_a_kind_that_is_recorded(scripts: Scripts) -> Iterator[str]:
    recorded = {command.children[1].values.get("Value") for command in scripts.commands("Save-Before") if len(command.children) > 1}
    for kind, node in restorable(scripts).items():
        if kind not in recorded:
            yield f"{node.place}: nothing records a '{kind}'"


def every_function_is_defined_once(scripts: Scripts) -> Iterator[str]:
    for node in scripts.all("FunctionDefinition"):
        if scripts.functions[node.values["Name"].lower()] is not node:
            yield f"{node.place}: {node.values['Name']} is defined again further down"


def every_function_is_used(scripts: Scripts) -> Iterator[str]:
    """A call in the function itself counts for nothing."""
    used = {command_name(command).lower() for command in scripts.commands() if command_name(command).lower() != command.function.lower()}
    for name, node in scripts.functions.items():
        if name not in used:
            yield f"{node.place}: nothing calls {node.values['Name']}"


def the_scope_decides_nothing(scripts: Scripts) -> Iterator[str]:
    """Each scope has its own body."""
    for node in scripts.all("MemberExpression"):
        if member_name(node) == "scope" and node.children[0].kind == "VariableExpression" and variable_name(node.children[0]) == "settings":
            yield f"{node.place}: {node.text}"


def a_step_file_has_one_step_of_its_name(scripts: Scripts) -> Iterator[str]:
    for file in scripts.files:
        steps = list(Scripts([file], scripts.aliases, {}).commands("Add-Step"))
        wanted = [PurePosixPath(file.name).stem] if file.name.startswith("steps/") else []
        if [step_name(step) for step in steps] != wanted:
            yield f"{file.place(steps[0].start if steps else 0)}: steps {[step_name(step) for step in steps]} instead of {wanted}"
        for step in steps:
            if any(above.kind in ("FunctionDefinition", "ScriptBlockExpression", "IfStatement") for above in step.ancestors()):
                yield f"{step.place}: a step inside of something else"


def step_name(step: Node) -> str:
    return step.children[1].values.get("Value", "") if len(step.children) > 1 else ""


def step_names(scripts: Scripts) -> list[str]:
    return [step_name(command) for command in scripts.all("Command") if command_name(command) == "Add-Step"]


def restorable(scripts: Scripts) -> dict[str, Node]:
    """Kind -> the assignment `$Restore.KIND = { ... }`."""
    found = {}
    for assignment in scripts.all("AssignmentStatement"):
        target = assignment.children[0]
        if (
            target.kind == "MemberExpression"
            and target.children[0].kind == "VariableExpression"
            and variable_name(target.children[0]) == "restore"
        ):
            found[member_name(target)] = assignment
    return found


RULES = (
    every_recorded_kind_can_be_put_back,
    every_restore_has_a_kind_that_is_recorded,
    every_function_is_defined_once,
    every_function_is_used,
    the_scope_decides_nothing,
    a_step_file_has_one_step_of_its_name,
)
