"""A host where whoever writes to /etc/powers has root, as with /etc/sudoers.d, and the steps that use its folders."""

from __future__ import annotations

import base64

import pytest

from tests.linux import parts
from tests.linux.fixtures import Run, run, sandbox
from tests.linux.sandbox import Sandbox

__all__ = ["sandbox"]
POWERS = "/etc/powers"
STATE = "/var/lib/nbserver/state"
NO_ENVIRONMENT = "LOCK_MARK=/opt/nbserver/env-00000000/nbserver.lock"  # of the step packages, which is not among these
PREFLIGHT, USER, NOTEBOOK = [NO_ENVIRONMENT, parts.step("preflight")], parts.step("user"), parts.step("notebook")
FILES = "NOTEBOOK_PYTHON=/usr/bin/python3\nCERTIFICATE_FILE=$CONFIGURATION_FOLDER/certificate.pem KEY_FILE=$CONFIGURATION_FOLDER/key.pem"
STEPS = [*PREFLIGHT, USER, FILES, NOTEBOOK]
SECRETS = f"secret notebook.password_hash {base64.b64encode(b'argon2:x').decode()}\n"
NOTEBOOKS = "/srv/people/notebooks"


@pytest.fixture
def host(sandbox: Sandbox) -> Sandbox:
    """With a folder that gives power, and with anna, whose group is her own."""
    sandbox.run(
        "bash",
        "-ec",
        f"mkdir -p /run/systemd/system /home; mkdir -m 750 {POWERS}; echo 'root ALL=(ALL) ALL' >{POWERS}/sudoers; chmod 440 {POWERS}/sudoers",
    )
    sandbox.run(
        "bash",
        "-ec",
        "groupadd --gid 54321 anna; useradd --uid 54321 --gid anna --no-create-home --home-dir /home/anna anna; mkdir -m 755 /home/anna; chown anna:anna /home/anna",
    )
    return sandbox


def powers(host: Sandbox) -> bytes:
    """Who may do what there, and what is in it."""
    return host.run("bash", "-c", f"stat -c '%n %U:%G %a %h' {POWERS} {POWERS}/*; cat {POWERS}/* 2>/dev/null || true").stdout


def changed(name: str, code: str) -> str:
    """A step that is somebody who is quick: between the test of all steps and the apply of the next one."""
    return f"step {name} 'somebody is quick'\n{name}_test() {{ [[ -e /run/{name} ]] || differs done {name} '' done; }}\n{name}_apply() {{\n{code}\nprintf '' >/run/{name}\n}}\n"


def apply(host: Sandbox, steps: list[str] = STEPS, directory: str = NOTEBOOKS, mode: str = "apply") -> Run:
    return run(host, mode, steps, secrets=SECRETS, notebook={**parts.SETTINGS["notebook"], "directory": directory})


def refused(done: Run, *words: str, step: str = "preflight") -> None:
    (failed,) = done.of("failed")
    assert done.outcome == "failed" and failed["step"] == step and all(word in failed["text"] for word in words), failed
