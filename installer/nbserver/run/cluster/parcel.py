"""What a worker needs for one host, with its secrets. It shows nothing, and leaves the process only through an encrypted channel."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

if TYPE_CHECKING:
    from nbserver.run.cluster.channel import Channel

T = TypeVar("T")


class Parcel(Generic[T]):
    """Holds a value with secrets."""

    __slots__ = ("_content",)

    def __init__(self, content: T) -> None:
        self._content = content

    def __repr__(self) -> str:
        return "<Parcel>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a parcel has secrets: it is sealed for a channel, and never pickled")

    def sealed(self, channel: Channel, head: bytes = b"") -> bytes:
        """Return the parcel, after `head`, for the other end of the channel, and for nobody else."""
        return channel.seal(head + pickle.dumps(self._content))


def opened(data: bytes) -> Parcel[object]:
    """Return the parcel that a message of a channel has."""
    return Parcel(pickle.loads(data))


def content(parcel: Parcel[T]) -> T:
    """Return what is in a parcel."""
    return parcel._content
