"""Refuse hosts that a tool is not for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from nbserver.base.errors import UsageError
from nbserver.export.exported import Exported
from nbserver.inventory.by_kind import ByKind

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost
    from nbserver.render.script import Script

For = Callable[[Any, "Script"], Iterable[Exported]]
"""What a tool gets for one host of a kind."""


def by_system(tool: str, *, windows: For | None = None, linux: For | None = None) -> ByKind[[Script], Iterable[Exported]]:
    """Return the export for each kind of host. This machine is refused, and so are hosts of a system that has no export."""
    refused = _refused(tool)
    return ByKind(windows=windows or refused, linux=linux or refused, local_windows=refused, local_linux=refused)


def _refused(tool: str) -> Callable[[AnyHost, Script], NoReturn]:
    def refuse(host: AnyHost, script: Script) -> NoReturn:
        raise UsageError(
            "export-not-for-host",
            "nbserver export {tool} does not support this kind of host ({kind})",
            where=host.name,
            todo="Run the command again without this host",
            tool=tool,
            kind=host.kind,
        )

    return refuse
