"""Where the runs of hosts are executed: in this process, or on the workers of a Dask cluster."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from nbserver.base.errors import UsageError
from nbserver.run.cluster.options import cluster_options

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost, Inventory
    from nbserver.run.approved import Approved
    from nbserver.run.cluster.cluster import Cluster
    from nbserver.run.host_call import HostCall, Listener
    from nbserver.run.host_job import HostJob
    from nbserver.run.journal import HostJournal
    from nbserver.run.options import Options
    from nbserver.run.result import Result
    from nbserver.run.secret_mask import SecretMask


class Engine(Protocol):
    """Executes the run of one host. `forks` is how many at a time, or None if the workstation decides."""

    forks: int | None

    def execute(self, call: HostCall, journal: HostJournal, stop: threading.Event, shown: Listener) -> Result:
        """Return the result. Raises JournalError if what happened cannot be recorded."""
        ...


class ThisProcess:
    """Executes runs in the calling thread."""

    forks: int | None = None

    def execute(self, call: HostCall, journal: HostJournal, stop: threading.Event, shown: Listener) -> Result:
        """Return the result. Raises JournalError if what happened cannot be recorded."""
        return call.execute(journal, stop, shown)


@contextmanager
def cluster_for(inventory: Inventory, hosts: Sequence[AnyHost], options: Options, run: str) -> Iterator[Cluster | None]:
    """Yield a connection to the cluster that the options name, or None. Raises UsageError, InventoryError, and ClusterError."""
    wanted = cluster_options(options)
    if wanted is None:
        yield None
        return
    if options.transfers or options.archived:
        raise UsageError(
            "engine-copies-no-files",
            "the workers of a Dask cluster cannot copy files between this workstation and hosts",
            todo='Use --engine local for --with-notebooks, and for hosts with downloads.source = "push"',
        )
    require_dask()
    from nbserver.run.cluster import cluster

    places = places_of(inventory, hosts, options.place)
    with cluster.connected(wanted, run) as found:
        found.require_workers()
        found.require_places(places)
        yield found


def engine_on(
    cluster: Cluster | None,
    inventory: Inventory,
    hosts: Sequence[AnyHost],
    options: Options,
    approved: Approved | None,
    mask_of: Callable[[HostJob], SecretMask],
) -> Engine:
    """Return what executes the runs. Raises ApprovalError and InventoryError."""
    if cluster is None:
        return ThisProcess()
    from nbserver.run.cluster.approval_copy import copy_of
    from nbserver.run.cluster.engine import ClusterEngine

    return ClusterEngine(cluster, copy_of(approved, options), places_of(inventory, hosts, options.place), mask_of)


def places_of(inventory: Inventory, hosts: Sequence[AnyHost], given: Sequence[str]) -> dict[str, str]:
    """Return the Dask resource that each host needs, by its name. Raises UsageError and InventoryError."""
    reached, found = {host.name for host in hosts if host.transport != "local"}, {}
    for one in given:
        pattern, equals, resource = one.rpartition("=")
        if not equals or not pattern or not resource:
            raise UsageError(
                "place-invalid",
                '--place must have the form PATTERN=RESOURCE, not "{given}"',
                todo='Use a value such as --place "site-a-*=site-a"',
                given=one,
            )
        found.update({name: resource for name in inventory.names_of([pattern]) if name in reached})
    return found


def without_cluster(options: Options) -> Options:
    """Return the options of a run that this workstation continues."""
    return replace(options, engine="local", scheduler=None, scheduler_ca=None, scheduler_cert=None, scheduler_key=None, place=())


def require_dask() -> None:
    """Raise UsageError if the extra dask is not installed."""
    if importlib.util.find_spec("distributed") is None:
        raise UsageError(
            "dask-not-installed",
            "--engine dask requires the extra dask",
            todo='In the environment where nbserver is installed, run: pip install "nbserver[dask]"',
        )
