"""What a run that is cut off at a gate leaves on the host: taken while it is held there, put back as often as needed.

An engine that is killed leaves exactly what stands on disk and in the registry at that moment: nothing of a run is kept back.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from nbserver.base.modes import Mode
from tests.boxes.task_scheduler import TASKS
from tests.faults.small_host import CLOSING_TASK, LOOK, PLACE, SmallHost

ACCESS = r"C:\nbserver-test\acl"
WRITE = r"""
$environment = 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager'
Remove-Item -LiteralPath 'HKLM:\SOFTWARE\nbserver faults' -Force
[void](New-Item -Path 'HKLM:\SOFTWARE\nbserver faults')
foreach ($value in (ConvertFrom-Json '@VALUES@').PSObject.Properties) {
    $key, $name = $value.Name -split '\|'
    $type, $text = $value.Value -split ':', 2
    if ($key -eq 'Environment' -and $name -ne 'Path') { continue }
    $folder = if ($key -eq 'Environment') { "$environment\Environment" } else { "HKLM:\SOFTWARE\$key" }
    Set-ItemProperty -LiteralPath $folder -Name $name -Value $text -Type $type
}
"""


@dataclass(frozen=True)
class CrashImage:
    """The folders below `folder`, and the registry's values as LOOK tells them."""

    gate: int
    step: str
    folder: Path
    registry: str

    def put_back(self, host: SmallHost) -> None:
        """Makes the host look as it did at the gate, with nothing running on it."""
        for name, place in places(host).items():
            shutil.rmtree(place, ignore_errors=True)
            if (self.folder / name).exists():
                shutil.copytree(self.folder / name, place)
        task = host.windows.path(TASKS) / CLOSING_TASK
        task.unlink(missing_ok=True)
        if (self.folder / "task").exists():
            shutil.copy(self.folder / "task", task)
        host.ask(WRITE.replace("@VALUES@", self.registry.replace("'", "''")))


def take(host: SmallHost, mode: Mode, gate: int, step: str) -> CrashImage:
    """The image at a gate where a run is held now."""
    folder = host.folder / "images" / f"{mode}-{gate}"
    folder.mkdir(parents=True)
    for name, place in places(host).items():
        if place.exists():
            shutil.copytree(place, folder / name)
    task = host.windows.path(TASKS) / CLOSING_TASK
    if task.exists():
        shutil.copy(task, folder / "task")
    return CrashImage(gate, step, folder, json.dumps(json.loads("".join(host.ask(LOOK)))))


def places(host: SmallHost) -> dict[str, Path]:
    return {
        "site": host.ground / "site",
        "state": host.state_folder,
        "place": host.windows.path(PLACE),
        "access": host.windows.path(ACCESS),
    }


def take_all(host: SmallHost, mode: Mode, gates: int) -> list[CrashImage]:
    """One run in `mode`, held at each of its gates in turn."""
    images = []
    host.order("hold", "gate 1")
    with host.running(mode, host.struck) as done:
        for gate in range(1, gates + 1):
            host.wait_for_gate(gate)
            images.append(take(host, mode, gate, host.gates()[-1][2]))
            host.order("hold", f"gate {gate + 1}")
    assert done[0].result.outcome == "ok", done[0].result.error
    return images
