"""Who listens on the notebook's port."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.linux import parts
from tests.linux.fixtures import sandbox
from tests.ports import free_port
from tests.steps.linux.small_steps import host

__all__ = ["host", "sandbox"]


SERVER = """
import socket, sys, time
servers = [socket.create_server(("127.0.0.1", int(port))) for port in sys.argv[2:]]
open(sys.argv[1], "w").close()
time.sleep(300)
"""

# As in Ubuntu 25.10 and 26.04 (uutils): after a link that is gone, here the second one, no other is shown.
READLINK = """#!/bin/sh
if [ $# -le 2 ]; then exec /usr/bin/readlink "$@"; fi
/usr/bin/readlink "$1" "$2"
exit 1
"""


@pytest.mark.parametrize("own", [True, False])
def test_a_port_is_our_servers_own_only_where_it_listens_there(tmp_path: Path, own: bool) -> None:
    """A server that runs, with another port, is no excuse: the place is taken."""
    ports = free_port(), free_port()
    (tmp_path / "readlink").write_text(READLINK)
    (tmp_path / "readlink").chmod(0o755)
    code = """
    PATH=$1:$PATH XDG_RUNTIME_DIR=$1 PROCESS_FILE=$1/process NB_NOTEBOOK_PORT=$3 RUN_STEP=preflight
    read -r PROGRAM_OWNER < <(stat --format='%U:%G' /proc/$$)
    save_before() { true; }
    start_process "$PROCESS_FILE" "$1/log" text "$2" -c "$4" "$1/listens" "${@:5}"
    until [[ -e $1/listens ]]; do sleep 0.05; done
    trap 'stop_process "$PROCESS_FILE"' EXIT
    assert_port_free
    """
    with socket.create_server(("127.0.0.1", ports[1])) if not own else contextlib.nullcontext():
        listens = ports if own else ports[:1]
        done = parts.run(
            parts.step("preflight", "user") + code, str(tmp_path), sys.executable, str(ports[1]), SERVER, *map(str, listens), scope="user"
        )
    words = f"TCP port {ports[1]} is used by another program"
    assert (done.returncode, words in done.stdout.decode()) == ((0, False) if own else (3, True)), done.stderr


@pytest.mark.skipif(not shutil.which("ip"), reason="needs ip (iproute2)")
def test_the_addresses_of_this_machine_are_its_own() -> None:
    shown = json.loads(subprocess.run(["ip", "-json", "address"], capture_output=True, check=True).stdout)
    own = [address["local"] for link in shown for address in link["addr_info"]]
    ask = (
        parts.step("preflight")
        + """
    for address in "$@"; do if is_foreign_address "$address"; then echo "$address"; fi; done
    ipv6_digits 2001:db8::7; echo "$REPLY"; ipv6_digits ::1; echo "$REPLY"; ipv6_digits fe80:1:2:3:4:5:6:7; echo "$REPLY"
    """
    )
    done = parts.run(ask, "*", "0.0.0.0", "::", "127.0.0.2", *own, "192.0.2.99", "2001:db8::99")
    assert done.stdout.decode().split() == [
        "192.0.2.99",
        "2001:db8::99",
        "20010db8000000000000000000000007",
        "00000000000000000000000000000001",
        "fe800001000200030004000500060007",
    ]
