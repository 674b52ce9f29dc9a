"""What downloads report while they run. They call it from several threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from typing import Self

    from nbserver.bundle.contents import File


class Progress(Protocol):
    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def began(self, file: File) -> None:
        """A download has begun."""

    def received(self, file: File, done: int, total: int | None) -> None:
        """`done` bytes of the file are there. `total` is its size, if it is known."""

    def waits(self, file: File, reason: str, seconds: float) -> None:
        """The download failed for a reason that may pass, and begins again after a pause."""

    def ended(self, file: File, *, stored: bool) -> None:
        """The file is in the bundle, or could not be downloaded."""


class Silent:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def began(self, file: File) -> None: ...

    def received(self, file: File, done: int, total: int | None) -> None: ...

    def waits(self, file: File, reason: str, seconds: float) -> None: ...

    def ended(self, file: File, *, stored: bool) -> None: ...
