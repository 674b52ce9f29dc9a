"""The steps that need no package and no systemd, with the real OpenSSL, in a root file system of their own."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import json
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.linux import parts
from tests.linux.fixtures import record, run, sandbox
from tests.linux.sandbox import Sandbox
from tests.steps.linux.small_steps import HASH, NO_ENVIRONMENT, SECRETS, STEPS, host

__all__ = ["host", "sandbox"]
SALT_STEPS = [
    NO_ENVIRONMENT,
    "CERTIFICATE_FILE=/etc/nbserver/certificate.pem KEY_FILE=/etc/nbserver/key.pem",
    parts.step("user"),
    parts.step("notebook"),
]
CONFIGURATION = "/etc/nbserver"


def certificate(sandbox: Sandbox) -> x509.Certificate:
    return x509.load_pem_x509_certificate(sandbox.read(f"{CONFIGURATION}/certificate.pem"))


def fingerprint(certificate: x509.Certificate) -> str:
    return "SHA256:" + certificate.fingerprint(hashes.SHA256()).hex()


def files(sandbox: Sandbox) -> set[str]:
    """Every path where these steps could leave something, and of files in /etc what is in them. Other tests may use this machine's sudo."""
    names = (
        sandbox.run("find", "/etc", "/srv", "/opt", "/var/lib", "-not", "-path", "/var/lib/dpkg/*", "-not", "-path", "/var/lib/sudo/*")
        .stdout.decode()
        .splitlines()
    )
    return {*names, *sandbox.run("sha256sum", "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow").stdout.decode().splitlines()}


def test_apply_apply_again_undo(host: Sandbox) -> None:
    before = files(host)
    planned = run(host, "test", STEPS)
    assert (planned.outcome, planned.code) == ("ok", 2) and planned.steps[0] == ("preflight", "unchanged")
    assert {step for step, event in planned.steps if event == "difference"} == {"user", "certificate", "notebook"}

    first = run(host, "apply", STEPS, secrets=SECRETS)
    assert first.outcome == "ok" and first.events[-1]["changed"] == 3 and first.errors == ""
    assert first.events[-1]["fingerprint"] == fingerprint(certificate(host))
    for name in ("certificate.pem", "key.pem", "jupyter_config.json", "migrated", "serve.py"):
        assert host.access(f"{CONFIGURATION}/{name}") == "root:nbserver 640"
    assert host.access(CONFIGURATION) == "root:nbserver 750" and host.access("/var/lib/nbserver/work") == "nbserver:nbserver 700"
    assert host.run("bash", "-c", "ls -A /etc/nbserver").stdout.split() == [
        b"certificate.cnf",
        b"certificate.pem",
        b"jupyter_config.json",
        b"key.pem",
        b"migrated",
        b"serve.py",
    ]
    assert HASH not in json.dumps(first.events) + json.dumps(record(host))
    assert HASH.encode() not in host.run("bash", "-c", "cat /var/lib/nbserver/state/runs/*/* /var/lib/nbserver/state/lock").stdout

    second = run(host, "apply", STEPS, secrets=SECRETS)
    assert {event for _, event in second.steps} == {"unchanged"} and second.events[-1]["fingerprint"] == first.events[-1]["fingerprint"]
    by_hand = run(host, "test", STEPS)
    assert by_hand.code == 0, "without the secret, all around it is compared"
    other = SECRETS.replace(SECRETS.split()[2], base64.b64encode(b"argon2:other").decode())
    assert run(host, "test", STEPS, secrets=other).of("difference")[0]["what"] == f"{CONFIGURATION}/jupyter_config.json"

    undone = run(host, "undo", STEPS)
    assert undone.outcome == "ok"
    left = files(host)
    # useradd and userdel keep a copy of each file that they change; the evidence of the runs stays.
    assert {path for path in left - before if not path.endswith("-") and not path.startswith("/var/lib/nbserver")} == before - left == set()
    assert all(path.startswith("/var/lib/nbserver/state") for path in left - before if path.startswith("/var/lib/nbserver/"))


def test_the_certificate(host: Sandbox) -> None:
    assert run(host, "apply", STEPS, secrets=SECRETS).outcome == "ok"
    found = certificate(host)
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["lin1.example.com"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("192.0.2.7"), ipaddress.ip_address("2001:db8::7")]
    assert found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value == x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    days = datetime.timedelta(days=90)
    assert days <= found.not_valid_after_utc - found.not_valid_before_utc <= days + datetime.timedelta(seconds=1), (
        "openssl looks at the clock twice"
    )
    key = load_pem_private_key(host.read(f"{CONFIGURATION}/key.pem"), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey) and key.public_key() == found.public_key()


