"""Rules about calls: commands and parameters that Windows PowerShell 3.0, 4.0 and 5.1 all have, written out in full."""

from __future__ import annotations

from collections.abc import Iterator

from tests.powershell.findings import Scripts, command_name, named_parameters
from tests.powershell.syntax import Node

# about_CommonParameters of Windows PowerShell 3.0.
COMMON = frozenset("verbose debug erroraction warningaction errorvariable warningvariable outvariable outbuffer".split())
# Parameters that a provider adds to a command, here the registry's -Type (about_Registry_Provider): no profile has them.
PROVIDERS = {"set-itemproperty": frozenset({"type"})}
# Aliases of Windows PowerShell that PowerShell 7 does not have any more.
OLD_ALIASES = frozenset(
    "asnp curl epsn gsnp gwmi ise iwmi lp rsnp rwmi sc sort swmi trcm wget cat cp diff ls man mount mv ps rm rmdir sleep start tee write".split()
)
SWITCH = "switch"


def no_aliases(scripts: Scripts) -> Iterator[str]:
    for command in scripts.commands():
        name = command_name(command).lower()
        if name not in scripts.functions and name in scripts.aliases | OLD_ALIASES:
            yield f"{command.place}: the alias {name}"


def every_command_exists_in_each_version(scripts: Scripts) -> Iterator[str]:
    for command in scripts.commands():
        name = command_name(command)
        if not name or name.lower() in scripts.functions:
            continue
        lacking = [version for version, commands in scripts.profiles.items() if name.lower() not in commands]
        if lacking:
            yield f"{command.place}: {name} does not exist in {', '.join(lacking)}"


def every_parameter_exists_in_each_version(scripts: Scripts) -> Iterator[str]:
    """Abbreviations and aliases of parameters are refused too: no profile has them."""
    for command in scripts.commands():
        name = command_name(command).lower()
        if name in scripts.functions:
            continue
        for parameter in named_parameters(command):
            given = parameter.values["ParameterName"].lower()
            if given in COMMON | PROVIDERS.get(name, frozenset()):
                continue
            lacking = [version for version, commands in scripts.profiles.items() if name in commands and given not in commands[name]]
            if lacking:
                yield f"{parameter.place}: {command_name(command)} has no -{given} in {', '.join(lacking)}"


def every_function_gets_what_it_takes(scripts: Scripts) -> Iterator[str]:
    """PowerShell itself drops an argument too many without a word, and takes an unknown parameter for one."""
    for command in scripts.commands():
        function = scripts.functions.get(command_name(command).lower())
        if function is None:
            continue
        takes = {_parameter_name(parameter): parameter.values.get("StaticType", "") for parameter in _parameters(function)}
        positional = [name for name, kind in takes.items() if kind != SWITCH]
        arguments = command.children[1:]
        given = 0
        while arguments:
            argument = arguments.pop(0)
            if argument.kind != "CommandParameter":
                given += argument.values.get("Splatted") is None
                continue
            name = argument.values["ParameterName"].lower()
            if name not in takes:
                yield f"{argument.place}: {command_name(command)} has no -{name}"
                continue
            if name in positional:
                positional.remove(name)
                if not argument.children and arguments:
                    arguments.pop(0)
        if given > len(positional):
            yield f"{command.place}: {command_name(command)} gets {given} arguments and takes {len(positional)}"


def _parameters(function: Node) -> Iterator[Node]:
    for node in function.descendants():
        if (
            node.kind == "Parameter"
            and next(a for a in node.ancestors() if a.kind in ("FunctionDefinition", "ScriptBlockExpression")) is function
        ):
            yield node


def _parameter_name(parameter: Node) -> str:
    return next(child.values["VariablePath"].lower() for child in parameter.children if child.kind == "VariableExpression")


def web_requests_use_basic_parsing(scripts: Scripts) -> Iterator[str]:
    """Windows PowerShell else asks a person, or needs Internet Explorer."""
    for command in scripts.commands("Invoke-WebRequest", "Invoke-RestMethod"):
        if "usebasicparsing" not in {parameter.values["ParameterName"].lower() for parameter in named_parameters(command)}:
            yield f"{command.place}: {command_name(command)} without -UseBasicParsing"


RULES = (
    no_aliases,
    every_command_exists_in_each_version,
    every_parameter_exists_in_each_version,
    every_function_gets_what_it_takes,
    web_requests_use_basic_parsing,
)
NEEDS_PROFILES = frozenset({every_command_exists_in_each_version, every_parameter_exists_in_each_version})
