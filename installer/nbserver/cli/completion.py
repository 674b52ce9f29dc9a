"""Shell completion: the command that prints a completion script, and the completion of host names from the inventory."""

from __future__ import annotations

import os
import re
from pathlib import Path

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete, add_completion_class

from nbserver.base.standard_streams import require_written
from nbserver.base.text_encoding import utf_16
from nbserver.inventory.names import LOCAL, name_fault

VARIABLE = "_NBSERVER_COMPLETE"
LARGEST = 1 << 20  # bytes of an inventory that are read while somebody waits for a completion
POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = $commandAst.CommandElements | Where-Object { $_.Extent.StartOffset -lt $cursorPosition } | ForEach-Object { "$_" }
    $env:%(complete_var)s = 'powershell_complete'
    $env:COMP_WORDS = $words -join "`n"
    $env:COMP_WORD = $wordToComplete
    try {
        %(prog_name)s | ForEach-Object {
            $value, $help = $_ -split "`t", 2
            New-Object System.Management.Automation.CompletionResult $value, $value, 'ParameterValue', $help
        }
    }
    finally {
        Remove-Item Env:\\%(complete_var)s, Env:\\COMP_WORDS, Env:\\COMP_WORD -ErrorAction SilentlyContinue
    }
}
"""


class PowerShellComplete(ShellComplete):
    """Completion for Windows PowerShell 5.0 and newer, which click does not support."""

    name = "powershell"
    source_template = POWERSHELL

    def get_completion_args(self) -> tuple[list[str], str]:
        words, incomplete = os.environ["COMP_WORDS"].split("\n")[1:], os.environ.get("COMP_WORD", "")
        return (words[:-1] if incomplete and words else words), incomplete

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.value}\t{item.help or item.value}"


add_completion_class(PowerShellComplete)
SHELLS: dict[str, type[ShellComplete]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete, "powershell": PowerShellComplete}


@click.command()
@click.argument("shell", type=click.Choice(list(SHELLS)))
def completion(shell: str) -> None:
    """Print the completion script for a shell

    It completes commands, options, and the names of hosts and groups in the inventory. Load it when your shell starts:

    \b
      bash        eval "$(nbserver completion bash)"
      zsh         eval "$(nbserver completion zsh)"
      fish        nbserver completion fish | source
      powershell  nbserver completion powershell > $HOME\\nbserver.ps1; . $HOME\\nbserver.ps1
    """
    script = SHELLS[shell](click.get_current_context().find_root().command, {}, "nbserver", VARIABLE)
    click.echo(ShellComplete.source(script).strip("\n"))
    require_written()


def complete_hosts(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the hosts and groups whose names begin with the last name in `incomplete`, in upper or lower case."""
    path = ctx.params.get("inventory_path") or Path("nbserver.toml")
    before, begun = re.fullmatch(r"(.*[,|&!])?(.*)", incomplete, re.DOTALL).groups(default="")  # type: ignore[union-attr]
    return [CompletionItem(before + name, help=kind) for name, kind in names(path) if name.lower().startswith(begun.lower())]


def complete_folders_and_hosts(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the hosts with --evidence, and otherwise that the shell completes the names of folders."""
    if ctx.params.get("evidence"):
        return complete_hosts(ctx, parameter, incomplete)
    return [CompletionItem(incomplete, type="dir")]


def names(path: Path) -> list[tuple[str, str]]:
    """Return the name and the kind (host or group) of everything that HOST can be. A file that cannot be read has none."""
    import tomllib

    found = {LOCAL: "this machine"}
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST)
        values = tomllib.loads(content.decode(utf_16(content) or "utf-8-sig").removeprefix("\ufeff"))
    except (OSError, ValueError):
        return list(found.items())
    for key, kind in (("groups", "group"), ("hosts", "host")):
        table = values.get(key)
        if isinstance(table, dict):
            found |= {name: kind for name in table if not name_fault(name) and name != LOCAL}
    return list(found.items())
