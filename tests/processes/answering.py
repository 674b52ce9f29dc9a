"""`python -m tests.processes.answering ARGUMENTS`: nbserver, whose hosts answer at once, with texts in many scripts.

FILLING, in the environment, is how many events each host reports.
"""

from __future__ import annotations

import os
import sys
from hashlib import sha256
from typing import Any

from nbserver.cli import program
from nbserver.commands import up
from nbserver.transports import connect
from tests.unit.run.test_host_run import Told, ended, event

TEXT = "Zażółć gęślą jaźń, 設定 \N{SNOWMAN}"


class Answering(Told):
    """A host whose step `notebook` changes something."""

    def __init__(self, host: Any, *_: object) -> None:
        super().__init__()
        self.name = host.name

    def run(self, script: str, envelope: Any) -> Any:
        of = dict(line.partition(" ")[::2] for line in envelope)
        head = {"run": of["run"], "mode": of["mode"], "operator": "me", "release": "0.1.0", "host": self.name}
        filling = int(os.environ.get("FILLING", "3"))
        said = [event(1, "started", **head, script_sha256=sha256(script.encode()).hexdigest())]
        said += [event(n, "warning", "notebook", text=f"{TEXT} {n}") for n in range(2, filling + 2)]
        said += [event(filling + 2, "changed", "notebook"), ended(filling + 3, "ok", changed=1, fingerprint="SHA256:" + "0" * 64)]
        self.connections = [said]
        return super().run(script, envelope)


if __name__ == "__main__":
    connect.connect_to = Answering  # type: ignore[assignment]
    up.is_set_up = lambda host: False  # type: ignore[attr-defined]
    sys.argv[0] = "nbserver"
    program.main()
