"""One host's run is a value: nothing of it is lost on the way to another process, and its repr shows no secret."""

from __future__ import annotations

import pickle
import threading
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import ScriptError
from nbserver.inventory import reader
from nbserver.inventory.hosts import AnyHost
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.render import render
from nbserver.run import host_call
from nbserver.run.envelope import PasswordHash
from nbserver.run.host_call import HostCall
from nbserver.run.host_job import HostJob
from nbserver.run.journal import Journal
from nbserver.run.record import Collected
from nbserver.run.secret_mask import SecretMask
from nbserver.transports.transport import LogonSecrets
from tests.unit.run.test_host_run import LOST, Told, ended, event

INVENTORY = """
[defaults]
notebook.password = { env = "NOTEBOOK" }
[hosts.win]
system = "windows"
address = "192.0.2.1"
user = "admin"
password = { env = "LOGON" }
[hosts.lin]
system = "linux"
address = "192.0.2.2"
user = "root"
"""
LOGON, NOTEBOOK, KEY, HASH = (
    "correct horse battery",
    "staple battery horse",
    "the key of the certificate",
    "argon2:$argon2id$v=19$hash-of-it",
)
SECRETS = (LOGON, NOTEBOOK, KEY, HASH)


def hosts(folder: Path) -> list[AnyHost]:

    (folder / "nbserver.toml").write_text(INVENTORY)
    return [*reader.load(folder / "nbserver.toml").hosts.values(), LocalLinuxHost()]


def call_of(host: AnyHost) -> HostCall:
    ((script, _),) = render.render_all([host])
    job = HostJob(host, script, LogonSecrets(LOGON, LOGON, LOGON), {"certificate.key": KEY}, NOTEBOOK)
    mask = SecretMask([script.text])
    mask.add(*SECRETS)
    return HostCall(job, "apply", "run-1", "me", mask, PasswordHash(lambda: HASH))


class Saying(Told):
    """A host that loses the connection once, and says the secret of another host."""

    def run(self, script: str, envelope: Any) -> Any:
        head = {"run": "run-1", "mode": "apply", "operator": "me", "release": "0.6.0", "host": "lin"}
        started = event(1, "started", **head, script_sha256=sha256(script.encode()).hexdigest())
        said = event(2, "log", "packages", text=f"somebody wrote {NOTEBOOK}")
        self.connections = [[started, LOST] if envelope[0] == "mode apply" else [said, ended(3, "ok", changed=1)]]
        return super().run(script, envelope)


def test_a_call_survives_pickling(tmp_path: Path) -> None:
    for host in hosts(tmp_path):
        call = call_of(host)
        portable = call.portable()
        again = pickle.loads(pickle.dumps(portable))
        assert (again.job.host, again.job.script, again.job.logon) == (call.job.host, call.job.script, call.job.logon)
        assert (again.mode, again.run, again.operator, again.job.certificate) == (call.mode, call.run, call.operator, call.job.certificate)
        assert again.password.compute() == HASH and again.mask.text(f"a {LOGON} b") == "a ***** b"
        assert again.job.password is None, "only the hash leaves the process"
        again.mask.add("another secret")  # its lock is new
        for shown in (repr(call), repr(portable), repr(again), f"{again.job}", f"{again.password}"):
            assert not [secret for secret in SECRETS if secret in shown]


def test_a_password_that_cannot_be_hashed_is_reported_before_the_call_leaves(tmp_path: Path) -> None:
    def compute() -> str:
        raise ScriptError("no-argon2id", "no Argon2id", host="win")

    call = call_of(hosts(tmp_path)[0])
    with pytest.raises(ScriptError, match="no Argon2id"):
        HostCall(call.job, "apply", "run-1", "me", call.mask, PasswordHash(compute)).portable()


def test_what_was_collected_is_what_the_journal_would_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbserver.transports.connect.connect_to", lambda *given: Saying())
    monkeypatch.setattr("nbserver.run.host_run.REJOIN_PAUSES", (0.0,))
    call, found = call_of(hosts(tmp_path)[1]), []
    for here in (True, False):
        journal = Journal(tmp_path / f"runs-{here}", "run-1", "apply", "me", call.mask.text)
        part = journal.host(call.job.script)
        if here:
            result = call.execute(part, threading.Event(), lambda name, event: None)
        else:
            outcome = pickle.loads(pickle.dumps(host_call.execute(pickle.loads(pickle.dumps(call.portable())))))
            assert isinstance(outcome.collected, Collected)
            result = outcome.result
            outcome.collected.write_to(part)
        part.close()
        texts = {path.name: path.read_text() for path in part.folder.iterdir()}
        texts["log.txt"] = "\n".join(line.partition("  ")[2] for line in texts["log.txt"].splitlines())
        texts["envelope.txt"] = "\n".join(line for line in texts["envelope.txt"].splitlines() if not line.startswith("time "))
        found.append((result, texts))
    assert found[0] == found[1]
    result, texts = found[0]
    assert result.outcome == "failed" and result.detail["code"] == "secret-in-event" and "*****" in texts["events.jsonl"]
    assert len(texts["events.jsonl"].splitlines()) == 3 and "Requesting the events after event 1" in texts["log.txt"]
    assert not [secret for secret in SECRETS for text in texts.values() if secret in text]
