"""The contender pywinrm: one `run_ps` a check. Reads the job from standard input; exits 1 when a check does not pass."""

from __future__ import annotations

import json
import sys

from winrm import Session


def main() -> None:
    job = json.load(sys.stdin)
    session = Session(
        f"https://{job['address']}:{job['port']}/wsman",
        auth=(job["user"], job["password"]),
        transport="ntlm",
        ca_trust_path=job["ca_file"],
        proxy=None,
    )
    for check in job["checks"]:
        done = session.run_ps(check["text"])
        if done.status_code or done.std_out.decode("utf-8", "replace").split("\n")[-2:-1] != [check["answer"] + "\r"]:
            sys.exit(f"no '{check['answer']}': code {done.status_code}, {done.std_out!r}, {done.std_err!r}")


main()
