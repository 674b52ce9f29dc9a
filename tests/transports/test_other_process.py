"""One host's run in another process, over a real sshd: its journal is that of a run in this process."""

from __future__ import annotations

import json
import multiprocessing
import re
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from nbserver.run import host_call
from nbserver.run.envelope import PasswordHash
from nbserver.run.host_call import HostCall
from nbserver.run.host_job import HostJob
from nbserver.run.journal import Journal
from nbserver.run.result import Result
from nbserver.run.secret_mask import SecretMask
from nbserver.transports.transport import LogonSecrets
from tests.boxes.ssh.fixtures import PASSWORD, host_of, sshd, state, user  # noqa: F401
from tests.boxes.ssh.small_script import EVENTS, small_script
from tests.boxes.ssh.sshd import Sshd, User

HASH = "argon2:$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw$the-hash"
KEY = "the key of the certificate"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def journal_of(folder: Path) -> dict[str, str]:
    """The files of the host, without the times and the run's name."""
    texts = {path.name: path.read_text() for path in sorted(folder.iterdir())}
    return {name: TIME.sub("TIME", text).replace(folder.parent.name, "RUN") for name, text in texts.items()}


def files_in_chain(folder: Path) -> list[str]:
    return [json.loads(line)["file"] for line in (folder / "chain.jsonl").read_text().splitlines()]


def without_places(result: Result, run: str) -> str:
    return str(result.as_json()).replace(run, "RUN")


@pytest.mark.parametrize("port", [None, 1], ids=["answers", "closed"])
def test_the_journal_is_the_same(sshd: Sshd, user: User, state: Path, tmp_path: Path, port: int | None) -> None:
    user.sudo("%u ALL=(root) PASSWD: ALL")
    host = host_of(sshd, user, sudo=True, **({"port": port} if port else {}))
    script = small_script(host.name, state)
    job = HostJob(host, script, LogonSecrets(sudo_password=PASSWORD), {"certificate.key": KEY}, "a plain password")
    mask = SecretMask([script.text])
    mask.add(*job.secrets, HASH)
    found = []
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as processes:
        for name in ("run-here", "run-there"):
            journal = Journal(tmp_path, name, "apply", "me", mask.text)
            part = journal.host(script)
            call = HostCall(job, "apply", name, "me", mask, PasswordHash(lambda: HASH), evidence=journal.head.sha256)
            if name == "run-here":
                result = call.execute(part, threading.Event(), lambda name, event: None)
            else:
                outcome = processes.submit(host_call.execute, call.portable()).result()
                result = outcome.result
                outcome.collected.write_to(part)
            part.close()
            journal.finish({host.name: result.as_json()})
            found.append((without_places(result, name), journal_of(part.folder), files_in_chain(journal.folder)))
    here, there = found
    assert here == there
    if port:
        assert result.outcome == "unreachable" and result.detail["code"] and not here[1]["events.jsonl"]
    else:
        assert script.sha256 in here[1]["script.sha256"]
        assert result.outcome == "ok" and len(here[1]["events.jsonl"].splitlines()) == EVENTS
        assert "secret notebook.password_hash" in here[1]["envelope.txt"] and (state / "applied").read_text().split() == [
            "run-here",
            "run-there",
        ]
    assert not [secret for secret in (HASH, KEY, PASSWORD) for text in here[1].values() if secret in text]
