"""The floor: `ssh HOST bash -s < script` for all hosts at once, one ssh process each, started by one bash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.ssh.checks import Table
from tests.boxes.linux.host import LinuxBox

BODY = Path(__file__).with_name("floor.sh")
AT_ONCE = """
options=$1
shift
pids=() code=0
for host in "$@"; do
    # shellcheck disable=SC2086
    ssh -F config $options "$host" bash -s <"$host.sh" &
    pids+=("$!")
done
for pid in "${pids[@]}"; do
    wait "$pid" || code=$?
done
exit "$code"
"""


def script(table: Table) -> str:
    """The table as a bash array, and the body behind it."""
    return f"declare -A should=(\n{''.join(f'[{quote(name)}]={quote(value)}' + chr(10) for name, value in table.items())})\n{BODY.read_text('ascii')}"


def quote(text: str) -> str:
    """One word of bash."""
    return "'" + text.replace("'", "'\\''") + "'"


def write(folder: Path, hosts: Mapping[str, LinuxBox], tables: Mapping[str, Table]) -> None:
    """The scripts, and what ssh has to know of the hosts."""
    folder.mkdir(parents=True, exist_ok=True)
    key = next(iter(hosts.values())).key
    known = "".join(f"{host.address} {host.host_key}\n" for host in hosts.values())
    (folder / "known_hosts").write_text(known, encoding="ascii")
    lines = [line for name, host in hosts.items() for line in (f"Host {name}", f"HostName {host.address}")]
    lines += ["Host *", "User root", f"IdentityFile {key}", "IdentitiesOnly yes", f"UserKnownHostsFile {folder / 'known_hosts'}"]
    lines += ["GlobalKnownHostsFile /dev/null", "BatchMode yes", "StrictHostKeyChecking yes"]
    (folder / "config").write_text("\n".join(lines) + "\n", encoding="ascii")
    for name, table in tables.items():
        (folder / f"{name}.sh").write_text(script(table), encoding="ascii")


def command(names: Sequence[str], options: str = "") -> list[str]:
    """To be run in that folder."""
    return ["bash", "-c", AT_ONCE, "floor", options, *names]
