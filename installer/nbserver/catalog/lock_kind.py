"""The kinds of hosts that need different locks: a system, a processor, and a Python."""

from __future__ import annotations

from dataclasses import dataclass

from nbserver.catalog.lock_conditions import LINUX_PYTHONS

_SYSTEMS = {"windows": "Windows", "linux": "Linux"}


@dataclass(frozen=True, order=True)
class LockKind:
    """`python` is a branch such as "3.13". It is empty for Linux hosts whose Python is not known: their lock fits all that they may have."""

    system: str
    architecture: str
    python: str

    @classmethod
    def of(cls, system: str, architecture: str, version: str | None) -> LockKind:
        """Return the kind of a host. `version` is the version of its Python, or a prefix of it."""
        branch = ".".join((version or "").split(".")[:2])
        return cls(system, architecture, branch if "." in branch else "")

    @property
    def file_name(self) -> str:
        return f"{self.system}-{self.architecture}{f'-python{self.python}' if self.python else ''}.txt"

    @property
    def pythons(self) -> tuple[str, ...]:
        return (self.python,) if self.python else LINUX_PYTHONS

    @property
    def system_has_any_python(self) -> bool:
        """Return whether the shipped lock for the system is for all versions of Python: that of Linux hosts is."""
        return bool({"linux"} & {self.system})

    def __str__(self) -> str:
        pythons = self.python or f"{LINUX_PYTHONS[0]} to {LINUX_PYTHONS[-1]}"
        return f"{_SYSTEMS[self.system]} {self.architecture}, Python {pythons}"

    def for_python(self, python: str) -> LockKind:
        return LockKind(self.system, self.architecture, python)
