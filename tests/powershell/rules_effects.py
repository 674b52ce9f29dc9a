"""Rules about what a script may do: run no text as code, start programs two ways, write text files one way."""

from __future__ import annotations

from collections.abc import Iterator

from tests.powershell.findings import Scripts, command_name, member_name, named_parameters, static_call, variable_name
from tests.powershell.syntax import Node

CALLED = ("$Step.Test", "$Step.Apply", "$Restore[$Line.kind]", "$Modes[$Run.Mode]", "$hook", "$Assert")
RUNS_TEXT = frozenset(
    "invoke-expression iex invoke-command new-module import-module start-job register-objectevent set-alias new-alias".split()
)
RUNS_TEXT_METHODS = frozenset("invokescript newscriptblock expandstring invokereturnasis addscript addcommand getnewclosure".split())
STARTS_PROGRAMS = frozenset("start-process invoke-item saps ii invoke-wmimethod start-service".split())
WRITERS = frozenset(
    "out-file set-content add-content clear-content tee-object export-csv export-clixml out-printer start-transcript new-temporaryfile".split()
)
READERS = frozenset("get-content import-csv import-clixml import-localizeddata select-string".split())
# The two functions that start programs: one waits for their end, the other leaves the server in the background.
STARTERS = frozenset({"invoke-program", "new-programstart", "start-background"})
# Method of [IO.File] -> the one function that may call it; "" is every function.
TEXT_METHODS = {"writealltext": "write-textfile", "readalltext": "", "readalllines": ""}
# What moves or removes, and what Invoke-FileChange calls, directly or not.
FILE_CHANGES = {("io.file", name) for name in ("move", "replace", "delete")} | {("io.directory", name) for name in ("move", "delete")}
CHANGES_FILES = frozenset({"edit-path", "remove-tree", "remove-foldercontent", "remove-link", "move-longpath"})
REFUSED_TEXT_METHODS = frozenset("writealllines appendalllines appendalltext appendtext createtext opentext readlines".split())


def no_text_becomes_code(scripts: Scripts) -> Iterator[str]:
    for command in scripts.commands():
        name = command_name(command).lower()
        if name in RUNS_TEXT:
            yield f"{command.place}: {command_name(command)}"
        if name == "add-type" and {p.values["ParameterName"].lower() for p in named_parameters(command)} != {"assemblyname"}:
            yield f"{command.place}: Add-Type with more than -AssemblyName"
    for call in scripts.all("InvokeMemberExpression"):
        if static_call(call) in (("scriptblock", "create"), ("management.automation.scriptblock", "create"), ("powershell", "create")):
            yield f"{call.place}: {call.text}"
        elif member_name(call) in RUNS_TEXT_METHODS or (member_name(call) == "invoke" and "Static" not in call.values):
            yield f"{call.place}: .{member_name(call)}()"


def the_call_operator_runs_steps_and_restores_only(scripts: Scripts) -> Iterator[str]:
    for command in scripts.commands():
        operator = command.values.get("InvocationOperator", "Unknown")
        if operator == "Dot" or (operator == "Ampersand" and command.children[0].text not in CALLED):
            yield f"{command.place}: {command.text.splitlines()[0]}"


def programs_run_through_two_wrappers(scripts: Scripts) -> Iterator[str]:
    """A bare word that is neither a function nor a command of any version is a program's name."""
    known = {name for commands in scripts.profiles.values() for name in commands}
    for command in scripts.commands():
        name = command_name(command).lower()
        if name in STARTS_PROGRAMS:
            yield f"{command.place}: {name}"
        elif name and name not in scripts.functions and name not in known and ("-" not in name or "." in name or "\\" in name):
            yield f"{command.place}: the program {name}"
    for call in scripts.all("InvokeMemberExpression"):
        if static_call(call) == ("diagnostics.process", "start") and call.function.lower() not in STARTERS:
            yield f"{call.place}: [Diagnostics.Process]::Start outside of Invoke-Program and Start-Background"
    for command in scripts.commands("New-Object"):
        if "diagnostics.processstartinfo" in command.text.lower() and command.function.lower() not in STARTERS:
            yield f"{command.place}: ProcessStartInfo outside of Invoke-Program and Start-Background"


