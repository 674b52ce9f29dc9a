"""The channel between workstation and worker: what the scheduler passes on can be neither read, changed, repeated, nor left out."""

from __future__ import annotations

import copy
import pickle

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from nbserver.run.cluster.channel import Channel, ChannelError, about
from nbserver.run.cluster.parcel import Parcel, content, opened

SECRET = "correct horse battery"


def ends(here: bytes = b"run", there: bytes = b"run") -> tuple[Channel, Channel]:
    workstation, worker = X25519PrivateKey.generate(), X25519PrivateKey.generate()
    return (
        Channel(workstation, worker.public_key().public_bytes_raw(), here, is_worker=False),
        Channel(worker, workstation.public_key().public_bytes_raw(), there, is_worker=True),
    )


def test_messages_arrive_in_both_directions() -> None:
    workstation, worker = ends()
    for number in range(3):
        assert worker.open(workstation.seal(b"down %d" % number)) == b"down %d" % number
        assert workstation.open(worker.seal(b"up %d" % number)) == b"up %d" % number
    assert SECRET.encode() not in workstation.seal(SECRET.encode())


def test_a_message_that_is_not_the_next_one_is_refused_and_the_next_one_still_counts() -> None:
    workstation, worker = ends()
    first, second = workstation.seal(b"first"), workstation.seal(b"second")
    for wrong in (second, first[:-1], bytes([first[0] ^ 1]) + first[1:], b"", worker.seal(b"first")):
        with pytest.raises(ChannelError):
            worker.open(wrong)
    assert worker.open(first) == b"first"
    with pytest.raises(ChannelError):
        worker.open(first)
    assert worker.open(second) == b"second"


def test_a_channel_is_for_one_run_and_one_worker() -> None:
    workstation, _ = ends()
    _, other = ends()
    with pytest.raises(ChannelError):
        other.open(workstation.seal(b"first"))
    workstation, worker = ends(about(b"ab", b"c"), about(b"a", b"bc"))
    with pytest.raises(ChannelError):
        worker.open(workstation.seal(b"first"))


def test_a_parcel_shows_nothing_and_is_not_pickled() -> None:
    parcel = Parcel({"password": SECRET})
    for shown in (repr(parcel), str(parcel), f"{[parcel]}"):
        assert SECRET not in shown
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="never pickled"):
            copied(parcel)  # type: ignore[operator]
    workstation, worker = ends()
    sealed = parcel.sealed(workstation, b"A")
    assert SECRET.encode() not in sealed
    assert content(opened(worker.open(sealed)[1:])) == {"password": SECRET}
