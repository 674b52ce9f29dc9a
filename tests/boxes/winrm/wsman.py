"""WSMan's operations on shells: SOAP request in, SOAP answer out. HTTP and authentication have happened before."""

from __future__ import annotations

import base64
import collections
import threading
import time
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from tests.boxes.winrm.faults import Faults
from tests.boxes.winrm.ps_shell import PSShell
from tests.boxes.winrm.shell import Shell
from tests.boxes.winrm.soap import FAULT_ACTION, NS, answer_header, envelope, fault_body, psrp_fragment, seconds
from tests.boxes.winrm.wsman_fault import WSManFault, action_not_supported, invalid_resource, shell_not_found, too_many_shells

SHELL = NS["rsp"]
CMD_URI = SHELL + "/cmd"
PS_URI = "http://schemas.microsoft.com/powershell/"
REPLAYED_ANSWERS = 16
IDENTITY = (
    "<wsmid:IdentifyResponse><wsmid:ProtocolVersion>http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd"
    "</wsmid:ProtocolVersion><wsmid:ProductVendor>Microsoft Corporation</wsmid:ProductVendor>"
    "<wsmid:ProductVersion>OS: 10.0.17763 SP: 0.0 Stack: 3.0</wsmid:ProductVersion></wsmid:IdentifyResponse>"
)
SESSION_CAPABILITY, RUNSPACEPOOL_INIT_DATA = 0x00010002, 0x0002100B
APPLICATION_PRIVATE_DATA, RUNSPACEPOOL_STATE = 0x00021009, 0x00021005


@dataclass(frozen=True)
class Request:
    """What an operation needs of a request. `timeout` in seconds, `limit` of the answer in bytes."""

    uri: str
    body: ET.Element
    selectors: Mapping[str, str]
    options: Mapping[str, str]
    timeout: float
    limit: int
    alive: Callable[[], bool]  # whether the client still waits

    def node(self, path: str) -> ET.Element:
        found = self.body.find(path, NS)
        if found is None:
            raise WSManFault(2150858752, f"The request has no {path}. ", "w:SchemaValidationError", "s:Sender")
        return found


