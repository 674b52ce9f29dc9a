"""What Azure does with an exported template, as far as it concerns the script: the Run Command, and the way from the public address.

The rest of the template (machine, network, rules) is not performed; tests/unit/export/test_azure.py checks it.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.boxes.linux.carry import Forward, LoopThread, listen
from tests.checkout import CHECKOUT
from tests.formats import validate
from tests.site import Site

# What the inventory of a site's host has for the export.
AZURE: dict[str, Any] = {
    "notebook.public_url": "https://site-notebook.westeurope.cloudapp.azure.com",
    "azure.location": "westeurope",
    "azure.dns_label": "site-notebook",
    "azure.sources": ["192.0.2.0/24"],
}
PUBLIC_ADDRESS = "127.44.3.9"  # the public one of the load balancer


@dataclass(frozen=True)
class Agent:
    """What the agent of the machine gets: a script, and its parameters, some of them protected."""

    script: bytes
    parameters: Mapping[str, str]


def evaluated(expression: str, given: Mapping[str, str]) -> str:
    """The value of an expression of a template, which may have the functions below."""
    functions: dict[str, Callable[..., Any]] = {
        "parameters": lambda name: given[name],
        "empty": lambda text: not text,
        "base64": lambda text: base64.b64encode(text.encode()).decode(),
        "choose": lambda condition, yes, no: yes if condition else no,
    }

    def value(node: ast.expr) -> Any:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return functions[node.func.id](*map(value, node.args))
        assert isinstance(node, ast.Constant), ast.dump(node)
        return node.value

    text = expression.removeprefix("[").removesuffix("]").replace("if(", "choose(")  # a word of Python
    return str(value(ast.parse(text, mode="eval").body))


def agent(template: Mapping[str, Any], **given: str) -> Agent:
    """The Run Command of the template, with values of the deployment's parameters."""
    (resource,) = (one for one in template["resources"] if one["type"].endswith("/runCommands"))
    found = resource["properties"]
    values = [*found["parameters"], *found["protectedParameters"]]
    named = {one["name"]: evaluated(one["value"], given) for one in values}
    return Agent(found["source"]["script"].encode("ascii"), named)


class Deployment:
    """The exported template of the site's host, and what a person does with it, by the commands of docs/export.md.

    `run` is the agent of the machine: it runs a script with parameters, and returns its exit code and output.
    """

    def __init__(self, site: Site, run: Callable[[Agent], tuple[int, str]]) -> None:
        self.site, self._run = site, run
        done = site.run("export", "azure", site.name, "-o", "exported")
        assert done.returncode == 0, done.stderr
        self.template: dict[str, Any] = json.loads((site.folder / f"exported/{site.name}.azure.json").read_text("utf-8"))
        done = site.run("hash-password", site.name, text=f"{site.secrets['NOTEBOOK_PASSWORD']}\n")
        assert done.returncode == 0, done.stderr
        self.hash = done.stdout.strip()

    def create(self, run: str, **given: str) -> dict[str, Any]:
        """Deploys the template, and returns the last event that the machine reported, which Azure keeps."""
        defaults = {name: one["defaultValue"] for name, one in self.template["parameters"].items() if "defaultValue" in one}
        values = {**defaults, "run": run, "notebookPasswordHash": self.hash, **given}
        code, out = self._run(agent(self.template, **values))
        assert code == 0, out[-4096:]
        assert self.hash not in out
        events = [json.loads(line) for line in out.splitlines()]
        assert events[0]["script_sha256"] == self.template["outputs"]["scriptSha256"]["value"]
        assert len(out.splitlines()[-1]) < 4096
        return dict(events[-1])

    def expect(self, run: str, fingerprint: str) -> None:
        """Writes nbserver.known as the page shows it."""
        page = (CHECKOUT / "docs/export.md").read_text("utf-8")
        (line,) = (line.strip() for line in page.splitlines() if '"fingerprint": "SHA256:..."' in line)
        known = json.loads(line)
        known["hosts"] = {self.site.name: {**known["hosts"]["win1"], "fingerprint": fingerprint, "run": run}}
        validate("known", known)
        (self.site.folder / "nbserver.known").write_text(json.dumps(known))

    @contextlib.contextmanager
    def public(self, port: int) -> Iterator[None]:
        """The load balancer, from its public port to a port of this machine, at which the private port of the host is."""
        (balancer,) = (one for one in self.template["resources"] if one["type"].endswith("/loadBalancers"))
        (rule,) = (one["properties"] for one in balancer["properties"]["inboundNatRules"])
        assert rule["backendPort"] == self.site.settings["notebook.port"]
        thread = LoopThread()
        Forward(thread, listen(PUBLIC_ADDRESS, rule["frontendPort"]), ("127.0.0.1", port))
        try:
            yield
        finally:
            thread.close()

    def nbserver(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command of nbserver on a workstation that finds the public name in its DNS."""
        return PublicName(self.site, str(urlsplit(self.site.settings["notebook.public_url"]).hostname)).run(*arguments)


class PublicName(Site):
    """The same site, with another /etc/hosts for its commands."""

    def __init__(self, site: Site, name: str) -> None:
        self.__dict__.update(site.__dict__)
        self._hosts: Path = site.folder / "hosts"
        self._hosts.write_text(f"127.0.0.1 localhost\n{PUBLIC_ADDRESS} {name}\n")

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        with_hosts = 'mount --bind "$0" /etc/hosts && exec "$@"'
        return ["unshare", "--mount", "bash", "-c", with_hosts, str(self._hosts), *super()._command(arguments)]
