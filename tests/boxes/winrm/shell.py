"""What the two kinds of remote shell have in common."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from tests.boxes.winrm.output import Output
from tests.boxes.winrm.wsman_fault import command_not_found


class Shell:
    """A shell that a client created; `commands` maps an upper-case CommandId to what it has to say."""

    kind = ""
    input_streams = ""
    output_streams = ""

    def __init__(self, shell_id: str, uri: str) -> None:
        self.id, self.uri = shell_id, uri
        self.output = Output()
        self.commands: dict[str, Output] = {}
        self.born = time.time()

    def find(self, command_id: str) -> Output:
        """Raises WSManFault for a command that this shell does not have."""
        output = self.commands.get(command_id.upper())
        if output is None:
            raise command_not_found(command_id)
        return output

    def command(self, command_id: str | None, executable: str, arguments: Sequence[str], options: Mapping[str, str]) -> str:
        """Starts a command and returns its CommandId."""
        raise NotImplementedError

    def send(self, command_id: str | None, stream: str, data: bytes, end: bool) -> None:
        raise NotImplementedError

    def signal(self, command_id: str, code: str) -> None:
        raise NotImplementedError

    def delete(self) -> None:
        raise NotImplementedError

    def kill(self) -> None:
        raise NotImplementedError
