"""Set-password and rotate-certificate: one thing is replaced, the server restarts with it, and what is cut off is completed."""

from __future__ import annotations

import base64

from tests.linux.fixtures import run, sandbox
from tests.linux.parts import script
from tests.linux.sandbox import Sandbox
from tests.steps.linux.small_steps import SECRETS, host
from tests.steps.linux.test_rotation import password
from tests.steps.linux.test_server_life import ALL, CUT, code, deployed, differences, history
from tests.tier import FULL

__all__ = ["deployed", "host", "sandbox"]
CONFIGURATION, KEY, CERTIFICATE = (f"/etc/nbserver/{name}" for name in ("jupyter_config.json", "key.pem", "certificate.pem"))
# The certificate of the port is that of the server as it was started.
PORT = """
has_service_failed() { [[ ! -e /tmp/systemd/active ]]; }
read_shown() {
    SHOWN='' ANSWERS=()
    if [[ -e /tmp/systemd/active && $(</tmp/systemd/active) == "$(<"$CERTIFICATE_FILE")"* ]]; then SHOWN=$RUN_FINGERPRINT ANSWERS=(403 403); fi
}
"""
WITH_PORT = [*ALL, PORT]
# A server that does not start with any other than the first certificate.
CHOOSY = """
start_unit() {
    EXIT_CODE=0
    if [[ $(<"$CERTIFICATE_FILE") == "$(</tmp/first.pem)" ]]; then run_program systemctl restart; else run_program systemctl stop; fi
}
print_service_log() { echo 'no such key'; }
"""


OLD = b"argon2:$argon2id$v=19$m=10240,t=10,p=8$AAAAAAAAAAAAAAAAAAAAAA$abc+/DEF"
OTHER_LIMIT = {"service": {"cpu_quota": "infinity", "memory_max": "10%", "tasks_max": "15%"}}


def run_hash(name: str) -> bytes:
    return base64.b64decode(password(name).split()[2])


def served(host: Sandbox) -> bytes:
    """The certificate and the configuration that the server was started with."""
    return host.read("/tmp/systemd/active")


def in_force(host: Sandbox) -> bool:
    """Whether the server runs with the files that are installed, of which the plan knows no difference."""
    files = host.read(CERTIFICATE) + host.read(CONFIGURATION)
    return served(host) == files and differences(host) == []


def test_only_the_password_is_replaced(deployed: Sandbox) -> None:
    former, key, _ = deployed.read(CONFIGURATION), deployed.read(KEY), history(deployed)
    done = run(deployed, "set-password", ALL, secrets=password("new"), **OTHER_LIMIT)
    assert done.outcome == "ok" and history(deployed) == ["enable", "restart"]
    assert [step for step, event in done.steps if event == "changed"] == ["notebook", "service", "check"]
    now = deployed.read(CONFIGURATION)
    assert now.count(b"$new") == 2 and OLD not in now and deployed.read(KEY) == key and now in served(deployed)
    hashed = run_hash("new")
    assert now.replace(hashed, OLD) == former, "the rest of the file stays"
    assert b"MemoryMax=90%" in deployed.read("/etc/systemd/system/nbserver.service"), "the limit is left to an apply"
    assert run(deployed, "test", ALL, secrets=password("new")).code == 0
    again = run(deployed, "set-password", ALL, secrets=password("new"))
    assert again.events[-1]["changed"] == 0 and history(deployed) == []
    assert run(deployed, "undo", ALL).outcome == "ok" and not deployed.exists(CONFIGURATION)


def test_a_password_that_is_none_changes_nothing(deployed: Sandbox) -> None:
    former, _ = deployed.read(CONFIGURATION), history(deployed)
    assert (
        code(run(deployed, "set-password", ALL, secrets=password("x").replace(password("x").split()[2], "YiBi"))) == "password-hash-invalid"
    )
    deployed.write(CONFIGURATION, former.replace(b"hashed_password", b"other").decode())
    assert code(run(deployed, "set-password", ALL, secrets=password("x"))) == "password-not-found"
    assert history(deployed) == []


def test_key_and_certificate_are_replaced_alone(deployed: Sandbox) -> None:
    configuration, key, certificate, _ = *map(deployed.read, (CONFIGURATION, KEY, CERTIFICATE)), history(deployed)
    done = run(deployed, "rotate-certificate", WITH_PORT, **OTHER_LIMIT)
    assert done.outcome == "ok", done.events
    assert [step for step, event in done.steps if event == "changed"] == ["certificate", "service", "check"]
    assert history(deployed) == ["enable", "restart"] and in_force(deployed)
    assert deployed.read(KEY) != key and deployed.read(CERTIFICATE) != certificate and deployed.read(CONFIGURATION) == configuration
    assert done.events[-1]["fingerprint"] == run(deployed, "test", ALL).events[-1]["fingerprint"] != done.of("difference")[0]["is"]
    assert b"MemoryMax=90%" in deployed.read("/etc/systemd/system/nbserver.service")
    assert deployed.access(KEY) == "root:nbserver 640"


def test_if_the_new_certificate_does_not_start_the_previous_one_is_used_again(deployed: Sandbox) -> None:
    files = [deployed.read(path) for path in (KEY, CERTIFICATE, "/etc/nbserver/certificate.cnf")]
    deployed.run("cp", CERTIFICATE, "/tmp/first.pem")
    before = run(deployed, "test", ALL).events[-1]["fingerprint"]
    done = run(deployed, "rotate-certificate", [*WITH_PORT, CHOOSY])
    assert code(done) == "certificate-switched-back" and "no such key" in done.of("failed")[0]["text"]
    assert [deployed.read(path) for path in (KEY, CERTIFICATE, "/etc/nbserver/certificate.cnf")] == files
    assert done.events[-1]["fingerprint"] == before and deployed.access(KEY) == "root:nbserver 640" and in_force(deployed)
    deployed.write("/tmp/first.pem", "none")
    assert code(run(deployed, "rotate-certificate", [*WITH_PORT, CHOOSY])) == "certificate-way-back-failed"
    assert [deployed.read(path) for path in (KEY, CERTIFICATE)] == files[:2]


def test_a_certificate_that_cannot_be_created_leaves_the_server_alone(deployed: Sandbox) -> None:
    key, _ = deployed.read(KEY), history(deployed)
    assert run(deployed, "rotate-certificate", [*WITH_PORT, "create_certificate() { fail no-certificate 'no'; }"]).outcome == "failed"
    assert deployed.read(KEY) == key and history(deployed) == [] and differences(deployed) == []


def test_whatever_cuts_it_off_the_next_run_completes_it(deployed: Sandbox) -> None:
    for mode in ("set-password", "rotate-certificate"):
        whole = len(run(deployed, mode, WITH_PORT, secrets=password("first")).events)
        for number in range(1, whole, 1 if FULL else 3):
            name = f"p{number}"
            deployed.write("/tmp/lin1.sh", script([*WITH_PORT, CUT % number]))
            envelope = f"mode {mode}\nrun cut-{mode}-{number}\n{password(name)}"
            assert deployed.run("bash", "/tmp/lin1.sh", "envelope", input=envelope.encode(), check=False).returncode != 0
            assert served(deployed), "the old or the new one is always there"
            assert run(deployed, mode, WITH_PORT, secrets=password(name)).outcome == "ok" and in_force(deployed), (mode, number)
            assert mode != "set-password" or f"${name}".encode() in served(deployed)
    assert run(deployed, "undo", ALL).outcome == "ok"
    assert run(deployed, "apply", ALL, secrets=SECRETS).outcome == "ok"
