"""One command in a remote command shell: its input, output, and exit code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nbserver.transports.answer_limits import ERRORS_KEPT

if TYPE_CHECKING:
    from winrm.protocol import Protocol

POLL = 2  # seconds that the host may hold a request for output
# Bytes per message. Base64-encoded and with the envelope they fit into 150 KB, the smallest default limit of a host.
CHUNK = 90_000

# [MS-WSMV] 2.2.4.38
_SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"


class RemoteCommand:
    """A command in the shell `shell`. Methods raise the exceptions of pywinrm and requests.

    `done` is True once the command has ended; `exit_code` is then set. `stderr` is the end of the error output, which has
    `complained` bytes in total.
    """

    def __init__(self, protocol: Protocol, shell: str) -> None:
        self._protocol, self._shell = protocol, shell
        self._id = ""
        self.done = False
        self.exit_code = -1
        self.stderr, self.complained = b"", 0

    def start(self, program: str, arguments: Sequence[str]) -> None:
        """Start the command with a pipe, not a console, for its input."""
        self._id = self._protocol.run_command(self._shell, program, arguments, console_mode_stdin=False)

    def send(self, data: bytes, *, end: bool) -> None:
        """Send a part of the input, at most CHUNK bytes."""
        self._protocol.send_command_input(self._shell, self._id, data, end=end)

    def receive(self) -> bytes:
        """Return the output since the last call, after at most POLL seconds."""
        from winrm.exceptions import WinRMOperationTimeoutError

        patience, self._protocol.operation_timeout_sec = self._protocol.operation_timeout_sec, POLL
        try:
            output, errors, exit_code, self.done = self._protocol.get_command_output_raw(self._shell, self._id)
        except WinRMOperationTimeoutError:
            return b""
        finally:
            self._protocol.operation_timeout_sec = patience
        self.stderr = (self.stderr + errors)[-ERRORS_KEPT:]
        self.complained += len(errors)
        if self.done:
            self.exit_code = exit_code & 0xFFFFFFFF
        return output

    def interrupt(self) -> None:
        """Send Ctrl-C: the script stops and runs its `finally` blocks."""
        self._signal("ctrl_c")

    def terminate(self) -> None:
        """Free the host's resources for the command, and end it if it is still running."""
        self._signal("terminate")

    def _signal(self, code: str) -> None:
        import xmltodict

        request = {"env:Envelope": self._protocol.build_wsman_header(f"{_SHELL}/Signal", f"{_SHELL}/cmd", self._shell)}
        request["env:Envelope"]["env:Body"] = {"rsp:Signal": {"@CommandId": self._id, "rsp:Code": f"{_SHELL}/signal/{code}"}}
        self._protocol.send_message(xmltodict.unparse(request))
