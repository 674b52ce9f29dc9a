"""Whether the checks can fail: each of their values, made wrong, must be refused. Otherwise they would be no equivalent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan

from benchmarks.psrp.checks import Check


def count_refused(checks: Iterable[Check], job: Mapping[str, Any]) -> int:
    """How many wrong values were tried; all were refused. Raises RuntimeError when a check passes with one."""
    wsman = WSMan(
        job["address"],
        port=job["port"],
        ssl=True,
        auth="negotiate",
        username=job["user"],
        password=job["password"],
        cert_validation=job["ca_file"],
        no_proxy=True,
    )
    count = 0
    with wsman, RunspacePool(wsman) as pool:
        for check in checks:
            for wrong in check.with_wrong_values():
                pipeline = PowerShell(pool)
                pipeline.add_script(wrong.text)
                if wrong.answer in pipeline.invoke():
                    raise RuntimeError(f"the check of {check.step} passes with a wrong value: {dict(wrong.values)}")
                count += 1
    return count
