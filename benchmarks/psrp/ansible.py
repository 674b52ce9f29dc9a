"""The contender Ansible: ansible-core in a virtual environment of its own, its psrp connection, one `raw` task a check."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.psrp.checks import Check

PASSWORD_VARIABLE = "BENCHMARK_PASSWORD"


class Ansible:
    """ansible-core in the virtual environment `folder`, which is made if it is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def install(self) -> None:
        """Raises RuntimeError with pip's words."""
        if (self.folder / "bin" / "ansible-playbook").is_file():
            return
        pypsrp = f"pypsrp=={importlib.metadata.version('pypsrp')}"  # the same one that nbserver uses
        for command in (
            [sys.executable, "-m", "venv", str(self.folder)],
            [str(self.folder / "bin" / "python"), "-m", "pip", "install", "-q", "ansible-core", pypsrp],
        ):
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"ansible-core could not be installed: {done.stdout[-1000:]}")

    def version(self) -> str:
        """`ansible-core 2.19.14`."""
        code = "import importlib.metadata as m; print(m.version('ansible-core'))"
        done = subprocess.run([str(self.folder / "bin" / "python"), "-c", code], capture_output=True, text=True, check=True)
        return f"ansible-core {done.stdout.strip()}"

    def write_playbook(self, folder: Path, job: Mapping[str, Any], checks: Sequence[Check]) -> None:
        """A playbook of one play, without facts. The checks are variables that are not templated, as they are no Jinja."""
        folder.mkdir(parents=True, exist_ok=True)
        tasks = [
            {
                "name": check.step,
                "ansible.builtin.raw": f"{{{{ checks.{check.step} }}}}",
                "register": "done",
                "changed_when": False,
                "failed_when": f"done.rc != 0 or done.stdout_lines[-1:] != ['{check.answer}']",
            }
            for check in checks
        ]
        play = [{"hosts": "win1", "gather_facts": False, "vars_files": ["checks.yml"], "tasks": tasks}]
        (folder / "playbook.yml").write_text(json.dumps(play, indent=1), encoding="utf-8")
        texts = "".join(f"  {check.step}: !unsafe {json.dumps(check.text)}\n" for check in checks)
        (folder / "checks.yml").write_text(f"checks:\n{texts}", encoding="utf-8")
        host = {
            "ansible_connection": "ansible.builtin.psrp",
            "ansible_host": job["address"],
            "ansible_port": job["port"],
            "ansible_user": job["user"],
            "ansible_password": f"{{{{ lookup('ansible.builtin.env', '{PASSWORD_VARIABLE}') }}}}",
            "ansible_psrp_protocol": "https",
            "ansible_psrp_auth": "negotiate",
            "ansible_psrp_ca_cert": job["ca_file"],
            "ansible_psrp_ignore_proxy": True,
        }
        inventory = {"all": {"hosts": {"win1": host}}}
        (folder / "ansible.cfg").write_text("", encoding="utf-8")
        (folder / "hosts.yml").write_text(json.dumps(inventory, indent=1), encoding="utf-8")

    def command(self, folder: Path) -> list[str]:
        return [str(self.folder / "bin" / "ansible-playbook"), "-i", str(folder / "hosts.yml"), str(folder / "playbook.yml")]

    def variables(self, folder: Path, job: Mapping[str, Any]) -> dict[str, str]:
        """Of the environment: the password, and nothing of what Ansible may be configured with here."""
        return {
            PASSWORD_VARIABLE: job["password"],
            "ANSIBLE_HOME": str(folder / "home"),
            "ANSIBLE_CONFIG": str(folder / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "LC_ALL": "C.UTF-8",
        }
