"""A PSRP shell: WSMan's operations as packets for one `pwsh -s`."""

from __future__ import annotations

import base64
import contextlib
import re
import struct
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence

from tests.boxes.winrm.engine import ZERO, Engine
from tests.boxes.winrm.output import Output
from tests.boxes.winrm.shell import Shell
from tests.boxes.winrm.wsman_fault import WSManFault

STATE = re.compile(rb'<I32 N="PipelineState">(\d+)</I32>')
PIPELINE_STATE = b"\x06\x10\x04\x00"  # message type 0x00041006, little endian
FINAL_STATES = (3, 4, 5)  # Stopped, Completed, Failed
ATTEMPTS, OPENING = 3, 60  # engines that are tried, and seconds that each has for its first answer
FRAGMENT_HEADER = 21  # object id u64, fragment id u64, flags u8, length u32, big endian


class PipelineEnd:
    """Watches a pipeline's fragments for the PIPELINE_STATE message that ends it. Nothing else is looked at."""

    def __init__(self) -> None:
        self.is_state = False
        self.message = b""

    def seen_in(self, data: bytes) -> bool:
        """True if a final state has gone by in these whole fragments."""
        final = False
        position = 0
        while position + FRAGMENT_HEADER <= len(data):
            flags, size = struct.unpack_from(">BI", data, position + 16)
            blob = data[position + FRAGMENT_HEADER : position + FRAGMENT_HEADER + size]
            if flags & 1:
                self.is_state = blob[4:8] == PIPELINE_STATE
                self.message = b""
            if self.is_state:
                self.message += blob
                if flags & 2:
                    state = STATE.search(self.message)
                    final = final or bool(state and int(state[1]) in FINAL_STATES)
                    self.message = b""
            position += FRAGMENT_HEADER + size
        return final


class PSShell(Shell):
    """`creation` is the client's SESSION_CAPABILITY and INIT_RUNSPACEPOOL; the pool opens in the background.

    `keep` takes an engine that can have another session; without it the engine ends with the shell.
    """

    kind = "ps"
    input_streams = "stdin pr"
    output_streams = "stdout"

    def __init__(
        self, shell_id: str, uri: str, new_engine: Callable[[], Engine], creation: bytes, keep: Callable[[Engine], None] | None = None
    ) -> None:
        super().__init__(shell_id, uri)
        self.ends: dict[str, PipelineEnd] = {}
        self.closed: dict[str, threading.Event] = {}  # command -> whether the engine has answered, or is dead
        self.greeting: dict[int, bytes] = {}  # message type -> fragment, for a client that connects later
        self.ended = False  # by the host or the client
        self.changing = threading.Lock()
        self.new_engine, self.keep = new_engine, keep
        self.engine = new_engine()
        self.engine.on_data = self._data
        self.opener = threading.Thread(target=self._open, args=(creation,), daemon=True)
        self.opener.start()

    def _open(self, creation: bytes) -> None:
        """An engine that ends, or stays silent, before it has said anything is replaced: nothing has happened yet."""
        for attempt in range(ATTEMPTS):
            try:
                self.engine.call("Data", ZERO, creation, timeout=OPENING)
            except WSManFault:
                with self.changing:
                    if self.ended or self.greeting or attempt == ATTEMPTS - 1:
                        break
                    self.engine.on_data = lambda guid, data: None
                    self.engine.kill()
                    self.engine = self.new_engine()
                    self.engine.on_data = self._data
            else:
                self.engine.on_death = self._death
                self.engine.opened()
                if not self.engine.dead:
                    return
                break
        self._death()

    def _death(self) -> None:
        self.output.abort()
        for output in list(self.commands.values()):
            output.abort()

    def _data(self, guid: str, data: bytes) -> None:
        if guid == ZERO:
            if len(data) >= 29 and data[16] == 3:  # a whole message in one fragment
                self.greeting.setdefault(struct.unpack_from("<I", data, 25)[0], data)
            self.output.put("stdout", data)
            return
        output = self.commands.get(guid)
        if output is None:
            return
        ended = self.ends[guid].seen_in(data)
        output.put("stdout", data)
        if ended:
            output.finish()
            # as a real client does on Completed: without it the session's own Close would hang
            threading.Thread(target=self._close_command, args=(guid,), daemon=True).start()

    def _close_command(self, guid: str) -> None:
        if guid in self.closed or guid not in self.commands:
            return
        answered = self.closed[guid] = threading.Event()
        with contextlib.suppress(WSManFault):
            self.engine.call("Close", guid)
        answered.set()

    def command(self, command_id: str | None, executable: str, arguments: Sequence[str], options: Mapping[str, str]) -> str:
        guid = (command_id or str(uuid.uuid4())).upper()
        self.opener.join(ATTEMPTS * OPENING)
        self.ends[guid] = PipelineEnd()
        self.commands[guid] = Output()
        self.engine.call("Command", guid)
        self.engine.call("Data", guid, base64.b64decode(arguments[0]))
        return guid

    def send(self, command_id: str | None, stream: str, data: bytes, end: bool) -> None:
        if command_id:
            self.find(command_id)
        self.engine.call("Data", command_id or ZERO, data, "PromptResponse" if stream == "pr" else "Default")

    def signal(self, command_id: str, code: str) -> None:
        output, guid = self.find(command_id), command_id.upper()
        if code.lower().endswith("terminate"):
            self._close_command(guid)
            self.commands.pop(guid, None)
            return
        # powershell/signal/crtl_c: the ack comes once the pipeline has stopped
        self.engine.call("Signal", guid)
        output.finish()
        self._close_command(guid)

    def delete(self) -> None:
        with self.changing:
            self.ended = True
        still = [guid for guid in self.commands if guid not in self.closed]
        for answered in list(self.closed.values()):
            answered.wait(5)  # the engine ends itself if a command is closed after its session
        self._death()
        if self.engine.dead:
            self.engine.kill()  # what its scripts started may still run
        elif self.keep and self.engine.end_session(still):
            self.keep(self.engine)
        else:
            self.engine.close(still)

    def kill(self) -> None:
        with self.changing:
            self.ended = True
        self.engine.kill()
