"""One installation: a fresh bare host, `nbserver apply`, `nbserver verify` with a picture."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.install.timeline import at, timeline
from tests.boxes.linux.base import LinuxBase
from tests.boxes.linux.lab import LinuxLab
from tests.boxes.mirror import Mirror
from tests.site import LinuxSite

# The base of the tests' hosts has these already; without them and apt's lists the host is as its image was.
BARE = "DEBIAN_FRONTEND=noninteractive apt-get -qq -y purge --autoremove python3-venv python3.11-venv && rm -rf /var/lib/apt/lists/*"


@dataclass(frozen=True)
class Installation:
    """All in seconds: `total` from the start of apply to the end of verify, `steps` as timeline gives them.

    `around` is what apply took beside the steps: its own start, the connection, its end.
    """

    installer: str
    total: float
    around: float
    steps: Mapping[str, float]
    verify: float


def install(lab: LinuxLab, base: LinuxBase, mirror: Mirror, installer: str) -> Installation:
    """`installer` is uv or pip. Raises RuntimeError with nbserver's words when there was no plot at the end."""
    with tempfile.TemporaryDirectory(prefix="nbserver-benchmark-") as name, lab.clone(base) as host:
        host.boot()
        host.ssh(BARE)
        site = LinuxSite(Path(name), host, mirror, notebook_password=secrets.token_hex(12))
        site.settings["packages.installer"] = installer
        site.write()
        began = time.monotonic()
        applied = site.run("apply", site.name)
        middle = time.monotonic()
        verified = site.run("verify", site.name, "--png", "pictures")
        ended = time.monotonic()
        for done in (applied, verified):
            if done.returncode:
                raise RuntimeError(f"{' '.join(done.args)} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
        if not (site.folder / "pictures" / f"{site.name}.png").is_file():
            raise RuntimeError("verify kept no picture")
        events = next(found for run in site.runs() if (found := site.events(run)) and found[0].get("mode") == "apply")
        steps = timeline(events)
        last = max(at(event) for event in events if event["event"] in ("changed", "unchanged"))
        return Installation(installer, ended - began, middle - began - (last - at(events[0])), steps, ended - middle)
