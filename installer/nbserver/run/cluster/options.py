"""Which cluster runs the hosts, and what identifies the workstation to it. A connection without encryption is refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nbserver.base.errors import UsageError

if TYPE_CHECKING:
    from nbserver.run.options import Options


@dataclass(frozen=True)
class ClusterOptions:
    """The options of a run that are about its cluster. A file that is None is that of Dask's own configuration."""

    scheduler: str
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    timeout: float = 15.0  # seconds

    def files(self) -> dict[str, Path]:
        """Return the files that the options name, with Dask's names for them."""
        named = {"ca_file": self.ca, "client_cert": self.certificate, "client_key": self.key}
        return {name: path for name, path in named.items() if path is not None}

    def require_files(self, ca: str | None, certificate: str | None) -> None:
        """Raise UsageError if an option or Dask's configuration does not name both."""
        if not ca or not certificate:
            raise UsageError(
                "scheduler-without-certificates",
                "the connection to the scheduler requires a certificate for this workstation and the CA certificate of the cluster",
                todo="Add --scheduler-ca, --scheduler-cert, and --scheduler-key, or set distributed.comm.tls in Dask's configuration",
            )


def cluster_options(options: Options) -> ClusterOptions | None:
    """Return the options about the cluster, or None if this workstation runs the hosts. Raises UsageError."""
    given = (options.scheduler, options.scheduler_ca, options.scheduler_cert, options.scheduler_key, *options.place)
    if options.engine == "local":
        if any(given):
            raise UsageError(
                "scheduler-without-engine",
                "--place and the --scheduler options require --engine dask",
                todo="Add --engine dask, or remove these options",
            )
        return None
    if not options.scheduler:
        raise UsageError("engine-without-scheduler", "--engine dask requires --scheduler", todo="Add --scheduler tls://HOST:8786")
    _require_encrypted(options.scheduler)
    return ClusterOptions(options.scheduler, options.scheduler_ca, options.scheduler_cert, options.scheduler_key)


def _require_encrypted(scheduler: str) -> None:
    try:
        parts = urlsplit(scheduler)
        is_whole = bool(parts.hostname and parts.port)
    except ValueError:
        is_whole = False
    if not is_whole or parts.path or parts.query or parts.username:
        raise UsageError(
            "scheduler-invalid", "the scheduler's address is not valid", todo="Specify an address such as tls://HOST:8786 with --scheduler"
        )
    if parts.scheme != "tls":
        raise UsageError(
            "scheduler-not-encrypted",
            "connections to the scheduler must be encrypted, but {scheme}:// is not",
            todo="Start the scheduler with tls:// and certificates, then specify its tls:// address with --scheduler",
            scheme=parts.scheme,
        )
