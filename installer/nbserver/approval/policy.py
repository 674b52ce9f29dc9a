"""What a site demands before a script may be sent: its site file, a further file that can only be stricter, and the options of a run.

This stops mistakes, not an operator with administrator rights on the workstation.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from nbserver.approval import allowed_signers
from nbserver.approval.allowed_signers import AllowedSigners
from nbserver.base import plain_file, user_folders
from nbserver.base.errors import ApprovalError
from nbserver.base.message import Described, message
from nbserver.settings import write_access
from nbserver.settings.faults import faults, in_file
from nbserver.settings.toml_lines import parse
from nbserver.settings.types import FilePath, Settings

VARIABLE = "NBSERVER_SITE"
LIMIT = 100_000  # bytes of a site file


class SiteSettings(Settings):
    """The keys of a site file."""

    require_approval: bool = Field(default=False, title="Whether every run needs a signed approval", description="true or false")
    allowed_signers: FilePath | None = Field(
        default=None, title="Who may approve", description="the path of a file of allowed signers, relative to the site file"
    )
    approvals: int = Field(
        default=1, ge=1, le=9, title="How many people must approve, each with a different key", description="a whole number from 1 to 9"
    )


@dataclass(frozen=True)
class Policy:
    """The rules of all files and options together: each can only make them stricter.

    `signers` are files that must all allow a signer. `where` names the file that requires approval, for messages.
    """

    required: bool = False
    signers: tuple[Path, ...] = ()
    approvals: int = 1
    where: str = ""

    def stricter(self, other: Policy) -> Policy:
        """Return the rules of both."""
        return Policy(
            self.required or other.required,
            tuple(dict.fromkeys((*self.signers, *other.signers))),
            max(self.approvals, other.approvals),
            self.where or other.where,
        )

    def allowed(self) -> Sequence[AllowedSigners]:
        """Read the files of allowed signers. Raises ApprovalError if no file is named, or if other users may write to one."""
        if not self.signers:
            raise ApprovalError(
                "no-allowed-signers",
                "a signed approval is required, but no allowed signers file is set",
                where=self.where,
                todo="Set allowed_signers in the site file, or add --allowed-signers FILE",
            )
        return [_signers(path) for path in self.signers]


def site_file() -> Path:
    """Return the path of the site file that always counts."""
    if sys.platform == "win32":
        return user_folders.program_data() / "nbserver" / "site.toml"
    return Path("/etc/nbserver/site.toml")


def load(further: Path | None = None) -> Policy:
    """Return the rules of the site: its own file, that of the variable, and `further`. Raises ApprovalError."""
    own = site_file()
    policy = _read(own, administrators_only=True) if _exists(own) else Policy()
    named = os.environ.get(VARIABLE)
    for path in (Path(named) if named else None, further):
        if path is not None:
            policy = policy.stricter(_read(path, administrators_only=False))
    return policy


def _exists(path: Path) -> bool:
    """Return whether the file may exist. A folder that cannot be searched may hide one, and a file that cannot be read counts."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _read(path: Path, *, administrators_only: bool) -> Policy:
    path = Path(os.path.abspath(path))  # noqa: PTH100 (a link stays a link)
    data = plain_file.read(
        path, LIMIT, advice=message("site-file-expected", "Make sure that the site file is a regular file that you can read")
    )
    _require_unwritable(path, administrators_only)
    file = parse(data, ApprovalError, name=plain_file.shown(path))
    found: list[tuple[int, Described]] = [
        (file.line(key), reason) for key, reason in faults(file.values, SiteSettings, {"folder": path.parent}, missing=True)
    ]
    if found:
        found.sort(key=lambda fault: fault[0])
        raise ApprovalError(
            "site-file-invalid",
            "the site file is not valid: {faults}",
            where=f"{file.name}:{found[0][0]}",
            faults=in_file(file.name, found),
        )
    read = SiteSettings.model_validate(file.values, context={"folder": path.parent})
    signers = (read.allowed_signers,) if read.allowed_signers else ()
    return Policy(read.require_approval, signers, read.approvals, plain_file.shown(path) if read.require_approval else "")


def _signers(path: Path) -> AllowedSigners:
    found = allowed_signers.read(path)
    _require_unwritable(path, administrators_only=False)
    return found


def _require_unwritable(path: Path, administrators_only: bool) -> None:
    try:
        who = write_access.others(path, administrators_only=administrators_only)
    except OSError as reason:
        raise ApprovalError(
            "trusted-file-permissions",
            "could not read the permissions of this file and its folder ({reason})",
            where=plain_file.shown(path),
            todo="Check that the file exists and that you can read it",
            reason=reason.strerror or type(reason).__name__,
        ) from None
    if who and administrators_only:
        raise ApprovalError(
            "site-file-writable",
            "only administrators may write to this file and its folder, but {who} can",
            where=plain_file.shown(path),
            todo="Make an administrator the owner of both, and remove write access for everyone else",
            who=who,
        )
    if who:
        raise ApprovalError(
            "trusted-file-writable",
            "{who} can write to this file or its folder",
            where=plain_file.shown(path),
            todo="Make your account or an administrator the owner of both, and remove write access for everyone else",
            who=who,
        )
