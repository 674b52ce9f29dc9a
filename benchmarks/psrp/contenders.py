"""Who is measured: each a command of its own that sees to it that the same host is as it should be."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.psrp.ansible import Ansible
from benchmarks.psrp.checks import Check
from benchmarks.psrp.prepared_host import PreparedHost

CHECKOUT = Path(__file__).parents[2]
CLIENTS = Path(__file__).parent


@dataclass(frozen=True)
class Contender:
    """`command` runs in `folder` with `variables` laid over the environment; `job` is its standard input.

    It ends with 0 when the host is as it should be; `passed` says so from what it printed, where the exit code does not.
    """

    name: str
    what: str
    command: Sequence[str]
    folder: Path
    variables: Mapping[str, str]
    job: str = field(default="", repr=False)
    passed: Callable[[str], bool] = lambda output: True


def job_of(prepared: PreparedHost, checks: Sequence[Check]) -> dict[str, Any]:
    """What the clients in Python are told: how to reach the endpoint, and the checks. Holds the endpoint's password."""
    endpoint = prepared.endpoint
    assert endpoint.certificate is not None
    return {
        "address": endpoint.host,
        "port": endpoint.port,
        "user": endpoint.user,
        "password": endpoint.password,
        "ca_file": str(endpoint.certificate.certificate),
        "checks": [{"text": check.text, "answer": check.answer} for check in checks],
    }


def contenders(prepared: PreparedHost, checks: Sequence[Check], ansible: Ansible | None) -> list[Contender]:
    """nbserver first; the others are compared with it."""
    site = prepared.site
    job = job_of(prepared, checks)
    text = json.dumps(job)
    plain = {"PYTHONPATH": str(CHECKOUT / "installer")}
    found = [
        Contender(
            "nbserver",
            "nbserver apply: all in one script and one pipeline; every step is tested twice, and the run is recorded on the host",
            [sys.executable, "-m", "nbserver", "apply", "win1", "--json"],
            site.folder,
            {**plain, **site.secrets},
            passed=_nothing_changed,
        ),
        Contender(
            "pypsrp",
            "its library alone: one runspace pool, a pipeline a check",
            [sys.executable, str(CLIENTS / "run_pypsrp.py")],
            site.folder,
            plain,
            text,
        ),
        Contender(
            "pywinrm",
            "run_ps for each check: a shell and a PowerShell process each",
            [sys.executable, str(CLIENTS / "run_pywinrm.py")],
            site.folder,
            plain,
            text,
        ),
    ]
    if ansible:
        folder = prepared.folder / "ansible"
        ansible.write_playbook(folder, job, checks)
        found.append(
            Contender(
                "Ansible psrp",
                "a playbook with a raw task for each check: a runspace pool each",
                ansible.command(folder),
                folder,
                ansible.variables(folder, job),
            )
        )
    return found


def _nothing_changed(output: str) -> bool:
    """From the summary, the last line that nbserver prints."""
    host = json.loads(output.splitlines()[-1])["hosts"]["win1"]
    return bool(host["outcome"] == "ok" and host["changed"] == 0)
