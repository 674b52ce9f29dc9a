"""Restore-key: the server gets the key and certificate of a backup, or keeps its own."""

from __future__ import annotations

import base64

from tests.linux.fixtures import run, sandbox
from tests.linux.sandbox import Sandbox
from tests.steps.linux.small_steps import host
from tests.steps.linux.test_server_life import ALL, code, deployed, differences, history
from tests.steps.linux.test_server_secrets import CERTIFICATE, CHOOSY, KEY, WITH_PORT, in_force

__all__ = ["deployed", "host", "sandbox"]


def sent(key: bytes, certificate: bytes) -> str:
    """The lines of the envelope with a key and its certificate."""
    texts = {"certificate.chain": certificate, "certificate.key": key}
    return "".join(f"secret {name} {base64.b64encode(text).decode()}\n" for name, text in texts.items())


def test_the_server_presents_the_certificate_of_the_backup(deployed: Sandbox) -> None:
    key, certificate = deployed.read(KEY), deployed.read(CERTIFICATE)
    fingerprint = run(deployed, "test", ALL).events[-1]["fingerprint"]
    assert run(deployed, "rotate-certificate", WITH_PORT).outcome == "ok" and deployed.read(KEY) != key
    history(deployed)
    done = run(deployed, "restore-key", WITH_PORT, secrets=sent(key, certificate))
    assert done.outcome == "ok", done.events
    assert (deployed.read(KEY), deployed.read(CERTIFICATE)) == (key, certificate) and deployed.access(KEY) == "root:nbserver 640"
    assert done.events[-1]["fingerprint"] == fingerprint and in_force(deployed) and history(deployed) == ["enable", "restart"]
    assert [step for step, event in done.steps if event == "changed"] == ["certificate", "service", "check"]
    again = run(deployed, "restore-key", WITH_PORT, secrets=sent(key, certificate))
    assert again.events[-1]["changed"] == 0 and history(deployed) == []
    deployed.run("rm", "/tmp/systemd/active")
    assert run(deployed, "restore-key", WITH_PORT, secrets=sent(key, certificate)).outcome == "ok" and in_force(deployed), "it was cut off"
    assert run(deployed, "undo", ALL).outcome == "ok" and not deployed.exists(KEY)


def test_a_server_that_does_not_start_with_it_keeps_its_own(deployed: Sandbox) -> None:
    key, certificate = deployed.read(KEY), deployed.read(CERTIFICATE)
    assert run(deployed, "rotate-certificate", WITH_PORT).outcome == "ok"
    own = [deployed.read(path) for path in (KEY, CERTIFICATE)]
    deployed.run("cp", CERTIFICATE, "/tmp/first.pem")
    assert code(run(deployed, "restore-key", [*WITH_PORT, CHOOSY], secrets=sent(key, certificate))) == "certificate-switched-back"
    assert [deployed.read(path) for path in (KEY, CERTIFICATE)] == own and in_force(deployed) and differences(deployed) == []


def test_only_a_server_of_nbserver_gets_a_key_and_only_one_that_was_sent(deployed: Sandbox) -> None:
    key, certificate = deployed.read(KEY), deployed.read(CERTIFICATE)
    history(deployed)
    for secrets in ("", sent(key, certificate).splitlines()[0] + "\n", sent(b"no key", certificate)):
        assert code(run(deployed, "restore-key", WITH_PORT, secrets=secrets)) == "restored-key-not-sent"
    assert history(deployed) == [] and run(deployed, "undo", ALL).outcome == "ok"
    assert code(run(deployed, "restore-key", WITH_PORT, secrets=sent(key, certificate))) == "server-not-installed"
    assert not deployed.exists(KEY)
