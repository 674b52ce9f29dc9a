"""A step that exceeds its limit on a real SSH host: the script is stopped, and says so itself."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import replace
from pathlib import Path

from nbserver.run.host_call import HostCall
from nbserver.run.host_job import HostJob
from nbserver.run.journal import Journal
from nbserver.run.secret_mask import SecretMask
from nbserver.transports.transport import LogonSecrets
from tests.boxes.ssh.fixtures import host_of, sshd, state, user, wait_until  # noqa: F401
from tests.boxes.ssh.small_script import small_script
from tests.boxes.ssh.sshd import Sshd, User


def test_a_step_that_hangs_is_stopped(sshd: Sshd, user: User, state: Path, tmp_path: Path) -> None:
    script = small_script("linux1", state)
    text = script.text.replace("say one unchanged", r'say one started ",\"title\":\"x\""')
    assert text != script.text
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    script = replace(script, parts=(text,), sha256=digest, body_sha256=digest)
    (state / "hold").write_text("3")
    host = host_of(sshd, user, step_timeout=0.5)
    part = Journal(tmp_path, "run-1", "apply", "me").host(script)
    call = HostCall(HostJob(host, script, LogonSecrets()), "apply", "run-1", "me", SecretMask([]))
    result = call.execute(part, threading.Event(), lambda name, event: None)
    part.close()
    assert (result.outcome, result.error_kind, result.detail["code"]) == ("failed", "timeout", "step-too-slow"), result.error
    last = json.loads((tmp_path / "run-1" / "linux1" / "events.jsonl").read_text().splitlines()[-1])
    assert (last["event"], last["outcome"]) == ("finished", "stopped")
    assert json.loads((state / "run-1.jsonl").read_text().splitlines()[-1]) == last, "the host has the same record"
