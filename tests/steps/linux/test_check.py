"""The step check of Linux hosts: the certificate that the port shows, and whether anybody gets in without the password."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.linux import parts
from tests.notebook_server import Certificate, make_certificate
from tests.ports import free_port
from tests.tls_server import server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the step asks Linux who listens on a port")
REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\n\r\n{}"
OPEN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]"
WITHOUT, WITH_TOKEN = "without the password", "with a random token"
STEP = "\n".join(
    [
        *(parts.step(name) for name in ("preflight", "certificate", "notebook", "service", "check")),
        "NB_NOTEBOOK_PORT=$1 RUN_FINGERPRINT=$2 NOTEBOOK_PYTHON=$3\n",
    ]
)
SEEN = """RUN_STEP=check
check_test
for ((i = 0; i < ${#DIFFERENCES[@]}; i += 5)); do
    printf '%s | %s | %s\\n' "${DIFFERENCES[@]:i + 2:3}"
done
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("check"))


def differences(port: int, fingerprint: str, code: str = SEEN) -> list[str]:
    return parts.run(STEP + code, str(port), fingerprint, sys.executable).stdout.decode().splitlines()


def test_a_server_that_refuses_both_is_as_it_should_be(certificate: Certificate) -> None:
    for refused in (REFUSED, REFUSED.replace(b"403 Forbidden", b"401 Unauthorized")):
        with server(certificate, lambda head, refused=refused: refused) as (port, heads):  # type: ignore[misc]
            assert differences(port, certificate.fingerprint) == []
        assert [head.startswith("GET /api/kernels HTTP/1.1\r\n") for head in heads] == [True, True]
        tokens = [line.partition(": token ")[2] for head in heads for line in head.splitlines() if line.startswith("Authorization: ")]
        assert [len(token) for token in tokens] == [32] and not any("Cookie" in head for head in heads)


def test_a_server_that_lets_everybody_in_is_a_difference(certificate: Certificate) -> None:
    with server(certificate, lambda head: OPEN) as (port, _):
        assert differences(port, certificate.fingerprint) == [
            f"HTTP status of GET /api/kernels on TCP port {port} {way} | 200 | 401 or 403" for way in (WITHOUT, WITH_TOKEN)
        ]


def test_one_that_believes_any_token_is_a_difference(certificate: Certificate) -> None:
    with server(certificate, lambda head: OPEN if "Authorization" in head else REFUSED) as (port, _):
        assert [line.split(" | ")[:2] for line in differences(port, certificate.fingerprint)] == [
            [f"HTTP status of GET /api/kernels on TCP port {port} {WITH_TOKEN}", "200"]
        ]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n", "302"),
        (b"HTTP/1.1 500 x\r\n\r\n", "500"),
        *(
            (answer, "no HTTP status")
            for answer in (
                b"HTTP/1.1 4033 x\r\n\r\n",
                b"HTTP/1.1 403",
                b"",
                b"403\n",
                b" HTTP/1.1 403 x\n",
                b"x" * 100000,
                b"\x1b[2J\x00\xff\n",
            )
        ),
    ],
    ids=range(9),
)
def test_everything_else_is_no_refusal(certificate: Certificate, answer: bytes, words: str) -> None:
    with server(certificate, lambda head: answer) as (port, _):
        assert [line.split(" | ")[1] for line in differences(port, certificate.fingerprint)] == [words] * 2


def test_another_certificate_and_no_server(certificate: Certificate, tmp_path: Path) -> None:
    other = make_certificate(tmp_path)
    with server(other, lambda head: REFUSED) as (port, _):
        assert differences(port, certificate.fingerprint) == [
            f"certificate on TCP port {port} | {other.fingerprint} | {certificate.fingerprint}"
        ]
    port = free_port()
    assert differences(port, certificate.fingerprint) == [f"certificate on TCP port {port} |  | {certificate.fingerprint}"]


def test_apply_fails_while_the_server_is_open(certificate: Certificate) -> None:
    with server(certificate, lambda head: OPEN) as (port, _):
        (line,) = differences(port, certificate.fingerprint, "RUN_STEP=check RUN_MODE=apply\nis_own_port() { return 0; }\ncheck_apply\n")
    assert (
        f"the notebook server on TCP port {port} did not refuse a request without the password (expected HTTP status 401 or 403, got 200)"
        in line
    )
    assert "so others may be able to run programs under the server account" in line
    assert "systemctl stop nbserver.service" in line and "journalctl --unit nbserver.service" in line


def test_a_server_that_hangs_has_no_more_time_than_another() -> None:
    """Each question takes eleven seconds then. The time of the wait counts, not the questions."""
    code = (
        parts.step("check")
        + """
    now=0 asked=0
    read_uptime() { REPLY=$now; }
    read_shown() { asked=$((asked + 1)) now=$((now + 1100)) SHOWN='' ANSWERS=(); }
    has_service_failed() { return 1; }
    sleep() { now=$((now + 100)); }
    if has_answered; then exit 9; fi
    RUN_FINGERPRINT=x EXIT_CODE=0
    printf '%s\n' "$asked" >&2
    now=0 asked=0
    await_certificate
    printf '%s\n' "$asked" >&2
    """
    )
    done = parts.run(code)
    assert done.stderr.split() == [b"15", b"15"], done.stderr
    waits = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(event["done"], event["total"]) for event in waits[:3]] == [(11, 180), (23, 180), (35, 180)]


def test_a_server_that_has_just_been_started_is_waited_for_unless_it_has_other_settings() -> None:
    """Whoever changed the port waited for the new one until the server was 90 seconds old."""
    code = (
        parts.step("check")
        + """
    waits=0
    is_listening() { return 1; }
    is_server_young() { return 0; }
    sleep() { waits=$((waits + 1)); }
    read_shown() { SHOWN=x; }
    compare_answers() { :; }
    RUN_FINGERPRINT=x
    check_test
    printf '%s\n' "$waits" >&2
    note_new_settings service
    DIFFERENCES=(file-differs {} unit.service old new) waits=0
    note_new_settings service
    check_test
    printf '%s\n' "$waits" >&2
    """
    )
    assert parts.run(code).stderr.split() == [b"900", b"0"]
