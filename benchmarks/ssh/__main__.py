"""The command: prepares the hosts, lets the contenders take turns, prints the table and writes the JSON."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.ssh.checks import Table, missed, read_table
from benchmarks.ssh.contenders import Contender, contenders, with_wrong_tables
from benchmarks.ssh.hosts import Hosts, prepared_hosts
from benchmarks.ssh.measure import ContenderError, Run, measure, watch
from benchmarks.ssh.peers import Peers
from benchmarks.ssh.results import Block, Results, Row
from benchmarks.ssh.table import table
from nbserver.run.notebook_password import hash_password
from tests.boxes.linux.host import LinuxBox

# A contender that has taken so long with a number of hosts (seconds, its warm-up too) has no further run there.
LONG_ENOUGH = 400.0


def main() -> int:
    """0, or 2 when nothing could be measured."""
    options = _options()
    with contextlib.ExitStack() as stack:
        folder = options.host or Path(tempfile.mkdtemp(prefix="nbserver-benchmark-"))
        if not options.host:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            peers = None if options.no_peers else Peers(options.peers or folder / "peers")
            prepared = stack.enter_context(prepared_hosts(folder, max(options.hosts)))
            if peers:
                _say("installing pyinfra and ansible-core ...")
                peers.install()
            results = _benchmark(prepared, folder / "work", peers, options.hosts, options.runs)
        except (LookupError, RuntimeError, ContenderError) as error:
            print(error, file=sys.stderr)
            return 2
    print(table(results), end="")
    if options.json:
        options.json.write_text(json.dumps(results.as_json(), indent=1) + "\n", encoding="utf-8")
    if options.html:
        from benchmarks.ssh.page import page

        options.html.write_text(page(results), encoding="utf-8")
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.ssh", description="What it costs over SSH to see that nothing has to be changed."
    )
    parser.add_argument("--hosts", type=_numbers, default=[1, 10, 50], metavar="N,...", help="numbers of hosts (1,10,50)")
    parser.add_argument(
        "--runs", type=int, default=5, metavar="N", help="measured runs of each contender, after one that does not count (5)"
    )
    parser.add_argument("--host", type=Path, metavar="FOLDER", help="keep the prepared host there, and use it again the next time")
    parser.add_argument(
        "--peers", type=Path, metavar="FOLDER", help="a virtual environment with pyinfra and ansible-core; made if not there"
    )
    parser.add_argument("--no-peers", action="store_true", help="leave pyinfra and Ansible out")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON as well")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the results as a page with bars as well")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs is at least 1")
    for name in ("host", "peers"):
        if getattr(options, name):
            setattr(options, name, getattr(options, name).absolute())
    return options


def _numbers(text: str) -> list[int]:
    numbers = sorted({int(part) for part in text.split(",")})
    if not 1 <= numbers[0] <= numbers[-1] <= 200:
        raise ValueError("from 1 to 200")
    return numbers


def _benchmark(prepared: Hosts, folder: Path, peers: Peers | None, numbers: Sequence[int], runs: int) -> Results:
    tables = {name: read_table(host) for name, host in prepared.hosts.items()}
    first = next(iter(tables))
    refused = refuse_wrong_values(prepared, {first: tables[first]}, folder / "wrong", peers)
    _say(f"{refused} wrong values in the list of checks were tried, and all were refused by each")
    load = []
    blocks = []
    for number in numbers:
        names = list(prepared.hosts)[:number]
        taking_part = contenders(prepared, {name: tables[name] for name in names}, folder / str(number), peers)
        load.append(os.getloadavg()[1])
        blocks.append(Block(number, take_turns(taking_part, [prepared.hosts[name] for name in names], runs)))
    ssh = subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True).stderr.split(",")[0]
    facts = {
        "measured": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, load average "
        f"{', '.join(f'{one:.1f}' for one in load)} over the five minutes before each number of hosts",
        "software": ", ".join([f"Python {platform.python_version()}", ssh, *(peers.versions() if peers else [])]),
        "hosts": f"{len(prepared.hosts)} booted Debian 12 hosts in boxes on the same machine, each with systemd, sshd and a running notebook server",
        "password": f"its argon2 hash, which only nbserver derives, once for all hosts that have the same: {_hash_seconds():.3f} s of CPU",
        "checks": f"{len(tables[first])} values a host; all of them wrong were tried once, and each contender but nbserver refused every one",
    }
    return Results(blocks, facts)


def _hash_seconds(count: int = 5) -> float:
    """CPU seconds that nbserver takes for the hash of one password."""
    hash_password("password", bytes(16))  # imports count for none
    began = time.process_time()
    for number in range(count):
        hash_password(f"password {number}", bytes(16))
    return (time.process_time() - began) / count


def refuse_wrong_values(prepared: Hosts, tables: Mapping[str, Table], folder: Path, peers: Peers | None) -> int:
    """How many wrong values were tried; each contender refused all of them. Raises ContenderError when one did not."""
    hosts = [prepared.hosts[name] for name in tables]
    for one in with_wrong_tables(prepared, tables, folder, peers):
        ended = watch(one, hosts)
        unnoticed = [name for each in tables.values() for name in missed(each, ended.output)]
        if unnoticed or not ended.status:
            raise ContenderError(f"{one.name} did not refuse a wrong value of {', '.join(unnoticed)}: {ended.output[-1500:]}")
    return sum(len(each) for each in tables.values())


def take_turns(taking_part: Sequence[Contender], hosts: Sequence[LinuxBox], runs: int) -> list[Row]:
    """All take turns, so that a busy minute of the machine meets each of them. In the warm-up their memory is looked at.

    Raises ContenderError when the floor or nbserver fails.
    """
    done: dict[str, list[Run]] = {one.name: [] for one in taking_part}
    memory: dict[str, int] = {}
    failures: dict[str, str] = {}
    spent = dict.fromkeys(done, 0.0)
    for turn in range(runs + 1):
        for one in taking_part:
            if one.name in failures or (turn > 1 and spent[one.name] > LONG_ENOUGH):
                continue
            try:
                run = measure(one, hosts, with_memory=not turn)
            except ContenderError as error:
                if one.name in ("ssh", "nbserver"):
                    raise
                failures[one.name], done[one.name] = str(error), []
                _say(str(error))
                continue
            spent[one.name] += run.wall
            _say(f"{len(hosts)} hosts, {turn or 'warm-up'}: {one.name} {run.wall:.2f} s, CPU {run.cpu:.2f} s, a host {run.host_cpu:.2f} s")
            if turn:
                done[one.name].append(run)
            else:
                memory[one.name] = run.memory
    return [Row(one.name, one.what, done[one.name], memory.get(one.name, 0), failures.get(one.name, "")) for one in taking_part]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the hosts are removed then too
    sys.exit(main())
