"""The errors that users see: what failed, where, and what to do. No message contains a secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, Self

from nbserver.base.message import Described, Given, Portable, checked, fill
from nbserver.base.plain_text import clean

LONGEST = 4000  # maximum length of each part of a message


class Wording(Protocol):
    """What an error can be made of: a code, two templates, and values."""

    code: str
    template: str
    remedy: str
    values: Mapping[str, Any]


class NbserverError(Described, Portable, Exception):
    """The base class. `code` identifies the text and stays the same in later releases; `values` are the named values in it.

    `template` is what failed and `todo` what to do, with `{name}` for a value. `where` is a file and line, a host or a step.
    A part can contain untrusted text: it is cleaned line by line.
    """

    exit_code = 1
    after_run = False  # whether scripts have run, or may still be running, on hosts

    def __init__(self, code: str, template: str, /, *, where: str = "", todo: str = "", **values: Given) -> None:
        self.code, self.template, self.remedy = code, template, todo
        self.values = checked(code, (template, todo), values)
        self._set(fill(template, self.values), where, fill(todo, self.values))

    @classmethod
    def of(cls, other: Wording, **places: str) -> Self:
        """Return an error of this class with the code and text of another one. `places` are `where` and `host`."""
        return cls(other.code, other.template, todo=other.remedy, **places, **other.values)

    def _set(self, what: str, where: str, todo: str) -> None:
        what, where, todo = map(_clean_lines, (what, where, todo))
        super().__init__(what)
        self.what = what.rstrip(". \n")
        self.where = where
        self.todo = todo.rstrip(". \n")

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        todo = f". {self.todo}" if self.todo else ""
        return f"{where}{self.what}{todo}"


def _clean_lines(text: str) -> str:
    return "\n".join(clean(line, LONGEST) for line in text.split("\n"))


class UsageError(NbserverError):
    """The command line requests something that does not exist or is not valid."""

    exit_code = 2


class Interrupted(NbserverError):
    """Ctrl-C before a run began, or in a command without a run. The code is 128 + SIGINT, as shells report it."""

    exit_code = 130


class Abandoned(NbserverError):
    """A second Ctrl-C: nbserver exits without waiting for the hosts."""

    exit_code = 3
    after_run = True


class InventoryError(NbserverError):
    """The inventory, or a file that it refers to, is not valid."""

    exit_code = 2


class SecretError(NbserverError):
    """A secret that the inventory refers to is not available."""

    exit_code = 2


class CatalogError(NbserverError):
    """The catalog is not valid or has no usable entry."""

    exit_code = 2


class DownloadError(NbserverError):
    """A publisher's index could not be downloaded, or cannot be trusted. `where` is its URL."""

    exit_code = 3


class ClusterError(NbserverError):
    """The Dask cluster that should run the hosts could not be reached, or cannot run them."""

    exit_code = 3


class OutputError(NbserverError):
    """The result of a command that only writes a result could not be written."""

    exit_code = 3


class HostError(NbserverError):
    """One host failed; the others continue. `host` is its name in the inventory. The message is always a single line."""

    exit_code = 3
    one_line = True

    def __init__(self, code: str, template: str, /, *, host: str, where: str = "", todo: str = "", **values: Given) -> None:
        self.host = host
        super().__init__(code, template, where=where, todo=todo, **values)

    def _set(self, what: str, where: str, todo: str) -> None:
        super()._set(clean(what, LONGEST) if self.one_line else what, clean(where or self.host), clean(todo, LONGEST))


class ConnectError(HostError):
    """There is no connection: unknown name, closed port, proxy, timeout, or lost connection."""


class AuthenticationError(HostError):
    """The host responded, but rejected the user."""


class CertificateError(HostError):
    """The server showed an unexpected certificate."""


class HostKeyError(HostError):
    """The SSH host key is unknown or unexpected."""


class ScriptError(HostError):
    """The script could not be run, failed, or violated its protocol."""


class StreamError(ScriptError):
    """The output of a host is not valid output of a script, too large, or too late. It is not read any further."""


class JournalError(HostError):
    """The output of a host could not be stored on the workstation."""


class VerifyError(HostError):
    """The notebook server failed a check of what a browser needs. The traceback of a kernel keeps its lines."""

    one_line = False


class ApprovalError(NbserverError):
    """A script is not approved, or evidence does not match."""

    exit_code = 5
