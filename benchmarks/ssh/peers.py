"""The contenders pyinfra and Ansible: both in one virtual environment of their own, and what they read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.ssh.checks import CERTIFICATE, LASTS, PACKAGES, SHOWN, UNIT, USER, Table, of_kind
from benchmarks.ssh.floor import script
from benchmarks.ssh.hosts import PORT
from tests.boxes.linux.host import LinuxBox

ONE_TASK = [
    {
        "name": "one script",
        "ansible.builtin.command": {
            "cmd": "bash -s",
            "stdin": "{{ lookup('ansible.builtin.file', scripts ~ '/' ~ inventory_hostname ~ '.sh') }}",
        },
        "changed_when": False,
    }
]
ANSIBLE_SETTINGS = """[defaults]
host_key_checking = True
[ssh_connection]
pipelining = True
"""


class Peers:
    """ansible-core and pyinfra in the virtual environment `folder`, which is made if it is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self) -> None:
        """Raises RuntimeError with pip's words."""
        if (self.folder / "bin" / "pyinfra").is_file():
            return
        for command in (
            [sys.executable, "-m", "venv", str(self.folder)],
            [str(self.folder / "bin" / "python"), "-m", "pip", "install", "-q", "ansible-core", "pyinfra"],
        ):
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"ansible-core and pyinfra could not be installed: {done.stdout[-1000:]}")

    def versions(self) -> list[str]:
        """`ansible-core 2.19.14`, `pyinfra 3.10.0`, `paramiko 4.0.0`."""
        code = "import importlib.metadata as m; print(*(f'{n} {m.version(n)}' for n in ('ansible-core', 'pyinfra', 'paramiko')), sep=';')"
        done = subprocess.run([str(self.folder / "bin" / "python"), "-c", code], capture_output=True, text=True, check=True)
        return done.stdout.strip().split(";")

    def pyinfra(self) -> list[str]:
        """To be run in the folder that `write_pyinfra` wrote."""
        return [str(self.folder / "bin" / "pyinfra"), "inventory.py", "deploy.py", "--yes"]

    def ansible(self, playbook: str, forks: int) -> list[str]:
        """To be run in the folder that `write_ansible` wrote."""
        return [str(self.folder / "bin" / "ansible-playbook"), "-i", "hosts.json", "-f", str(forks), playbook]

    def ansible_variables(self, folder: Path) -> dict[str, str]:
        """Of the environment: nothing of what Ansible may be configured with here."""
        home = str(folder / "home")
        return {"ANSIBLE_HOME": home, "ANSIBLE_CONFIG": str(folder / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"}


def commands(table: Table) -> dict[str, str]:
    """By name: a command whose output has the value, for what the contenders have no better means for."""
    (wheels,) = of_kind(table, "wheels")
    return {
        f"wheels {wheels}": f"cd {wheels} && LC_ALL=C ls -d *.dist-info",
        f"user {USER}": f"getent passwd {USER}",
        f"certificate {CERTIFICATE}": LASTS,
        f"port {PORT}": SHOWN,
    }


def write_pyinfra(folder: Path, hosts: Mapping[str, LinuxBox], tables: Mapping[str, Table], known_hosts: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for name, table in tables.items():
        data: dict[str, Any] = {
            "ssh_hostname": hosts[name].address,
            "ssh_user": "root",
            "ssh_key": str(hosts[name].key),
            "ssh_allow_agent": False,
            "ssh_look_for_keys": False,
            "ssh_known_hosts_file": str(known_hosts),
            "ssh_strict_host_key_checking": "yes",
            "should": dict(table),
            "commands": commands(table),
        }
        entries.append((name, data))
    (folder / "inventory.py").write_text(f"hosts = {entries!r}\n", encoding="utf-8")
    shutil.copy(Path(__file__).with_name("pyinfra_deploy.py"), folder / "deploy.py")


def write_ansible(folder: Path, hosts: Mapping[str, LinuxBox], tables: Mapping[str, Table], known_hosts: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    entries = {
        name: {
            "ansible_host": hosts[name].address,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(hosts[name].key),
            "ansible_ssh_common_args": f"-F none -o UserKnownHostsFile={known_hosts} -o IdentitiesOnly=yes",
            "ansible_python_interpreter": "/usr/bin/python3",
            "should": dict(table),
        }
        for name, table in tables.items()
    }
    (folder / "hosts.json").write_text(json.dumps({"all": {"hosts": entries}}), encoding="utf-8")
    (folder / "ansible.cfg").write_text(ANSIBLE_SETTINGS, encoding="utf-8")
    first = next(iter(tables.values()))
    for name, tasks in (("playbook.json", ansible_tasks(first)), ("one-task.json", ONE_TASK)):
        play = {"hosts": "all", "gather_facts": False, "vars": {"scripts": str(folder)}, "tasks": tasks}
        (folder / name).write_text(json.dumps([play], indent=1), encoding="utf-8")
    for name, table in tables.items():
        (folder / f"{name}.sh").write_text(script(table), encoding="ascii")


def ansible_tasks(table: Table) -> list[dict[str, Any]]:
    """A `stat` for each path, its other modules and commands for the rest; then all values are compared, on the controller."""
    paths = sorted({*of_kind(table, "access"), *of_kind(table, "contents")})
    quiet = {"changed_when": False, "failed_when": False}
    tasks: list[dict[str, Any]] = [
        {
            "name": "files",
            "ansible.builtin.stat": {"path": "{{ item }}", "checksum_algorithm": "sha256", "get_mime": False, "get_attributes": False},
            "loop": paths,
            "register": "files",
            "failed_when": False,
        },
        {
            "name": "packages",
            "ansible.builtin.command": {"argv": ["dpkg-query", "--show", "--showformat=${Package} ${Version}\\n", *PACKAGES]},
            "register": "packages",
            **quiet,
        },
        {"name": "unit", "ansible.builtin.systemd_service": {"name": UNIT}, "register": "unit", "failed_when": False},
    ]
    found = [
        "{% set is = namespace(found={}) %}",
        "{% for one in files.results if one.stat.exists %}",
        "{% set access = one.stat.pw_name ~ ':' ~ one.stat.gr_name ~ ' ' ~ one.stat.mode[1:] %}",
        "{% set is.found = is.found | combine({'access ' ~ one.item: access, 'contents ' ~ one.item: one.stat.checksum | default('')}) %}",
        "{% endfor %}",
        "{% for line in packages.stdout_lines %}",
        "{% set is.found = is.found | combine({'package ' ~ line.split(' ')[0]: line.split(' ')[1]}) %}",
        "{% endfor %}",
        f"{{% set is.found = is.found | combine({{'unit {UNIT}': unit.status.ActiveState ~ ' ' ~ unit.status.UnitFileState}}) %}}",
    ]
    for number, (name, command) in enumerate(commands(table).items()):
        task = f"command_{number}"
        tasks.append({"name": name, "ansible.builtin.shell": {"cmd": command}, "register": task, **quiet})
        value = f"{task}.stdout.split() | join(' ')"
        if name.startswith(("certificate", "port")):
            value = f"({task}.stdout_lines | first | default('')).split('=') | last if {task}.rc == 0 else ''"
        found.append(f"{{% set is.found = is.found | combine({{'{name}': {value}}}) %}}")
    differs = "{% for name in should if is.found.get(name) != should[name] %}differs: {{ name }}\n{% endfor %}"
    tasks.append(
        {
            "name": "compare",
            "vars": {"wrong": "".join(found) + differs},
            "ansible.builtin.fail": {"msg": "{{ wrong }}"},
            "when": "wrong | default('', true) | trim != ''",
        }
    )
    return tasks
