"""How a server starts, or not, under a real systemd: what the person hears, and that a plan waits for a server that is just starting."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.linux import parts

if TYPE_CHECKING:
    from tests.boxes.linux.host import LinuxBox

# Stand-ins for the environment and the configuration: the host's Python, and a server that does what the file `how` says.
SERVER = """
import os, ssl, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
how = open("/etc/nbserver/how").read()
print("[I] the server starts")
for folder in "/var/lib/nbserver/work", "/srv/people/notebooks":
    with open(folder + "/written", "w") as file:
        file.write(str(os.stat("/srv/people").st_uid) + " " + open("/proc/self/uid_map").read())
if how == "fail":
    print("ModuleNotFoundError: No module named 'zmq'")
    sys.exit(1)
while open("/etc/nbserver/how").read() == "wait":
    time.sleep(0.05)
class Refuse(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(403)
        self.end_headers()
try:
    server = HTTPServer(("0.0.0.0", 9999), Refuse)
except OSError:
    sys.exit("ERROR: the notebook server could not be started because port 9999 is not available.")
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/etc/nbserver/certificate.pem", "/etc/nbserver/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
OTHER = """
import socket
server = socket.create_server(("0.0.0.0", 9999))
print("listens", flush=True)
while True:
    server.accept()[0].close()
"""
PREPARE = """
set -e
useradd --system nbserver
mkdir -p /etc/nbserver /var/lib/nbserver/work /srv/people/notebooks /etc/systemd/system/nbserver.service.d
chown nbserver: /var/lib/nbserver/work /srv/people/notebooks
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -keyout /etc/nbserver/key.pem -out /etc/nbserver/certificate.pem
echo x >/etc/nbserver/jupyter_config.json
printf '[Service]\\nRestartSec=1\\n' >/etc/systemd/system/nbserver.service.d/fast.conf
chown -R nbserver: /etc/nbserver
cat >/etc/nbserver/serve.py
"""
PYTHON = """
NOTEBOOK_PYTHON=/usr/bin/python3
read_fingerprint() {
    local line
    line=$(openssl x509 -in "$CERTIFICATE_FILE" -noout -fingerprint -sha256)
    fingerprint_of "$line"
    RUN_FINGERPRINT=$REPLY
}
BEFORE_RUN+=(read_fingerprint)
"""
FILES = "KEY_FILE=/etc/nbserver/key.pem CERTIFICATE_FILE=/etc/nbserver/certificate.pem NOTEBOOK_FILE=/etc/nbserver/jupyter_config.json STARTER_FILE=/etc/nbserver/serve.py\n"


class Starts:
    def __init__(self, box: LinuxBox) -> None:
        self.box, self._number = box, 0
        box.ssh(PREPARE, text=SERVER)
        self.script = parts.script([FILES + PYTHON, parts.step("service"), parts.step("check")])
        box.ssh("cat >/root/lin1.sh", text=self.script)

    def run(self, mode: str, how: str = "") -> list[dict[str, str]]:
        """The events of a run, with a server that does this."""
        if how:
            self.box.ssh(f"printf {how} >/etc/nbserver/how")
        self._number += 1
        done = self.box.ssh("bash /root/lin1.sh envelope", text=f"mode {mode}\nrun r{self._number}\n", check=False)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def refusal(self, how: str = "") -> dict[str, str]:
        events = self.run("apply", how)
        (failed,) = [event for event in events if event["event"] == "failed"]
        return failed


@pytest.fixture(scope="module")
def starts(debian_host: Callable[[], LinuxBox]) -> Iterator[Starts]:
    with debian_host() as box:
        yield Starts(box)


def test_the_servers_own_last_words_are_reported(starts: Starts) -> None:
    failed = starts.refusal("fail")
    assert failed["code"] == "server-silent-with-lines" and failed["text"].endswith("No module named 'zmq'")
    assert "systemd" not in failed["text"] and "Start request" not in failed["text"]


def test_a_port_that_was_taken_meanwhile_is_named(starts: Starts) -> None:
    other = starts.box.ssh(
        f"python3 -c '{OTHER}' >/run/other 2>&1 & echo $!; until [ -s /run/other ]; do read -t 0.05 <>/dev/null || true; done"
    )
    try:
        failed = starts.refusal("serve")
    finally:
        starts.box.ssh(f"kill {other.stdout}")
    assert failed["code"] == "port-used" and "TCP port 9999 is used by another program" in failed["text"]


def test_the_server_sees_no_other_users_and_its_files_are_its_own(starts: Starts) -> None:
    """Of the users of the host, only root and the service itself are in its namespace; outside, files belong to the service."""
    starts.box.ssh("systemctl stop nbserver; useradd anna; chown anna /srv/people")  # it may be running since the test before
    assert starts.run("apply", "serve")[-1]["outcome"] == "ok"
    files = "/var/lib/nbserver/work/written /srv/people/notebooks/written"
    assert starts.box.ssh(f"stat -c %U:%G {files}").stdout.split() == ["nbserver:nbserver"] * 2
    owner, *users = starts.box.ssh(f"cat {files}").stdout.split("\n")[0].split()
    number = starts.box.ssh("id -u nbserver").stdout.strip()
    assert (owner, users) == ("65534", ["0", "0", "1"]), (owner, users, number)
    starts.box.ssh("chown root /srv/people; systemd-analyze security --no-pager --threshold=15 nbserver.service")
    limits = starts.box.ssh("systemctl show --property=MemoryMax,TasksMax,OOMPolicy nbserver").stdout.split()
    assert "OOMPolicy=continue" in limits and "MemoryMax=infinity" not in limits and "TasksMax=infinity" not in limits


def test_a_plan_waits_for_a_server_that_is_just_starting(starts: Starts) -> None:
    assert starts.run("apply", "serve")[-1]["outcome"] == "ok"
    starts.box.ssh("printf wait >/etc/nbserver/how; systemctl restart nbserver")
    waits = starts.box.ssh(
        "bash /root/lin1.sh test & sleep 0; while kill -0 $! 2>/dev/null && ! pgrep -P $! -x sleep >/dev/null; do :; done; printf serve >/etc/nbserver/how; wait $!"
    )
    assert [json.loads(line)["event"] for line in waits.stdout.splitlines()].count("unchanged") == 2, waits.stdout


def test_only_the_stamp_of_the_start_differs(starts: Starts) -> None:
    assert starts.run("apply", "serve")[-1]["outcome"] == "ok"
    starts.box.ssh("touch /etc/nbserver/jupyter_config.json")
    (difference,) = [event for event in starts.run("test") if event["event"] == "difference"]
    assert (difference["code"], difference["is"], difference["should"]) == (
        "server-outdated",
        "not restarted since the last change",
        "restarted",
    )


def test_a_setting_that_systemd_cannot_apply_is_named(starts: Starts) -> None:
    starts.box.ssh("mv /srv/people /srv/gone")
    try:
        failed = starts.refusal("serve")
    finally:
        starts.box.ssh("mv /srv/gone /srv/people")
    assert failed["code"] == "unit-settings-refused" and "(status 226)" in failed["text"], failed
    assert 'with ReadWritePaths=/var/lib/nbserver/work "/srv/people/notebooks" (' in failed["text"], failed
    assert "/srv/people/notebooks: No such file or directory" in failed["text"]