def text_files_are_utf_8_without_bom(scripts: Scripts) -> Iterator[str]:
    """No command that writes or reads text in an encoding of its own, and $Utf8 wherever .NET writes or reads it."""
    for command in scripts.commands():
        name = command_name(command).lower()
        if name in WRITERS | READERS:
            yield f"{command.place}: {command_name(command)}"
        if (
            name == "new-object"
            and any(kind in command.text.lower() for kind in ("streamreader", "streamwriter"))
            and "$utf8" not in command.text.lower()
        ):
            yield f"{command.place}: {command.text} without $Utf8"
        for parameter in named_parameters(command):
            if parameter.values["ParameterName"].lower() == "encoding":
                yield f"{parameter.place}: -Encoding"
    for redirection in scripts.all("FileRedirection", "MergingRedirection"):
        yield f"{redirection.place}: the redirection {redirection.text}"
    for call in scripts.all("InvokeMemberExpression"):
        yield from _text_method(call)


def nothing_is_removed_through_links_and_no_task_replaced(scripts: Scripts) -> Iterator[str]:
    """Remove-Item -Recurse follows some links: Remove-Folder does not. A task that is replaced keeps the rights of others: Register-NewTask."""
    for name, parameter in (("Remove-Item", "recurse"), ("Register-ScheduledTask", "force")):
        for command in scripts.commands(name):
            if parameter in {given.values["ParameterName"].lower() for given in named_parameters(command)}:
                yield f"{command.place}: {command.text.splitlines()[0]}"


def files_are_moved_and_removed_as_soon_as_nobody_holds_them(scripts: Scripts) -> Iterator[str]:
    """A virus scanner holds what is new: only what Invoke-FileChange calls moves or removes a file or folder."""
    for call in scripts.all("InvokeMemberExpression"):
        if static_call(call) in FILE_CHANGES and call.function.lower() not in CHANGES_FILES:
            yield f"{call.place}: {call.text} outside of Invoke-FileChange"
    for command in scripts.commands():
        if command_name(command).lower() in ("remove-item", "move-item", "rename-item"):
            yield f"{command.place}: {command.text.splitlines()[0]}: use Remove-SingleFile, Remove-Folder, Move-Over, or Invoke-FileChange"


def access_lists_are_set_without_owner_and_group(scripts: Scripts) -> Iterator[str]:
    """Set-Acl of Windows PowerShell writes them too, which only administrators may: Use-AccessControl does not."""
    for command in scripts.commands():
        if command_name(command).lower() in ("get-acl", "set-acl"):
            yield f"{command.place}: {command_name(command)}: use Use-AccessControl"


def _text_method(call: Node) -> Iterator[str]:
    type_name, method = static_call(call)
    if type_name != "io.file":
        return
    if method in REFUSED_TEXT_METHODS:
        yield f"{call.place}: [IO.File]::{method}"
    elif method in TEXT_METHODS:
        last = call.children[-1]
        if last.kind != "VariableExpression" or variable_name(last) != "utf8":
            yield f"{call.place}: [IO.File]::{method} without $Utf8"
        if TEXT_METHODS[method] not in ("", call.function.lower()):
            yield f"{call.place}: [IO.File]::{method} outside of {TEXT_METHODS[method]}"


RULES = (
    no_text_becomes_code,
    the_call_operator_runs_steps_and_restores_only,
    programs_run_through_two_wrappers,
    text_files_are_utf_8_without_bom,
    nothing_is_removed_through_links_and_no_task_replaced,
    files_are_moved_and_removed_as_soon_as_nobody_holds_them,
    access_lists_are_set_without_owner_and_group,
)
NEEDS_PROFILES = frozenset({programs_run_through_two_wrappers})
