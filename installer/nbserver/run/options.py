"""The options of a run, apart from its hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nbserver.certificate.workstation import ServerCertificate
from nbserver.run.batches import Policy
from nbserver.run.delivery import Delivery
from nbserver.run.result import Result
from nbserver.run.server_log import LogReading
from nbserver.run.transfer import Collecting, Transfer


@dataclass(frozen=True)
class Options:
    """The options of a run, apart from its hosts.

    `runs` is the folder for runs. `approved` is a rendered folder or its manifest, `signers` a file of allowed signers, `approvals`
    the number of required approvals, and `site` a further site file. `chains` maps a host to a signed certificate (PEM) for the
    request that was created on it. `keys` maps a host to a private key and its certificate from a backup (PEM). `passwords` maps a host to a notebook password that is not from the inventory. `salt` is the
    file with the site's salt, by default the one next to the inventory. With `new_salt`, hosts may replace a password hash that
    has another salt. With `thorough`, hosts compare the hashes of all installed files; with `repair`, they install the packages again.
    `forks` is how many hosts run at a time, by default as many as this workstation can serve; `policy` in which order.
    `connect_timeout`, `connect_retries`, `step_timeout`, and `timeout` count instead of the hosts' settings of the same names.
    `engine` is local or dask: where the runs of hosts are executed. `scheduler` is the address of a Dask scheduler, `scheduler_ca`,
    `scheduler_cert`, and `scheduler_key` are the files for the connection to it, and `place` says which hosts need which Dask resource.
    `evidence_key` signs the chain of the run directory.
    `known` is the file with the known certificates, by default the one next to the inventory. `command` are the arguments of nbserver,
    for run.json. `transfers` maps a host to what the modes push, pull, deliver, backup, and logs copy, and `archived` to the hash of the
    notebooks that undo removes. `undelivered` maps a host that did not get its downloads to the reason: its script is not sent.
    """

    runs: Path | None = None
    approved: Path | None = None
    signers: Path | None = None
    approvals: int | None = None
    site: Path | None = None
    forks: int | None = None
    policy: Policy = field(default_factory=Policy)
    connect_timeout: int | None = None
    connect_retries: int | None = None
    step_timeout: int | None = None
    timeout: int | None = None
    chains: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, ServerCertificate] = field(default_factory=dict, repr=False)
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    salt: Path | None = None
    new_salt: bool = False
    thorough: bool = False
    repair: bool = False
    engine: str = "local"
    scheduler: str | None = None
    scheduler_ca: Path | None = None
    scheduler_cert: Path | None = None
    scheduler_key: Path | None = None
    place: tuple[str, ...] = ()
    known: Path | None = None
    evidence_key: Path | None = None
    command: tuple[str, ...] = ()
    transfers: Mapping[str, Transfer | Collecting | LogReading | Delivery] = field(default_factory=dict)
    archived: Mapping[str, str] = field(default_factory=dict)
    undelivered: Mapping[str, Result] = field(default_factory=dict)
