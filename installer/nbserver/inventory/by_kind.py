"""Dispatch by the kind of a host: one function for each kind. No other module checks the kind of a host.

The models are not imported: a command needs only those of the hosts that it selects.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Concatenate, Generic, ParamSpec, TypeVar

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost, AnyLocal
    from nbserver.inventory.linux_host import LinuxHost
    from nbserver.inventory.local_linux_host import LocalLinuxHost
    from nbserver.inventory.local_windows_host import LocalWindowsHost
    from nbserver.inventory.windows_host import WindowsHost

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class LocalByKind(Generic[P, T]):
    """A function of this machine and further arguments, chosen by its operating system."""

    windows: Callable[Concatenate[LocalWindowsHost, P], T]
    linux: Callable[Concatenate[LocalLinuxHost, P], T]

    def __call__(self, host: AnyLocal, *args: P.args, **kwargs: P.kwargs) -> T:
        function: Callable[..., T] = self.windows if host.kind == "local_windows" else self.linux
        return function(host, *args, **kwargs)


@dataclass(frozen=True)
class ByKind(Generic[P, T]):
    """A function of a host and further arguments, chosen by the kind of the host."""

    windows: Callable[Concatenate[WindowsHost, P], T]
    linux: Callable[Concatenate[LinuxHost, P], T]
    local_windows: Callable[Concatenate[LocalWindowsHost, P], T]
    local_linux: Callable[Concatenate[LocalLinuxHost, P], T]

    def __call__(self, host: AnyHost, *args: P.args, **kwargs: P.kwargs) -> T:
        function: Callable[..., T] = getattr(self, host.kind)
        return function(host, *args, **kwargs)
