"""What nbserver's steps test on a host that is set up, one plain check a step, as somebody without nbserver would write it.

A check throws where something differs, else its last line of output is `ok STEP`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.psrp.prepared_host import PreparedHost
from nbserver.render.step_files import read_body
from tests.boxes.server_settings import ENVIRONMENT, MACHINE_PATH
from tests.conftest import LOCK

FOLDER = Path(__file__).parent / "checks"
# On this host these have nothing to look at while nothing has to be changed, so nobody would send a check for them.
NOTHING_TO_LOOK_AT = {"ie_esc", "vc_redist", "takeover", "cleanup"}
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
# The service's own SID, and access lists in SDDL: SYSTEM and administrators everything, the service to read, or to read and write.
SERVICE_SID = "S-1-5-87-930827800-2675213412-4068685239-1410473313-2291456054"
ADMINISTRATORS_ONLY = "D:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"
SERVICE_READS = f"{ADMINISTRATORS_ONLY}(A;OICI;0x1200a9;;;{SERVICE_SID})"
SERVICE_WRITES = f"{ADMINISTRATORS_ONLY}(A;OICI;0x1301bf;;;{SERVICE_SID})"
# Such a value means nothing on a host that is set up: free space is judged before the first run, a free port is not taken.
NOT_DECISIVE = {("preflight", "Environment"), ("preflight", "Port")}


@dataclass(frozen=True)
class Check:
    """The check of a step: what it says, and the values that it compares with."""

    step: str
    body: str
    values: Mapping[str, str | int]

    @property
    def text(self) -> str:
        """The script as it is sent."""
        lines = [f"${name} = {_literal(value)}" for name, value in self.values.items()]
        return "\n".join(["$ErrorActionPreference = 'Stop'", *lines, self.body.rstrip(), f"'{self.answer}'"])

    @property
    def answer(self) -> str:
        return f"ok {self.step}"

    def with_wrong_values(self) -> Iterator[Check]:
        """This check once for each of its values, with that value wrong: it must not pass."""
        for name, value in self.values.items():
            if (self.step, name) not in NOT_DECISIVE:
                wrong = value + 1 if isinstance(value, int) else value + "x"
                yield Check(self.step, self.body, {**self.values, name: wrong})


def _literal(value: str | int) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


def checks(prepared: PreparedHost) -> list[Check]:
    """One check for each step that nbserver tests, in its order. Raises LookupError when a step has none."""
    wanted = [step for step in read_body("ps_scripts", "machine").steps if step not in NOTHING_TO_LOOK_AT]
    missing = [step for step in wanted if not (FOLDER / f"{step}.ps1").is_file()]
    if missing:
        raise LookupError(f"benchmarks/psrp/checks has no equivalent of the step {', '.join(missing)}")
    values = read_values(prepared)
    return [Check(step, (FOLDER / f"{step}.ps1").read_text(encoding="ascii"), values.get(step, {})) for step in wanted]


def read_values(prepared: PreparedHost) -> dict[str, dict[str, str | int]]:
    """What the checks compare with, by step: read once from the host that nbserver has set up, and from the lock."""
    host, port = prepared.host, prepared.site.port
    service = host.path(r"C:\ProgramData\nbserver\service")
    task = ElementTree.fromstring(host.path(r"C:\windows\system32\Tasks\nbserver").read_bytes())

    def of_task(path: str) -> str:
        return task.findtext("/".join(f"{TASK}{part}" for part in path.split("/"))) or ""

    def sha256(name: str) -> str:
        return hashlib.sha256((service / name).read_bytes()).hexdigest()

    command = of_task("Actions/Exec/Command")
    environment = command.removesuffix(r"\Scripts\python.exe")
    home = re.search(r"^home *= *(.*?)\s*$", host.path(environment + r"\pyvenv.cfg").read_text(encoding="utf-8"), re.MULTILINE)
    entries = host.registry(ENVIRONMENT)[ENVIRONMENT]["PATH"]
    added = entries.removeprefix(f"REG_EXPAND_SZ:{MACHINE_PATH};")
    openssl = next(entry for entry in added.split(";") if host.path(entry + r"\openssl.exe").is_file())
    assert home is not None and added != entries, "the host is set up"
    return {
        "preflight": {"Port": port, "Environment": environment},
        "python": {"Python": home[1] + r"\python.exe"},
        "openssl": {"OpenSsl": openssl + r"\openssl.exe"},
        "packages": {"Environment": environment, "Packages": " ".join(line.split(" ")[0] for line in _lock_lines())},
        "path": {"Entries": added},
        "certificate": {"Access": SERVICE_READS, "Request": sha256("certificate.cnf")},
        "notebook": {
            "ServiceAccess": SERVICE_READS,
            "WorkAccess": SERVICE_WRITES,
            "Notebooks": r"C:\ProgramData\nbserver\notebooks",
            "Sid": SERVICE_SID,
            "Configuration": sha256("jupyter_server_config.json"),
            "Starter": sha256("serve.py"),
        },
        "service": {
            "Description": of_task("RegistrationInfo/Description"),
            "Command": command,
            "Arguments": of_task("Actions/Exec/Arguments"),
        },
        "firewall": {"Port": port},
        "check": {"Port": port},
    }


def _lock_lines() -> list[str]:
    return [line for line in LOCK.read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
