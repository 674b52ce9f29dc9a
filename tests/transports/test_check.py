"""A check over a real connection: what the workstation finds out, and what the script reports, in one list."""

from __future__ import annotations

import threading
from typing import Any

from nbserver.render import render
from nbserver.run.host_call import HostCall, execute
from nbserver.run.host_job import HostJob
from nbserver.run.result import Result
from nbserver.run.secret_mask import SecretMask
from nbserver.transports.transport import LogonSecrets
from tests.boxes.ssh.fixtures import host_of, sshd, user  # noqa: F401
from tests.boxes.ssh.sshd import Sshd, User
from tests.ports import free_port


def checked(server: Sshd, account: User, **settings: Any) -> Result:
    host = host_of(server, account, **settings)
    ((script, _),) = render.render_all([host])
    call = HostCall(HostJob(host, script, LogonSecrets()), "check", f"run-{threading.get_ident()}", "me", SecretMask())
    return execute(call).result


def test_a_check_reports_the_connection_and_then_the_host(sshd: Sshd, user: User) -> None:
    closed = f"http://127.0.0.1:{free_port()}/simple"
    result = checked(sshd, user, packages=host_of(sshd, user).packages.model_copy(update={"index_url": closed}))
    states = {finding.name: finding.state for finding in result.findings}
    assert list(states)[:3] == ["port", "host_key", "logon"] and "sudo" not in states
    assert result.outcome == "failed" and states["rights"] == "failed", "the account is not root"
    assert states["architecture"] == states["clock"] == "ok" and states["package_index"] == "failed"
    assert result.detail["code"] == "requirements-not-met" and "rights" in result.error
    assert result.as_json()["findings"][0]["code"] == "check-port"


def test_a_host_that_cannot_be_reached(sshd: Sshd, user: User) -> None:
    found = [(finding.name, finding.state) for finding in checked(sshd, user, port=free_port()).findings]
    assert found == [("port", "failed"), ("other_requirements", "unknown")]
