"""Rules about secrets: what goes through a command's parameters can end in Windows' module logging."""

from __future__ import annotations

from collections.abc import Iterator

from tests.powershell.findings import Scripts, command_name, member_name, variable_name
from tests.powershell.syntax import Node

ENVELOPE = frozenset(
    {
        "read-envelope",
        "request-secret",
        "read-keptsecret",
        "read-secretfile",
        "expand-secret",
        "get-secretpart",
        "get-addresswithlogin",
        "get-login",
    }
)
COMPARISONS = frozenset("Ieq Ine Ceq Cne".split())
# Variables of the bootstraps and the launcher that have what is for the script, or are made of it.
ARRIVED = frozenset("in line lines parts secret passwordhash hashfile".split())
VARIABLE_COMMANDS = ("Get-Variable", "Set-Variable", "New-Variable", "Remove-Variable", "Clear-Variable")


def secrets_never_reach_a_command(scripts: Scripts) -> Iterator[str]:
    for variable in _secrets(scripts):
        if _in_command(variable):
            yield f"{variable.place}: $Secrets in a command's arguments or pipeline"


def secrets_are_touched_by_the_envelope_only(scripts: Scripts) -> Iterator[str]:
    """Others may ask whether a secret is there, and nothing else."""
    for variable in _secrets(scripts):
        parent = variable.parent
        assert parent is not None
        index = parent.kind == "IndexExpression" and parent.children[0] is variable
        above = parent.parent
        asked = parent.kind == "InvokeMemberExpression" and parent.children[0] is variable and member_name(parent) == "containskey"
        made = (
            parent.kind == "AssignmentStatement"
            and parent.children[0] is variable
            and not variable.function
            and parent.children[1].text == "@{}"
        )
        stored = index and above is not None and above.kind == "AssignmentStatement" and above.children[0] is parent
        used = index and above is not None and above.kind == "InvokeMemberExpression" and parent in above.children[2:]
        if not (asked or made or ((stored or used) and variable.function.lower() in ENVELOPE)):
            yield f"{variable.place}: {parent.text}"
    for command in scripts.commands(*VARIABLE_COMMANDS):
        yield f"{command.place}: {command_name(command)} can read every variable"


def expanded_secrets_stay_in_methods(scripts: Scripts) -> Iterator[str]:
    """The text that Expand-Secret gives is an argument of a .NET method or one side of a comparison, and nothing else."""
    for command in scripts.commands("Expand-Secret"):
        pipeline, parentheses, used = ([*command.ancestors(), None, None, None])[:3]
        alone = pipeline is not None and len(pipeline.children) == 1 and parentheses is not None and parentheses.kind == "ParenExpression"
        compared = used is not None and used.kind == "BinaryExpression" and used.values["Operator"] in COMPARISONS
        argument = used is not None and used.kind == "InvokeMemberExpression" and parentheses in used.children[2:]
        if not (alone and (compared or argument)) or _in_command(command):
            yield f"{command.place}: {(parentheses or command).text}"


def what_arrives_reaches_the_script_only(scripts: Scripts) -> Iterator[str]:
    """A rule for the bootstraps and the launcher: they pass the envelope to the script, and no line of it to another command."""
    for variable in scripts.all("VariableExpression"):
        if variable_name(variable) in ARRIVED and _in_command(variable) and not (_to_the_script(variable) or _reader(variable)):
            yield f"{variable.place}: {variable.text} in a command's arguments or pipeline"


def _to_the_script(variable: Node) -> bool:
    """Whether a variable is the input of the script: $lines | & $path | ..."""
    pipeline = variable.parent.parent if variable.parent else None
    if not pipeline or pipeline.kind != "Pipeline" or len(pipeline.children) < 2:
        return False
    first, second = pipeline.children[:2]
    return variable.parent is first and second.values.get("InvocationOperator") == "Ampersand"


def _reader(variable: Node) -> bool:
    """Whether a variable is the stream that is read, of which a log has the type alone."""
    command = next((node for node in variable.ancestors() if node.kind == "Command"), None)
    return command is not None and variable_name(variable) == "in" and command_name(command).lower() == "new-object"


def _secrets(scripts: Scripts) -> Iterator[Node]:
    for variable in scripts.all("VariableExpression"):
        if variable_name(variable) == "secrets":
            yield variable


def _in_command(node: Node) -> bool:
    """Whether a node is in a command's elements, or is piped into one; a script block is code of its own."""
    for above in node.ancestors():
        if above.kind == "Command" or (above.kind == "Pipeline" and len(above.children) > 1):
            return True
        if above.kind == "ScriptBlock":
            return False
    return False


RULES = (secrets_never_reach_a_command, secrets_are_touched_by_the_envelope_only, expanded_secrets_stay_in_methods)
