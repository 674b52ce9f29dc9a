"""One command in a remote command shell: its input, its output as it comes, its end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbserver.transports.answer_limits import ERRORS_KEPT

if TYPE_CHECKING:
    from winrm.protocol import Protocol

POLL = 2  # seconds that the host may keep a question for output
# Bytes a message; in base64 they and the rest fit into 150 KB, the smallest limit that a host has by default.
CHUNK = 90_000

# [MS-WSMV] 2.2.4.38
_SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"


class RemoteCommand:
    """A command in the shell `shell`. Methods raise what pywinrm and requests raise.

    `done` once it has ended, with `exit_code`; `stderr` has the beginning of what it complained, which was `complained` bytes
    long.
    """

    def __init__(self, protocol: Protocol, shell: str) -> None:
        self._protocol, self._shell = protocol, shell
        self._id = ""
        self.done = False
        self.exit_code = -1
        self.stderr, self.complained = b"", 0

    def start(self, program: str, arguments: Sequence[str]) -> None:
        """Starts it with a pipe for its input, not a console."""
        self._id = self._protocol.run_command(self._shell, program, arguments, console_mode_stdin=False)

    def send(self, data: bytes, *, end: bool) -> None:
        """A part of its input, at most CHUNK bytes."""
        self._protocol.send_command_input(self._shell, self._id, data, end=end)

    def receive(self) -> bytes:
        """What it has put out since, after POLL seconds at most."""
        from winrm.exceptions import WinRMOperationTimeoutError

        patience, self._protocol.operation_timeout_sec = self._protocol.operation_timeout_sec, POLL
        try:
            output, errors, exit_code, self.done = self._protocol.get_command_output_raw(self._shell, self._id)
        except WinRMOperationTimeoutError:
            return b""
        finally:
            self._protocol.operation_timeout_sec = patience
        self.stderr = (self.stderr + errors)[:ERRORS_KEPT]
        self.complained += len(errors)
        if self.done:
            self.exit_code = exit_code & 0xFFFFFFFF
        return output

    def interrupt(self) -> None:
        """Ctrl-C: the script is stopped and runs its `finally`."""
        self._signal("ctrl_c")

    def terminate(self) -> None:
        """Frees what the host keeps for it, and ends it if it still runs."""
        self._signal("terminate")

    def _signal(self, code: str) -> None:
        import xmltodict

        request = {"env:Envelope": self._protocol.build_wsman_header(f"{_SHELL}/Signal", f"{_SHELL}/cmd", self._shell)}
        request["env:Envelope"]["env:Body"] = {"rsp:Signal": {"@CommandId": self._id, "rsp:Code": f"{_SHELL}/signal/{code}"}}
        self._protocol.send_message(xmltodict.unparse(request))
