"""SOAP envelopes and PSRP fragments as WinRM writes them."""

from __future__ import annotations

import re
import struct
import uuid
from xml.sax.saxutils import escape

from tests.boxes.winrm.wsman_fault import WSManFault

NS = {
    "s": "http://www.w3.org/2003/05/soap-envelope",
    "a": "http://schemas.xmlsoap.org/ws/2004/08/addressing",
    "w": "http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd",
    "p": "http://schemas.microsoft.com/wbem/wsman/1/wsman.xsd",
    "rsp": "http://schemas.microsoft.com/wbem/wsman/1/windows/shell",
    "x": "http://schemas.xmlsoap.org/ws/2004/09/transfer",
    "n": "http://schemas.xmlsoap.org/ws/2004/09/enumeration",
    "f": "http://schemas.microsoft.com/wbem/wsman/1/wsmanfault",
    "ps": "http://schemas.microsoft.com/powershell",
    "cfg": "http://schemas.microsoft.com/wbem/wsman/1/config",
    "wsmid": "http://schemas.dmtf.org/wbem/wsman/identify/1/wsmanidentity.xsd",
}
RARE = ("f", "cfg", "wsmid", "n")  # declared only where they are used, "ps" never
FAULT_ACTION = "http://schemas.dmtf.org/wbem/wsman/1/wsman/fault"
ANONYMOUS = "http://schemas.xmlsoap.org/ws/2004/08/addressing/role/anonymous"
XMLNS = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NS.items() if prefix not in (*RARE, "ps"))


def envelope(head: str, body: str) -> bytes:
    extra = "".join(f' xmlns:{prefix}="{NS[prefix]}"' for prefix in RARE if f"<{prefix}:" in body)
    return (f'<s:Envelope xml:lang="en-US" {XMLNS}{extra}><s:Header>{head}</s:Header><s:Body>{body}</s:Body></s:Envelope>').encode()


def answer_header(action: str, relates_to: str) -> str:
    """RelatesTo must be the request's MessageID: pypsrp and pywinrm both check it."""
    return (
        f"<a:Action>{action}</a:Action><a:MessageID>uuid:{str(uuid.uuid4()).upper()}</a:MessageID>"
        f"<a:To>{ANONYMOUS}</a:To><a:RelatesTo>{escape(relates_to)}</a:RelatesTo>"
    )


def fault_body(fault: WSManFault) -> str:
    text = escape(fault.text)
    return (
        f"<s:Fault><s:Code><s:Value>{fault.value}</s:Value>"
        f"<s:Subcode><s:Value>{fault.subcode}</s:Value></s:Subcode></s:Code>"
        f'<s:Reason><s:Text xml:lang="en-US">{text}</s:Text></s:Reason>'
        f'<s:Detail><f:WSManFault Code="{fault.code}" Machine="127.0.0.1"><f:Message>{text}</f:Message>'
        "</f:WSManFault></s:Detail></s:Fault>"
    )


def seconds(duration: str, default: float) -> float:
    """An xs:duration without years and months, in seconds; `default` for what is none."""
    match = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?", duration)
    if not match:
        return default
    days, hours, minutes, rest = (float(group or 0) for group in match.groups())
    return days * 86400 + hours * 3600 + minutes * 60 + rest


def psrp_fragment(kind: int, pool: str, clixml: str) -> bytes:
    """One PSRP message to the client, in one fragment ([MS-PSRP] 2.2.1, 2.2.4)."""
    blob = struct.pack("<II", 1, kind) + uuid.UUID(pool).bytes_le + bytes(16) + b"\xef\xbb\xbf" + clixml.encode()
    return struct.pack(">QQBI", 1 << 40, 0, 3, len(blob)) + blob
