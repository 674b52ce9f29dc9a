"""The SOAP faults that Windows' WinRM service answers with ([MS-WSMV] 2.2.4.43, wsmerror.h)."""

from __future__ import annotations

OPERATION_TIMED_OUT = 2150858793  # 0x80338029
SHELL_NOT_FOUND = 2150858843  # 0x8033805B ERROR_WSMAN_UNEXPECTED_SELECTORS
ABORTED = 995  # ERROR_OPERATION_ABORTED: the shell went away under a pending Receive
INVALID_RESOURCE = 2150858811  # 0x8033803B
ACTION_NOT_SUPPORTED = 2150858753  # 0x80338001
TOO_MANY = 2150859173  # 0x803381A5 ERROR_WSMAN_QUOTA_MAX_SHELLS


class WSManFault(Exception):
    """A request that is answered by HTTP 500 with an s:Fault in it."""

    def __init__(self, code: int, text: str, subcode: str = "w:InternalError", value: str = "s:Receiver") -> None:
        super().__init__(text)
        self.code, self.text, self.subcode, self.value = code, text, subcode, value


def shell_not_found(shell_id: str) -> WSManFault:
    return WSManFault(
        SHELL_NOT_FOUND,
        f"The request for the Windows Remote Shell with ShellId {shell_id} failed because the shell was not found on "
        "the server. Possible causes are: the specified ShellId is incorrect or the shell no longer exists on the "
        "server. Provide the correct ShellId or create a new shell and retry the operation. ",
        "w:InvalidSelectors",
        "s:Sender",
    )


def command_not_found(command_id: str) -> WSManFault:
    return WSManFault(
        SHELL_NOT_FOUND,
        f"The WS-Management service cannot process the request because the command id {command_id} was not found. ",
        "w:InvalidSelectors",
        "s:Sender",
    )


def invalid_resource(uri: str) -> WSManFault:
    return WSManFault(
        INVALID_RESOURCE,
        f"The WS-Management service cannot process the request. The resource URI ({uri}) was not found in the WS-Management catalog. ",
        "w:InvalidResourceURI",
        "s:Sender",
    )


def action_not_supported(action: str) -> WSManFault:
    return WSManFault(
        ACTION_NOT_SUPPORTED,
        f"The WS-Addressing action {action} is not supported. ",
        "a:ActionNotSupported",
        "s:Sender",
    )


def too_many_shells() -> WSManFault:
    return WSManFault(
        TOO_MANY,
        "This user is allowed a maximum number of concurrent shells, which has been exceeded. ",
        "w:QuotaLimit",
    )


def timed_out() -> WSManFault:
    return WSManFault(
        OPERATION_TIMED_OUT,
        "The WS-Management service cannot complete the operation within the time specified in OperationTimeout.  ",
        "w:TimedOut",
    )


def aborted() -> WSManFault:
    return WSManFault(
        ABORTED,
        "The I/O operation has been aborted because of either a thread exit or an application request. ",
    )
