"""Who is measured: each a command of its own that sees to it that the same hosts are as they should be."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.ssh import floor
from benchmarks.ssh.checks import Table, all_wrong
from benchmarks.ssh.hosts import Hosts
from benchmarks.ssh.peers import Peers, write_ansible, write_pyinfra

FLOOR = "ssh"
FAST_EXCHANGE = "-o KexAlgorithms=curve25519-sha256"


@dataclass(frozen=True)
class Contender:
    """`command` runs in `folder` with `variables` laid over the environment; it ends with 0 when the hosts are as they should be.

    `passed` says so from what it printed, where the exit code does not. `compares` is whether it compares the table, so
    that a wrong one must be refused.
    """

    name: str
    what: str
    command: Sequence[str]
    folder: Path
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    passed: Callable[[str], bool] = lambda output: True
    compares: bool = True


def contenders(prepared: Hosts, tables: Mapping[str, Table], folder: Path, peers: Peers | None) -> list[Contender]:
    """For the hosts of `tables`. The floor first; the others are compared with it. What they read is written below `folder`."""
    names = list(tables)
    inside = prepared.lab.command
    shell = folder / "ssh"
    floor.write(shell, prepared.hosts, tables)
    known = shell / "known_hosts"
    found = [
        Contender(FLOOR, "ssh HOST bash -s < script, a process for each host, all at once", inside(*floor.command(names)), shell),
        Contender(
            "ssh, curve25519",
            "the same with KexAlgorithms=curve25519-sha256, which is what the libraries of nbserver and pyinfra agree on with this sshd",
            inside(*floor.command(names, FAST_EXCHANGE)),
            shell,
        ),
        Contender(
            "nbserver",
            "nbserver apply: locks, tests every step, records the run on the host and here, derives the password's hash",
            prepared.nbserver("apply", "--json", "--forks", str(len(names)), *names),
            prepared.folder,
            prepared.variables,
            _nothing_changed,
            compares=False,
        ),
        Contender(
            "nbserver, default --forks",
            "the same without --forks: 50 hosts at a time",
            prepared.nbserver("apply", "--json", *names),
            prepared.folder,
            prepared.variables,
            _nothing_changed,
            compares=False,
        ),
        Contender(
            "nbserver status",
            "all steps are tested, and the server is described: no password, so nothing is hashed",
            prepared.nbserver("status", "--json", "--forks", str(len(names)), *names),
            prepared.folder,
            prepared.variables,
            _nothing_changed,
            compares=False,
        ),
    ]
    if not peers:
        return found
    write_pyinfra(folder / "pyinfra", prepared.hosts, tables, known)
    write_ansible(folder / "ansible", prepared.hosts, tables, known)
    ansible = peers.ansible_variables(folder / "ansible")
    return [
        *found,
        Contender(
            "pyinfra", "its facts, one command on the host each, compared in the deploy", inside(*peers.pyinfra()), folder / "pyinfra"
        ),
        Contender(
            "Ansible, one task",
            "a playbook whose one task runs the floor's script",
            inside(*peers.ansible("one-task.json", len(names))),
            folder / "ansible",
            ansible,
        ),
        Contender(
            "Ansible",
            "a playbook of its modules without facts, pipelining on, a fork for each host",
            inside(*peers.ansible("playbook.json", len(names))),
            folder / "ansible",
            ansible,
        ),
    ]


def with_wrong_tables(prepared: Hosts, tables: Mapping[str, Table], folder: Path, peers: Peers | None) -> list[Contender]:
    """The same with every value wrong: each contender that compares must refuse all of them."""
    wrong = {name: all_wrong(table) for name, table in tables.items()}
    return [one for one in contenders(prepared, wrong, folder, peers) if one.compares]


def _nothing_changed(output: str) -> bool:
    """From the summary, the last line that nbserver prints."""
    hosts = json.loads(output.splitlines()[-1])["hosts"].values()
    return bool(hosts) and all(host["outcome"] == "ok" and host["changed"] == 0 for host in hosts)
