"""Hosts whose scripts report what the test says, with the real templates of the scripts, so that messages have their real form."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbserver.base.errors import ConnectError
from nbserver.base.message import PLACEHOLDER, fill
from nbserver.language.templates import Templates
from tests.simulated_fleet import TIME

TEMPLATES = Templates.load()
Said = tuple[str, str, Mapping[str, Any]]  # step, event, its fields


def reported(code: str, key: str = "text", cause: str = "", **values: Any) -> dict[str, Any]:
    """Return the fields of a message as a script reports it; `cause` is the code of a reason without values."""
    template = next(text for text, _ in TEMPLATES.of(code) if {*PLACEHOLDER.findall(text)} == {*values, *(["cause"] if cause else [])})
    fields: dict[str, Any] = {"code": code, "values": values}
    if cause:
        values["cause"] = TEMPLATES.of(cause)[0][0]
        fields["cause"] = {"code": cause, "values": {}}
    return {**fields, key: fill(template, values)}


def found(name: str, state: str, code: str, /, **values: Any) -> dict[str, Any]:
    """Return the fields of a finding: the first sentence of a message is what was found, the others are what to do."""
    message = reported(code, **values)
    text, _, todo = message["text"].partition(". ")
    return {**message, "name": name, "state": state, "text": text, "todo": todo}


@dataclass
class Host:
    """A host and what its script reports in each mode, between `started` and `finished`. One without a mode cannot be reached."""

    says: Mapping[str, Sequence[Said]]
    outcome: str = "ok"
    sent: list[str] = field(default_factory=list)

    def run(self, name: str, script: str, envelope: Sequence[str]) -> Iterator[str]:
        self.sent.append(script)
        lines = dict(line.split(" ", 1) for line in envelope)
        number = itertools.count(1)

        def event(step: str, event: str, **data: Any) -> str:
            return json.dumps({"v": 1, "n": next(number), "time": TIME, "step": step, "event": event, **data})

        digest = hashlib.sha256(script.encode()).hexdigest()
        begin = {"run": lines["run"], "mode": lines["mode"], "operator": "", "release": "0.1.0", "host": name, "script_sha256": digest}
        yield event("", "started", **begin)
        changed, differs = 0, False
        for step, kind, data in self.says[lines["mode"]]:
            yield event(step, kind, **data)
            changed, differs = changed + (kind == "changed"), differs or kind == "difference"
        yield event("", "finished", outcome=self.outcome, differs=differs, changed=changed, reboot=False, fingerprint="")


@dataclass
class Connection:
    """In the place of a connection over SSH."""

    name: str
    host: Host
    deadline: float = 0.0

    def run(self, script: str, envelope: Sequence[str]) -> Iterator[str]:
        return self.host.run(self.name, script, envelope)

    def close(self) -> None:
        """Do nothing."""


@dataclass
class Fleet:
    """Hosts by name; the others refuse the connection."""

    hosts: Mapping[str, Host]

    def connect_to(self, host: Any, logon: Any, stop: threading.Event) -> Connection:
        """In the place of nbserver.transports.connect.connect_to."""
        if host.name not in self.hosts:
            raise ConnectError(
                "ssh-nothing-listening",
                "{place} refused the connection",
                host=host.name,
                todo=TEMPLATES.of("ssh-nothing-listening")[0][1],
                place=f"{host.address}:22",
            )
        return Connection(host.name, self.hosts[host.name])
