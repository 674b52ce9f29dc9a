"""Code in a notebook cannot take over what runs as the same user outside of the unit of the server."""

from __future__ import annotations

import pytest

from tests.linux.fixtures import run, sandbox
from tests.linux.sandbox import Sandbox
from tests.steps.linux.small_steps import SECRETS, STEPS, host
from tests.waiting import wait_until

__all__ = ["host", "sandbox"]
SET_UP = """
is_set_up() { return 0; }
read_server_python() { REPLY=/usr/bin/python3; }
NOTEBOOK_FILE=$CONFIGURATION_FOLDER/jupyter_config.json CERTIFICATE_FILE=$CONFIGURATION_FOLDER/certificate.pem
"""
WAITS = """
OPEN_WITH_PYTHON+='
import time
with open(os.open("id.new", os.O_WRONLY | os.O_CREAT, dir_fd=ROOT), "w") as file:
    file.write(str(os.getpid()))
os.rename("id.new", "id", src_dir_fd=ROOT, dst_dir_fd=ROOT)
while "end" not in os.listdir(ROOT):
    time.sleep(0.02)
'
"""
AS_NOTEBOOK = ["setpriv", "--reuid=nbserver", "--regid=nbserver", "--clear-groups", "--no-new-privs"]
WRITE_MEMORY = 'import sys; open(f"/proc/{sys.argv[1]}/mem", "r+b")'


def can_take_over(host: Sandbox, process: str) -> bool:
    done = host.run(*AS_NOTEBOOK, "/usr/bin/python3", "-I", "-c", WRITE_MEMORY, process, check=False)
    assert done.returncode == 0 or b"Permission" in done.stderr, done.stderr
    return done.returncode == 0


def test_the_program_that_reads_notebooks_is_out_of_their_reach(host: Sandbox) -> None:
    assert run(host, "apply", STEPS, secrets=SECRETS).outcome == "ok"
    folder = "/srv/people/notebooks"
    other = host.start(*AS_NOTEBOOK, "bash", "-c", "echo $$; read -r")
    assert other.stdin and other.stdout
    if not can_take_over(host, other.stdout.readline().decode().strip()):
        pytest.skip("this kernel lets no process write to the memory of another one (Yama)")
    other.communicate(b"\n")
    run(host, "test", [*STEPS, SET_UP, WAITS])  # puts the script there
    reading = host.start("bash", "/tmp/lin1.sh", "list")
    assert wait_until(lambda: host.exists(f"{folder}/id"))
    process = host.read(f"{folder}/id").decode()
    assert host.run("stat", "-c", "%U", f"/proc/{process}").stdout == b"nbserver\n"
    assert not can_take_over(host, process)
    host.write(f"{folder}/end", "")
    said, _ = reading.communicate()
    assert b'"outcome":"ok"' in said, said
