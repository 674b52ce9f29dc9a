"""Record the certificates that the hosts of one run report, in a file that has those of all hosts."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from nbserver.base.errors import ApprovalError
from nbserver.base.message import Message, notice
from nbserver.run import known_certificates
from nbserver.run.result import Result


@dataclass
class _Batch:
    found: dict[str, str] = field(default_factory=dict)
    is_written: bool = False
    error: ApprovalError | None = None


class FoundCertificates:
    """The fingerprints that `run` found. `known` are those in the file at `path`, as known_certificates.fingerprints returns them.

    The file is written as a whole. So the hosts that end while it is being written are in it together the next time, and those
    whose certificate is known already are in it at the end of the run.
    """

    def __init__(self, path: Path, run: str, known: Mapping[str, str]) -> None:
        self._path, self._run, self._known = path, run, known
        self._adding, self._writing = threading.Lock(), threading.Lock()
        self._next, self._same = _Batch(), dict[str, str]()

    def add(self, host: str, fingerprint: str) -> None:
        """Return once the fingerprint of a host is in the file. Raises ApprovalError."""
        if self._known.get(host.lower()) == fingerprint:
            self._same[host] = fingerprint
            return
        with self._adding:
            batch = self._next
            batch.found[host] = fingerprint
        with self._writing:
            if not batch.is_written:
                with self._adding:
                    self._next = _Batch()
                try:
                    known_certificates.remember(self._path, batch.found, self._run)
                except ApprovalError as error:
                    batch.error = error
                batch.is_written = True
        if batch.error:
            raise batch.error

    def end(self) -> None:
        """Record this run for the certificates that were known before. Raises ApprovalError."""
        if self._same:
            known_certificates.remember(self._path, self._same, self._run, renews=True)

    def exchanged(self, results: Mapping[str, Result]) -> list[Message]:
        """Return a warning for each host that has another certificate than was known, though this run has not replaced it."""
        return [
            notice(
                "certificate-exchanged",
                "{name}: this run did not replace the certificate, but the previous run found a different one. A run that was interrupted "
                "may have replaced it. If the host was restored from a snapshot or a backup from before nbserver rotate, run nbserver "
                "rotate again. If you do not know who has replaced the certificate, check who can use this host",
                name=name,
            )
            for name, result in results.items()
            if result.fingerprint and result.steps.get("certificate") == "unchanged"
            if self._known.get(name.lower(), result.fingerprint) != result.fingerprint
        ]