def begin_in(host: Sandbox, later: datetime.timedelta) -> str:
    """Puts a certificate with the same key into the host, as one that was created while the clock was wrong. Returns its fingerprint."""
    key = load_pem_private_key(host.read(f"{CONFIGURATION}/key.pem"), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    name, start = certificate(host).subject, datetime.datetime.now(datetime.UTC) + later
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + datetime.timedelta(days=90))
    made = builder.sign(key, hashes.SHA256())
    file = f"{CONFIGURATION}/certificate.pem"
    host.write("/tmp/later.pem", made.public_bytes(Encoding.PEM).decode())
    host.run("bash", "-c", f"cat /tmp/later.pem >{file}")
    return fingerprint(made)


def test_a_certificate_that_is_not_valid_yet_is_replaced(host: Sandbox) -> None:
    """It was created while the clock of the host was wrong. A small correction of the clock makes no new certificate."""
    assert run(host, "apply", STEPS, secrets=SECRETS).outcome == "ok"
    begin_in(host, datetime.timedelta(seconds=60))
    assert run(host, "test", STEPS).of("difference") == []
    before = begin_in(host, datetime.timedelta(days=10))
    done = run(host, "apply", STEPS, secrets=SECRETS)
    assert [event["code"] for event in done.of("difference")] == ["certificate-begins"]
    assert done.outcome == "ok" and done.events[-1]["fingerprint"] == fingerprint(certificate(host)) != before
    assert run(host, "test", STEPS).of("difference") == []


@pytest.mark.parametrize(("month", "day"), [(1, 1), (5, 9), (9, 30), (12, 31)])
@pytest.mark.parametrize("program", ["openssl", "python"])
def test_when_a_certificate_begins(tmp_path: Path, program: str, month: int, day: int) -> None:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    code = f"""has_openssl() {{ [[ {program} == openssl ]]; }}
NOTEBOOK_PYTHON={sys.executable}
for file; do
    lines=$(has_time_left "$file" 0) || true
    if has_begun "$lines"; then echo begun; else echo later; fi
done"""
    files = []
    for year in (datetime.datetime.now(datetime.UTC).year + step for step in (-1, 1)):
        start = datetime.datetime(year, month, day, 23, 8, 9, tzinfo=datetime.UTC)
        builder = x509.CertificateBuilder(name, name, key.public_key(), 1, start, start + datetime.timedelta(days=90))
        files.append(tmp_path / f"{year}.pem")
        files[-1].write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    assert parts.run(code, *map(str, files)).stdout == b"begun\nlater\n"


@pytest.mark.parametrize(
    ("change", "settings", "word"),
    [
        ("", {"certificate": {"days": 90, "names": ["other.example.com"]}}, "certificate names"),
        ("rm /etc/nbserver/key.pem", {}, "certificate"),
        (": >/etc/nbserver/key.pem", {}, "certificate"),
        ("openssl ecparam -name prime256v1 -genkey -noout -out /etc/nbserver/key.pem", {}, "private key of the certificate"),
        ("echo x >/etc/nbserver/certificate.pem", {}, "certificate"),
        (
            "openssl req -new -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -days 20 -keyout /etc/nbserver/key.pem -out /etc/nbserver/certificate.pem",
            {},
            "certificate",
        ),
        ("chmod 644 /etc/nbserver/key.pem", {}, "owner and mode of /etc/nbserver/key.pem"),
        ("chmod 755 /etc/nbserver", {}, "owner and mode of /etc/nbserver"),
    ],
)
def test_what_makes_a_new_certificate(host: Sandbox, change: str, settings: dict[str, object], word: str) -> None:
    assert run(host, "apply", STEPS, secrets=SECRETS).outcome == "ok"
    before = fingerprint(certificate(host))
    host.run("bash", "-c", change)
    done = run(host, "apply", STEPS, secrets=SECRETS, **settings)
    assert done.outcome == "ok" and done.of("difference")[0]["what"] == word
    assert done.events[-1]["fingerprint"] == fingerprint(certificate(host)) != before
    assert host.access(f"{CONFIGURATION}/key.pem") == "root:nbserver 640"


