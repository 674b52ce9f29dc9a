"""The questions of `nbserver init`, on a terminal."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal, Protocol, cast

from nbserver.base.message import Described, Phrase, phrase
from nbserver.inventory.names import LOCAL, name_fault
from nbserver.inventory.new_inventory import NewHost
from nbserver.inventory.ssh_server import user_name as linux_user
from nbserver.inventory.windows_host import user_name as windows_user
from nbserver.settings.host_name import host_name
from nbserver.settings.refusal import reason_of

SYSTEMS = ("windows", "linux", LOCAL)


class Dialog(Protocol):
    """A conversation with a person."""

    def ask(self, question: str, default: str) -> str:
        """Return the answer, or the default if the answer is empty."""
        ...

    def tell(self, text: str) -> None:
        """Show a line."""
        ...

    def is_same(self, host: str, fingerprint: str) -> bool:
        """Return whether the person confirms that the host itself printed this fingerprint."""
        ...


def ask_for_hosts(dialog: Dialog) -> list[NewHost]:
    """Return the hosts that the person names, at least one."""
    hosts: list[NewHost] = []
    dialog.tell(phrase("Which hosts does nbserver set up? This writes an inventory, and contacts no host without asking."))
    while True:
        more = "" if hosts else "windows"
        first = phrase("System of the first host: windows, linux, or local (default: windows):")
        following = phrase("System of the next host: windows, linux, or local (leave empty to finish):")
        system = _answer(dialog, following if hosts else first, more, _system)
        if not system:
            return hosts
        if system == LOCAL:
            if all(host.is_remote for host in hosts):
                hosts.append(NewHost("local", LOCAL))
            continue
        taken = {host.name.lower() for host in hosts}
        name = _answer(dialog, phrase("Name of the host, for you and nbserver, such as web1:"), "", partial(check_name, taken=taken))
        question = phrase("Address of {name}, a DNS name or an IP address (default: {name}):", name=name)
        address = _answer(dialog, question, name, host_name)
        kind = cast(Literal["windows", "linux"], system)
        hosts.append(NewHost(kind, name, address, _ask_for_user(dialog, kind, name)))


def _ask_for_user(dialog: Dialog, system: Literal["windows", "linux"], name: str) -> str | None:
    if system == "linux":
        question = phrase("User who logs in to {name} over SSH, root or one who may use sudo (default: root):", name=name)
        return _answer(dialog, question, "root", linux_user)
    question = phrase(
        "Administrator who logs on to {name}, such as {example} (leave empty to use your Windows logon):",
        name=name,
        example=f"{name.upper()}\\anna",
    )
    return _answer(dialog, question, "", lambda text: windows_user(text) if text else text) or None


def check_name(text: str, taken: set[str]) -> str:
    """Return the name of a host. Raises ValueError."""
    fault = name_fault(text)
    if fault:
        raise ValueError(fault)
    if text.lower() in taken:
        raise ValueError(phrase("this name is already used"))
    return text


def _system(text: str) -> str:
    if text and text.lower() not in SYSTEMS:
        raise ValueError(phrase("must be windows, linux, or local"))
    return text.lower()


def _answer(dialog: Dialog, question: str, default: str, check: Callable[[str], str]) -> str:
    while True:
        try:
            return check(dialog.ask(question, default).strip())
        except ValueError as error:
            dialog.tell(phrase("  {reason}", reason=_reason(error)))


def _reason(error: ValueError) -> Described | str:
    """Return why an answer is not valid: what the check raised, or its text."""
    given = error.args[0] if error.args else ""
    return given if isinstance(given, Described | Phrase) else error if isinstance(error, Described) else reason_of(error)
