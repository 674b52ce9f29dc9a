"""The contender pypsrp: one runspace pool, one pipeline a check. Reads the job from standard input; exits 1 when a check does not pass."""

from __future__ import annotations

import json
import sys

from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan


def main() -> None:
    job = json.load(sys.stdin)
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
    with wsman, RunspacePool(wsman) as pool:
        for check in job["checks"]:
            pipeline = PowerShell(pool)
            pipeline.add_script(check["text"])
            output = pipeline.invoke()
            if pipeline.had_errors or output[-1:] != [check["answer"]]:
                sys.exit(f"no '{check['answer']}': {[str(record) for record in pipeline.streams.error]}, {output}")


main()