class WSMan:
    """`new_ps_shell(id, uri, creation)` and `new_cmd_shell(id, uri, environment, directory)` make shells.

    The answer to Delete waits `delete_patience` seconds for the shell's end.
    """

    def __init__(
        self,
        *,
        faults: Faults,
        new_ps_shell: Callable[[str, str, bytes], Shell],
        new_cmd_shell: Callable[[str, str, dict[str, str], str], Shell],
        owner: str,
        max_envelope: int,
        max_shells: int,
        delete_patience: float = 0,
    ) -> None:
        self.faults, self.owner = faults, owner
        self.new_ps_shell, self.new_cmd_shell = new_ps_shell, new_cmd_shell
        self.max_envelope, self.max_shells, self.delete_patience = max_envelope, max_shells, delete_patience
        self.shells: dict[str, Shell] = {}
        self.lock = threading.RLock()
        self.stats: collections.Counter[str] = collections.Counter()
        self.replay: collections.OrderedDict[str, bytes] = collections.OrderedDict()  # MessageID -> Receive's answer
        self.operations: dict[str, Callable[[Request], str]] = {
            "Create": self.create,
            "Command": self.command,
            "Send": self.send,
            "Receive": self.receive,
            "Signal": self.signal,
            "Delete": self.delete,
            "Get": self.get,
            "Disconnect": self.disconnect,
            "Reconnect": self.reconnect,
            "Connect": self.connect,
            "Enumerate": self.enumerate,
        }

    def handle(self, xml: bytes, alive: Callable[[], bool]) -> tuple[int, bytes]:
        """Answers one request: HTTP status and body."""
        try:
            root = ET.fromstring(xml)
        except ET.ParseError as error:
            return 400, b"bad XML: " + str(error).encode()
        if root.find("s:Body/wsmid:Identify", NS) is not None:
            self.stats["Identify"] += 1
            return 200, envelope("", IDENTITY)
        head, body = root.find("s:Header", NS), root.find("s:Body", NS)
        if head is None or body is None:
            return 400, b"no SOAP envelope"

        def text(path: str) -> str:
            return (head.findtext(path, "", NS) or "").strip()

        def named(path: str) -> dict[str, str]:
            return {element.get("Name", ""): element.text or "" for element in head.findall(path, NS)}

        action, message_id = text("a:Action"), text("a:MessageID")
        name = action.rsplit("/", 1)[-1]
        self.stats[name] += 1
        try:
            if message_id in self.replay:  # the same message again: the same answer, as Windows does
                self.stats["replayed"] += 1
                return 200, self.replay[message_id]
            operation = self.operations.get(name)
            if operation is None:
                raise action_not_supported(action)
            request = Request(
                uri=text("w:ResourceURI"),
                body=body,
                selectors=named("w:SelectorSet/w:Selector"),
                options=named("w:OptionSet/w:Option"),
                timeout=seconds(text("w:OperationTimeout"), 60.0),
                limit=min(int(text("w:MaxEnvelopeSize") or 153600), self.max_envelope),
                alive=alive,
            )
            answer = envelope(answer_header(action + "Response", message_id), operation(request))
            if name == "Receive":
                self.replay[message_id] = answer
                while len(self.replay) > REPLAYED_ANSWERS:
                    self.replay.popitem(last=False)
            return 200, answer
        except WSManFault as fault:
            self.stats[f"fault {fault.code}"] += 1
            return 500, envelope(answer_header(FAULT_ACTION, message_id), fault_body(fault))

    def shell(self, selectors: Mapping[str, str]) -> Shell:
        shell_id = selectors.get("ShellId", "")
        shell = self.shells.get(shell_id.upper())
        if shell is None:
            raise shell_not_found(shell_id)
        return shell

    def describe(self, shell: Shell) -> str:
        return (
            f"<rsp:Shell><rsp:ShellId>{shell.id}</rsp:ShellId><rsp:ResourceUri>{shell.uri}</rsp:ResourceUri>"
            f"<rsp:Owner>{escape(self.owner)}</rsp:Owner><rsp:ClientIP>127.0.0.1</rsp:ClientIP>"
            f"<rsp:IdleTimeOut>PT7200.000S</rsp:IdleTimeOut><rsp:InputStreams>{shell.input_streams}</rsp:InputStreams>"
            f"<rsp:OutputStreams>{shell.output_streams}</rsp:OutputStreams><rsp:State>Connected</rsp:State>"
            f"<rsp:ShellRunTime>P0DT0H0M{int(time.time() - shell.born)}S</rsp:ShellRunTime>"
            "<rsp:ShellInactivity>P0DT0H0M0S</rsp:ShellInactivity></rsp:Shell>"
        )

    # -- the operations

    def create(self, request: Request) -> str:
        node = request.node("rsp:Shell")
        shell_id = (node.get("ShellId") or str(uuid.uuid4())).upper()
        if len(self.shells) >= self.max_shells:
            raise too_many_shells()
        if request.uri.startswith(PS_URI):
            creation = base64.b64decode(node.findtext("ps:creationXml", "", NS))
            shell = self.new_ps_shell(shell_id, request.uri, creation)
        elif request.uri == CMD_URI:
            variables = node.findall("rsp:Environment/rsp:Variable", NS)
            environment = {variable.get("Name", ""): variable.text or "" for variable in variables}
            directory = node.findtext("rsp:WorkingDirectory", "", NS)
            shell = self.new_cmd_shell(shell_id, request.uri, environment, directory)
        else:
            raise invalid_resource(request.uri)
        with self.lock:
            self.shells[shell_id] = shell
        return (
            f"<x:ResourceCreated><a:Address>{NS['a']}/role/anonymous</a:Address><a:ReferenceParameters>"
            f'<w:ResourceURI>{request.uri}</w:ResourceURI><w:SelectorSet><w:Selector Name="ShellId">{shell_id}'
            f"</w:Selector></w:SelectorSet></a:ReferenceParameters></x:ResourceCreated>{self.describe(shell)}"
        )

    def command(self, request: Request) -> str:
        node = request.node("rsp:CommandLine")
        arguments = [element.text or "" for element in node.findall("rsp:Arguments", NS)]
        executable = node.findtext("rsp:Command", "", NS)
        command_id = self.shell(request.selectors).command(node.get("CommandId"), executable, arguments, request.options)
        return f"<rsp:CommandResponse><rsp:CommandId>{command_id}</rsp:CommandId></rsp:CommandResponse>"

    def send(self, request: Request) -> str:
        shell = self.shell(request.selectors)
        for node in request.body.findall("rsp:Send/rsp:Stream", NS):
            end = node.get("End", "").lower() == "true"
            shell.send(node.get("CommandId"), node.get("Name", ""), base64.b64decode(node.text or ""), end)
        return "<rsp:SendResponse/>"

    def receive(self, request: Request) -> str:
        shell = self.shell(request.selectors)
        command_id = request.node("rsp:Receive/rsp:DesiredStream").get("CommandId")
        output = shell.find(command_id) if command_id else shell.output
        room = max(4096, (request.limit - 4000) // 4 * 3)  # what base64 leaves of the envelope
        chunks, done = output.take(room, time.monotonic() + request.timeout, request.alive)
        self.faults.answered_receive()
        which = f" CommandId={quoteattr(command_id)}" if command_id else ""
        parts = [f'<rsp:Stream Name="{name}"{which}>{base64.b64encode(data).decode()}</rsp:Stream>' for name, data in chunks]
        if command_id and not done:
            parts.append(f'<rsp:CommandState{which} State="{SHELL}/CommandState/Running"/>')
        elif command_id:
            if shell.kind == "cmd":
                parts += [f'<rsp:Stream Name="{name}"{which} End="true"></rsp:Stream>' for name in ("stdout", "stderr")]
            code = "" if output.exit_code is None else f"<rsp:ExitCode>{output.exit_code}</rsp:ExitCode>"
            parts.append(f'<rsp:CommandState{which} State="{SHELL}/CommandState/Done">{code}</rsp:CommandState>')
        return f"<rsp:ReceiveResponse>{''.join(parts)}</rsp:ReceiveResponse>"

    def signal(self, request: Request) -> str:
        node = request.node("rsp:Signal")
        self.shell(request.selectors).signal(node.get("CommandId", ""), node.findtext("rsp:Code", "", NS))
        return "<rsp:SignalResponse/>"

    def delete(self, request: Request) -> str:
        shell = self.shell(request.selectors)
        with self.lock:
            self.shells.pop(shell.id.upper(), None)
        ending = threading.Thread(target=shell.delete, daemon=True)
        ending.start()
        ending.join(self.delete_patience)
        return ""

    def get(self, request: Request) -> str:
        if request.uri == SHELL:  # RunspacePool.is_alive
            return self.describe(self.shell(request.selectors))
        if request.uri == NS["cfg"]:  # WSMan.update_max_payload_size
            kib = self.max_envelope // 1024
            return f"<cfg:Config><cfg:MaxEnvelopeSizekb>{kib}</cfg:MaxEnvelopeSizekb></cfg:Config>"
        raise invalid_resource(request.uri)

    def disconnect(self, request: Request) -> str:
        """The output simply waits in its queues."""
        self.shell(request.selectors)
        return "<rsp:DisconnectResponse/>"

    def reconnect(self, request: Request) -> str:
        self.shell(request.selectors)
        return "<rsp:ReconnectResponse/>"

    def connect(self, request: Request) -> str:
        """By a client that did not create the shell, as after its own crash.

        The answer carries what `pwsh -s` said when the pool opened, and a RUNSPACEPOOL_INIT_DATA of our own making; what
        follows comes from a Receive on the shell.
        """
        shell = self.shell(request.selectors)
        command_id = request.node("rsp:Connect").get("CommandId")
        if command_id:
            shell.find(command_id)
            return "<rsp:ConnectResponse/>"
        if not isinstance(shell, PSShell):
            raise invalid_resource(request.uri)
        pool = '<Obj RefId="0"><MS><I32 N="MinRunspaces">1</I32><I32 N="MaxRunspaces">1</I32></MS></Obj>'
        answer = shell.greeting.get(SESSION_CAPABILITY, b"") + psrp_fragment(RUNSPACEPOOL_INIT_DATA, shell.id, pool)
        for kind in (APPLICATION_PRIVATE_DATA, RUNSPACEPOOL_STATE):
            if kind in shell.greeting:
                shell.output.put("stdout", shell.greeting[kind])
        return (
            f'<rsp:ConnectResponse><connectResponseXml xmlns="{NS["ps"]}">{base64.b64encode(answer).decode()}'
            "</connectResponseXml></rsp:ConnectResponse>"
        )

    def enumerate(self, request: Request) -> str:
        if request.uri == SHELL:
            items = "".join(self.describe(shell) for shell in list(self.shells.values()) if shell.kind == "ps")
        elif request.uri == SHELL + "/Command":
            shell = self.shell({"ShellId": request.body.findtext(".//w:Selector[@Name='ShellId']", "", NS)})
            items = "".join(
                f"<rsp:Command><rsp:ShellId>{shell.id}</rsp:ShellId><rsp:CommandId>{command}</rsp:CommandId></rsp:Command>"
                for command in list(shell.commands)
            )
        else:
            raise invalid_resource(request.uri)
        return f"<n:EnumerateResponse><n:EnumerationContext/><w:Items>{items}</w:Items><w:EndOfSequence/></n:EnumerateResponse>"
