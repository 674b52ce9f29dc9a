"""Verify a notebook server from this machine, or from a worker of a cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nbserver.base.errors import HostError
from nbserver.verify import checks
from nbserver.verify.way import way_to_notebook

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost
    from nbserver.run.cluster.cluster import Cluster
    from nbserver.run.cluster.worker_session import WorkerSession
    from nbserver.transports.transport import LogonSecrets
    from nbserver.verify.checks import Verification

Say = Callable[[str, str], None]


@dataclass(frozen=True)
class VerifyCall:
    """What the verification of one host depends on. `hops` are the secrets of jump hosts; the others are those of `checks.verify`."""

    host: AnyHost
    password: str = field(repr=False)
    fingerprint: str | None
    hops: tuple[LogonSecrets, ...] = field(repr=False)
    wait: float

    def execute(self, say: Say, pictures: Path | None = None, drawn: Callable[[bytes], None] = lambda png: None) -> Verification:
        """Verify the server from this machine. Raises HostError, and UsageError for an invalid URL."""
        with way_to_notebook(self.host, self.hops) as dial:
            return checks.verify(
                self.host,
                password=self.password,
                fingerprint=self.fingerprint,
                png_directory=pictures,
                dial=dial,
                on_step=say,
                wait=self.wait,
                drawn=drawn,
            )

    def perform(self, session: WorkerSession) -> tuple[Verification, bytes] | HostError:
        """Return the result and the picture, or why the server failed. This is on a worker."""
        pictures: list[bytes] = []
        try:
            found = self.execute(lambda name, text: session.say("step", (name, text)), drawn=pictures.append)
        except HostError as error:
            return error
        return found, pictures[0]


def verify_on_worker(
    cluster: Cluster, place: str | None, call: VerifyCall, say: Say, pictures: Path | None, stop: threading.Event
) -> Verification:
    """Return what a worker has verified, and keep its picture here. Raises HostError, and StopRequested if `stop` is set."""
    from nbserver.run.cluster.errand import Errand
    from nbserver.run.cluster.parcel import Parcel

    def heard(kind: str, value: Any) -> None:
        if kind == "step":
            say(*value)

    errand = Errand(cluster, call.host.name, place, lambda worker, is_first: Parcel(call), heard, lambda text: None)
    result = errand.run(stop, waits=False)
    if isinstance(result, HostError):
        raise result
    found: Verification = result[0]
    return replace(found, png=checks.keep_picture(call.host.name, result[1], pictures)[1])
