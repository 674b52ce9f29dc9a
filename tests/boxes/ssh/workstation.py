"""A workstation's part of a run, for a Python of another system: `python workstation.py JOB`, JOB a JSON file.

It has `settings` of a host, `logon` with what opens it, the `script` and the `envelope`; what the script says is printed.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3] / "installer"))

from nbserver.base.errors import HostError
from nbserver.inventory.linux_host import LinuxHost
from nbserver.transports.connect import connect_to
from nbserver.transports.transport import LogonSecrets


def main() -> int:
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    host = LinuxHost(**{key: Path(value) if key in ("key_file", "known_hosts") else value for key, value in job["settings"].items()})
    print(sys.platform)
    try:
        transport = connect_to(host, LogonSecrets(**job["logon"]), threading.Event())
        try:
            for line in transport.run(job["script"], job["envelope"]):
                print(line)
        finally:
            transport.close()
    except HostError as error:
        print(error)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
