"""The errors a person may see: what happened, where, and what to do next. No message ever holds a secret."""

from __future__ import annotations

from nbserver.base.plain_text import clean

LONGEST = 4000  # characters of each part of a message


class NbserverError(Exception):
    """The root of the tree. `where` is a file and line, a host or a step; `todo` is the next thing to try.

    Each part may repeat text from outside: it is cleaned here, line by line.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        what, where, todo = map(_clean_lines, (what, where, todo))
        super().__init__(what)
        self.what = what.rstrip(". \n")
        self.where = where
        self.todo = todo.rstrip(". \n")

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        todo = f" {self.todo}." if self.todo else ""
        return f"{where}{self.what}.{todo}"


def _clean_lines(text: str) -> str:
    return "\n".join(clean(line, LONGEST) for line in text.split("\n"))


class UsageError(NbserverError):
    """The command line asks for something that does not exist or does not fit."""

    exit_code = 2


class InventoryError(NbserverError):
    """The inventory, or a file that it names, cannot be used as it stands."""

    exit_code = 2


class SecretError(NbserverError):
    """A secret that the inventory refers to cannot be had."""

    exit_code = 2


class CatalogError(NbserverError):
    """The catalog has no entry that may be used."""

    exit_code = 2


class DownloadError(NbserverError):
    """What a publisher offers cannot be had or cannot be trusted. `where` is its URL."""

    exit_code = 3


class HostError(NbserverError):
    """One host failed; the others go on. `host` is its name in the inventory. Its message is one line, whatever is in it."""

    exit_code = 3
    one_line = True

    def __init__(self, what: str, *, host: str, where: str = "", todo: str = "") -> None:
        super().__init__(clean(what, LONGEST) if self.one_line else what, where=clean(where or host), todo=clean(todo, LONGEST))
        self.host = host


class ConnectError(HostError):
    """No connection: unknown name, closed port, proxy, time-out, or a connection that was lost."""


class AuthenticationError(HostError):
    """The host answered, but refused the user."""


class CertificateError(HostError):
    """The certificate shown is not the expected one."""


class HostKeyError(HostError):
    """The SSH host key shown is not known here, or is not the expected one."""


class ScriptError(HostError):
    """The script ran, or should have run, and failed or broke its protocol."""


class StreamError(ScriptError):
    """What a host sends is not what a script says, or it is too much or too late: nothing more of it is taken."""


class JournalError(HostError):
    """What a host says cannot be kept on the workstation."""


class VerifyError(HostError):
    """The notebook server does not do what a browser needs. A kernel's traceback keeps its lines."""

    one_line = False


class ApprovalError(NbserverError):
    """What would run is not what was approved, or evidence does not match."""

    exit_code = 5