def test_the_configuration(host: Sandbox) -> None:
    notebook = {
        "directory": '/srv/caf\u00e9 "x"/b\\s',
        "collaboration": True,
        "cull_idle_seconds": 28800,
        "interface": "lab",
        "ip": "2001:db8::7",
        "port": 8443,
        "session": 25,
    }
    every_address = "is_foreign_address() { return 1; }"  # this host does not have that one
    assert run(host, "apply", [*STEPS, every_address], secrets=SECRETS, notebook=notebook).outcome == "ok"
    found = json.loads(host.read(f"{CONFIGURATION}/jupyter_config.json"))
    assert found["ServerApp"] == {
        "ip": "2001:db8::7",
        "port": 8443,
        "port_retries": 0,
        "base_url": "/",
        "open_browser": False,
        "allow_root": False,
        "allow_remote_access": True,
        "allow_origin": "",
        "allow_origin_pat": "",
        "allow_credentials": False,
        "disable_check_xsrf": False,
        "allow_unauthenticated_access": False,
        "default_url": "/lab",
        "root_dir": notebook["directory"],
        "certfile": "/etc/nbserver/certificate.pem",
        "keyfile": "/etc/nbserver/key.pem",
    }
    assert found["YDocExtension"] == {"disable_rtc": False}
    for provider in ("IdentityProvider", "NotebookApp"):
        assert found[provider]["cookie_options"] == {"expires_days": 1.041666} and found[provider]["get_secure_cookie_kwargs"] == {
            "max_age_days": 1.041666
        }
    assert found["PasswordIdentityProvider"]["hashed_password"] == found["NotebookApp"]["password"] == HASH
    assert (
        found["NotebookApp"]["notebook_dir"] == notebook["directory"]
        and found["NotebookApp"]["token"] == found["IdentityProvider"]["token"] == ""
    )
    assert host.access(str(notebook["directory"])) == "nbserver:nbserver 750"
    assert run(host, "undo", STEPS).outcome == "ok" and not host.exists('/srv/caf\u00e9 "x"')


def with_salt(salt: str, *lines: str) -> str:
    """The lines of an envelope with another hash, whose salt is this."""
    hashed = f"argon2:$argon2id$v=19$m=65536,t=3,p=4${salt}$abc+/DEG"
    return "".join(f"{line}\n" for line in (f"secret notebook.password_hash {base64.b64encode(hashed.encode()).decode()}", *lines))


def test_another_salt_is_told_and_is_refused_without_new_salt(host: Sandbox) -> None:
    """A checkout without nbserver.salt must not restart a server."""
    file, other, salt = f"{CONFIGURATION}/jupyter_config.json", "B" * 22, "A" * 22
    run(host, "apply", SALT_STEPS, secrets=SECRETS)
    before = host.read(file)
    planned = run(host, "test", SALT_STEPS, secrets=with_salt(other))
    assert [(event["what"], event["is"], event["should"]) for event in planned.of("difference")] == [
        (f"password hash salt in {file}", salt, other)
    ]
    refused = run(host, "apply", SALT_STEPS, secrets=with_salt(other))
    assert refused.outcome == "failed" and host.read(file) == before
    (text,) = [event["text"] for event in refused.of("failed") if event["step"] == "notebook"]
    assert (
        f"has the salt {salt}, but this run sent a hash with the salt {other}" in text and "--new-salt" in text and "nbserver.salt" in text
    )
    assert run(host, "apply", SALT_STEPS, secrets=with_salt(other, "former-salt " + "C" * 22)).outcome == "failed"
    assert run(host, "apply", SALT_STEPS, secrets=with_salt(other, "new-salt yes")).outcome == "ok" and other.encode() in host.read(file)
    assert not run(host, "test", SALT_STEPS, secrets=with_salt(other)).of("difference")
    # What an earlier release set for this host is replaced without a question.
    assert run(host, "apply", SALT_STEPS, secrets=with_salt(salt, f"former-salt {other}")).outcome == "ok" and salt.encode() in host.read(
        file
    )
    # The same salt and another password is a difference like any other.
    changed = run(host, "test", SALT_STEPS, secrets=SECRETS)
    assert [event["what"] for event in changed.of("difference")] == [file]


@pytest.mark.parametrize("hash_", ["", "hunter2", 'a", "token": "x', "x\ny", "$(id)"])
def test_what_is_no_hash_is_refused(host: Sandbox, hash_: str) -> None:
    secret = f"secret notebook.password_hash {base64.b64encode(hash_.encode()).decode()}\n"
    done = run(host, "apply", STEPS, secrets=secret)
    assert done.outcome == "failed" and "the notebook password hash is missing or not valid" in done.of("failed")[0]["text"]
    assert not hash_ or hash_ not in done.of("failed")[0]["text"]


def test_an_apply_by_hand_without_a_terminal_says_so(host: Sandbox) -> None:
    host.write("/tmp/lin1.sh", parts.script(STEPS))
    done = host.run("setsid", "--wait", "bash", "/tmp/lin1.sh", "apply", check=False)
    assert done.returncode == 3
    assert b"cannot ask for notebook.password_hash without a terminal" in done.stdout
