"""Read the hosts that the program of `hosts_command` prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nbserver.base.errors import InventoryError
from nbserver.inventory import hosts_from
from nbserver.inventory.host_list import HostList
from nbserver.settings import program_output
from nbserver.settings.working_file import LIMIT


def read(command: Sequence[str], folder: Path, *, where: str) -> HostList:
    """Run the program, and return the hosts that it prints, in one of the forms of a file with hosts.

    A program with a relative path is in `folder`. `where` is the place of the command, for messages. Raises InventoryError if it fails.
    """
    program = program_output.in_folder(command[0], folder)
    try:
        output = program_output.run([program, *command[1:]], limit=LIMIT)
    except program_output.ProgramFailure as reason:
        raise InventoryError(
            "hosts-command-failed",
            "hosts_command failed: {reason}",
            todo="Run the command yourself as the same user, and check its output and exit code",
            where=where,
            reason=reason,
        ) from None
    return hosts_from.parse(output, f"output of {Path(program).name}")
