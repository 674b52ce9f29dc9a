"""One run of a script on a host: check each event and apply it to the host's result."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nbserver.base.errors import StreamError
from nbserver.base.message import Described, Message, cause, message, notice
from nbserver.base.modes import READING
from nbserver.events.description import failure
from nbserver.events.reader import Event, EventError, EventOrder, parse
from nbserver.render.script import Script
from nbserver.run.envelope import Envelope
from nbserver.run.finding import of_event
from nbserver.run.host_status import status_of
from nbserver.run.kept_run import kept_run_of
from nbserver.run.result import Result
from nbserver.run.transfer import file_of

HOST_RECORD = ("host-log-not-written", "release-older", "script-not-kept")  # warnings that say nothing about the run itself
OWNER = re.compile(r"run ([0-9A-Za-z-]{1,64}),")  # what a script reports about the run that has the host's lock


@dataclass
class Leg:
    """One run of the script. A run of nbserver has one leg, and another one after each restart of Windows.

    The host is not trusted: an event counts only if it is valid, directly follows the previous one, comes after the event with
    the hash of the sent script, and comes before the end. `until`, in seconds of time.monotonic, is when the leg must have
    finished. `sent` is whether the script was handed to a connected transport, and `repeated` whether that was done twice.
    `changed_before` is the number of changes in earlier legs, and `changes` that of this leg so far. `boot` (when Windows started) and `words` (the last warning) are
    initially those of the previous leg.
    """

    host: str
    script: Script
    envelope: Envelope
    result: Result
    until: float
    changed_before: int = 0
    boot: str = ""
    words: str = ""
    changes: int = 0
    order: EventOrder = field(default_factory=EventOrder)
    hashed: bool = False
    failed: bool = False
    gap: bool = False
    ended: bool = False
    sent: bool = False
    repeated: bool = False
    restarting: bool = False

    @property
    def last(self) -> int:
        """The number of the last accepted event, or 0."""
        return self.order.last

    def hear(self, line: str) -> Event | None:
        """Return the event of a line if it is the next one. After a gap, events are discarded: they are requested again.

        Lines after the end are discarded too. Raises StreamError for output that no script produces.
        """
        if self.ended:
            return None
        try:
            event = parse(line)
        except EventError as error:
            raise self._broken(cause(error, 4000)) from None
        if event.event == "finished" and event.data["outcome"] == "waiting":
            if event.n != 1 or self.last or not self.envelope.boot_before:
                raise self._broken(message("waits-without-restart", "the script is waiting for a restart that was not requested"))
            self.result.outcome = "waiting"
            self.ended = True
            return None
        try:
            new = not self.gap and self.order.accept(event)
        except EventError as error:
            if self.envelope.mode in READING:
                raise self._broken(cause(error, 4000)) from None
            self.gap, new = True, False
        if not new:
            return None
        self._take(event)
        return event

    def _broken(self, reason: Described | str) -> StreamError:
        return StreamError(
            "script-output-invalid",
            "the script's output is invalid: {reason}",
            host=self.host,
            todo="Run the command again. If it fails again, check the host's log in the run directory",
            reason=reason,
        )

    def _take(self, event: Event) -> None:
        """Apply an event to the result. This is the only place that does so."""
        if event.event == "started" and not event.step:
            self._begin(event)
        if not self.hashed:
            return self._take_unhashed(event)
        result, data = self.result, event.data
        self.changes += event.event == "changed"
        if event.event == "unchanged" and result.steps.get(event.step) == "changed":
            return  # before a restart
        if event.event == "difference":
            result.steps[event.step] = "differs"
            if result.status:
                result.status.differences += 1
        elif event.event in ("changed", "unchanged", "failed", "restored") and event.step:
            result.steps[event.step] = event.event
        if event.event == "failed":
            self._fails(event)
        if event.event == "warning" and not event.step and data.get("code") not in HOST_RECORD:
            self.words = data["text"]  # the last warning says why Windows is not restarted
        if event.event == "finding":
            result.findings.append(of_event(event))
        if event.event == "request" and self.envelope.mode == "request":
            result.csr = data["csr"]
        if event.event == "status" and self.envelope.mode == "status" and result.status is None:
            result.status = status_of(data, self.script.sha256)
        if event.event == "file" and self.envelope.mode in ("list", "push", "pull", "missing", "deliver"):
            result.files.append(file_of(event))
        if event.event == "kept" and self.envelope.mode == "evidence":
            result.kept.append(kept_run_of(event))
        if event.event == "finished":
            self._finish(data)

    def _begin(self, event: Event) -> None:
        data = event.data
        if event.n != 1:
            raise self._broken(message("starts-twice", "the script started a second time"))
        if data["script_sha256"] != self.script.sha256:
            raise self._another_script(data["script_sha256"])
        if (data["run"], data["mode"], data["host"]) != (self.envelope.run, self.envelope.mode, self.script.host):
            raise self._broken(message("other-run", "the events belong to a different run, mode, or host"))
        self.hashed, self.boot = True, data.get("boot", "")

    def _take_unhashed(self, event: Event) -> None:
        """Apply an event that comes before the script's hash: only why the script could not start counts.

        A script cannot hash itself if PowerShell's language mode is restricted.
        """
        if event.event == "failed":
            self._fails(event)
        elif event.event == "finished" and event.data["outcome"] == ("failed" if self.failed else "stopped"):
            self.result.outcome = event.data["outcome"]
            self.ended = True
        elif not (self.failed and event.event in ("log", "warning", "restored")):
            raise self._another_script("unknown")

    def _another_script(self, sha256: str, expected: str = "") -> StreamError:
        return StreamError(
            "other-script",
            "the host ran a different script: expected SHA-256 {expected}, got {actual}",
            host=self.host,
            todo="Before you continue, find out what modified the script between the workstation and the host",
            expected=expected or self.script.sha256,
            actual=sha256,
        )

    def _fails(self, event: Event) -> None:
        self.failed = True
        reason = failure(self.host, event)
        other = OWNER.match(str(event.data.get("values", {}).get("owner", ""))) if event.data.get("code") == "run-in-progress" else None
        if other:
            reason = notice(
                "run-in-progress-follow",
                "{reason}. To follow that run, run nbserver events {run} {name}",
                reason=reason,
                run=other[1],
                name=self.host,
            )
        self.result.because(reason)

    def _finish(self, data: Mapping[str, Any]) -> None:
        outcome = data["outcome"]
        if outcome == "ok" and self.failed:
            raise self._broken(message("success-after-failure", "the script reported a failure and then a success"))
        if data.get("restarting") and not self.envelope.restarts:
            raise self._broken(message("restarts-unasked", "the script reported a Windows restart that was not requested"))
        self.ended = True
        result = self.result
        result.outcome = "differs" if outcome == "ok" and self.envelope.mode in READING and data["differs"] else outcome
        result.changed = self.changed_before + data["changed"]
        result.reboot = data["reboot"]
        self.restarting = data.get("restarting", False)
        if outcome == "failed" and not self.failed and result.findings:
            result.because(self._requirements_not_met())
        result.fingerprint = data["fingerprint"]

    def _requirements_not_met(self) -> Message:
        names = [finding.name for finding in self.result.findings if finding.state == "failed"]
        return notice(
            "requirements-not-met",
            "{name}: the host is not ready for nbserver apply; requirements not met: {requirements}",
            name=self.host,
            requirements=", ".join(names),
        )
