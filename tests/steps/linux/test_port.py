"""Who listens on the notebook's port."""

from __future__ import annotations

import contextlib
import socket
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


@pytest.mark.parametrize("own", [True, False])
def test_a_port_is_our_servers_own_only_where_it_listens_there(tmp_path: Path, own: bool) -> None:
    """A server that runs, with another port, is no excuse: the place is taken."""
    ports = free_port(), free_port()
    code = """
    XDG_RUNTIME_DIR=$1 PROCESS_FILE=$1/process NB_NOTEBOOK_PORT=$3 RUN_STEP=preflight
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
