"""The steps that need no package and no systemd, on a host where preflight finds its folder."""

from __future__ import annotations

import base64

import pytest

from tests.linux import parts
from tests.linux.fixtures import sandbox
from tests.linux.sandbox import Sandbox

__all__ = ["sandbox"]
NO_ENVIRONMENT = "LOCK_MARK=/opt/nbserver/env-00000000/nbserver.lock"  # of the step packages, which is none of these
STEPS = [NO_ENVIRONMENT, *(parts.step(name) for name in ("preflight", "user", "certificate", "notebook"))]
HASH = "argon2:$argon2id$v=19$m=10240,t=10,p=8$AAAAAAAAAAAAAAAAAAAAAA$abc+/DEF"
SECRETS = f"secret notebook.password_hash {base64.b64encode(HASH.encode()).decode()}\n"


@pytest.fixture
def host(sandbox: Sandbox) -> Sandbox:
    """preflight looks for this folder; systemd itself is not needed by these steps."""
    sandbox.run("mkdir", "-p", "/run/systemd/system")
    return sandbox
