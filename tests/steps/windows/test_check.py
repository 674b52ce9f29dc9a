"""The step check in the real engine: the certificate that the port shows, and whether anybody gets in without the password."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.boxes.winrm.certificate import Certificate, make_certificate
from tests.ports import free_port
from tests.powershell.engine import EngineError, Session, host_path, part, prelude, require_engine, steps
from tests.tls_server import server

REFUSED = b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/json\r\n\r\n{}"
WITHOUT, WITH_TOKEN = "without the password", "with a random token"
SEEN = """
Invoke-Test $Steps[0] | Out-Null
foreach ($one in $Run.Differences) { "$($one.what) | $($one.is) | $($one.should)" }
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("check"))


@pytest.fixture(scope="module")
def session(certificate: Certificate) -> Iterator[Session]:
    require_engine()
    main = part("main")
    functions = main[: main.index("$ScriptText =")]
    stop = part("steps/machine/service")
    failure = stop[stop.index("function New-OpenServerFailure") : stop.index("Add-Step")]
    with Session() as opened:
        opened.keep(
            f'$Settings = ConvertFrom-Json \'{{"scope": "machine", "skip": []}}\'; $CertificateFile = \'{host_path(certificate.certificate)}\'\n'
            f"{prelude('run', 'hashes', 'events', 'envelope', 'record', 'files', 'certificates', 'switch', 'server_check')}\n"
            "function Get-ServerCertificate { Read-Certificate $CertificateFile }; function Test-ServerRunning { $true }; function Wait-YoungServer { }\n"
            "function Get-EnvironmentFolder { 'C:\\nbserver\\env' }\n"
            f"{steps('check')}\n{failure}\n{functions}"
        )
        yield opened


def asked(port: int) -> str:
    return f"$Settings = ConvertFrom-Json '{json.dumps({'scope': 'machine', 'host': 'win1', 'notebook': {'ip': '*', 'port': port}})}'\n"


def differences(session: Session, port: int) -> list[str]:
    return session.run(asked(port) + SEEN)


def test_a_server_that_refuses_both_is_as_it_should_be(session: Session, certificate: Certificate) -> None:
    with server(certificate, lambda head: REFUSED) as (port, heads):
        assert differences(session, port) == []
        assert differences(session, port) == []
    requests = [head for head in heads if head.startswith("GET /api/kernels HTTP/1.1\r\n")]
    tokens = [line.partition(": token ")[2] for head in requests for line in head.splitlines() if line.startswith("Authorization: ")]
    assert len(requests) == 4 and len(tokens) == len(set(tokens)) == 2 and all(len(token) >= 32 for token in tokens)
    assert not any("Cookie" in head for head in requests)
    with server(certificate, lambda head: REFUSED.replace(b"403 Forbidden", b"401 Unauthorized")) as (port, _):
        assert differences(session, port) == []


def test_windows_without_tls_1_2_for_clients_is_named(session: Session, certificate: Certificate) -> None:
    """.NET Framework then throws what it does not throw for a server that answers in another way; the server would look silent."""
    refusing = """
    function New-Object([string]$TypeName, $ArgumentList) {
        if ($TypeName -eq 'Net.Security.SslStream') { throw [ComponentModel.Win32Exception]::new(-2146893007) }
        Microsoft.PowerShell.Utility\\New-Object $TypeName $ArgumentList
    }
    """
    with (
        server(certificate, lambda head: REFUSED) as (port, _),
        pytest.raises(EngineError, match="set Enabled to 1 and DisabledByDefault to 0"),
    ):
        session.run(asked(port) + refusing + "Get-ServerFingerprint")


def test_a_server_that_lets_everybody_in_is_a_difference(session: Session, certificate: Certificate) -> None:
    with server(certificate, lambda head: b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]") as (port, _):
        assert differences(session, port) == [
            f"HTTP status of GET /api/kernels on TCP port {port} {way} | 200 | 401 or 403" for way in (WITHOUT, WITH_TOKEN)
        ]


def test_one_that_believes_any_token_is_a_difference(session: Session, certificate: Certificate) -> None:
    with server(certificate, lambda head: b"HTTP/1.1 200 OK\r\n\r\n" if "Authorization" in head else REFUSED) as (port, _):
        assert [line.split(" | ")[:2] for line in differences(session, port)] == [
            [f"HTTP status of GET /api/kernels on TCP port {port} {WITH_TOKEN}", "200"]
        ]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n",
        b"HTTP/1.1 404 Not Found\r\n\r\n",
        b"HTTP/1.1 500 x\r\n\r\n",
        b"HTTP/1.1 4033 x\r\n\r\n",
        b"HTTP/1.1 403",
        b"",
        b"403\n",
        b"SSH-2.0-x\r\n",
        b" HTTP/1.1 403 x\n",
        b"x" * 100000,
        b"\x1b[2J\x00\xff\n",
    ],
    ids=range(11),
)
def test_everything_else_is_no_refusal(session: Session, certificate: Certificate, answer: bytes) -> None:
    with server(certificate, lambda head: answer) as (port, _):
        found = [line.split(" | ")[1] for line in differences(session, port)]
    code = answer[9:12].decode() if answer[12:13] == b" " and answer.startswith(b"HTTP/1.1 ") else ""
    arrived = b"\n" in answer or len(answer) > 1024
    assert found == [code or ("no HTTP status" if arrived else "no answer")] * 2


def test_another_certificate_and_no_server(session: Session, certificate: Certificate, tmp_path: Path) -> None:
    other = make_certificate(tmp_path)
    with server(other, lambda head: REFUSED) as (port, _):
        assert differences(session, port) == [f"certificate on TCP port {port} | {other.fingerprint} | {certificate.fingerprint}"]
    port = free_port()
    assert differences(session, port) == [f"certificate on TCP port {port} |  | {certificate.fingerprint}"]


def test_a_server_that_is_slow_at_first_is_not_taken_for_an_open_one(session: Session, certificate: Certificate) -> None:
    """It has its port, and answers nothing: the run waits, instead of going back to the previous server."""
    apply = "$Run.Mode = 'apply'; Invoke-Apply $Steps[0] | Out-Null; 'done'"
    answers = [b"", b"", b"HTTP/1.1 403"]
    with server(certificate, lambda head: answers.pop(0) if head and answers else REFUSED) as (port, _):
        assert session.run(asked(port) + apply) == ["done"]
    assert not answers


def test_a_server_that_accepts_connections_and_stays_silent_is_named_so(session: Session, certificate: Certificate) -> None:
    with server(certificate, lambda head: b"") as (port, _), pytest.raises(EngineError, match="is not responding on TCP port"):
        session.run(asked(port) + "$ServerPatience = 1; $ServerLog = 'C:\\none'; Wait-Server")


def test_apply_fails_while_the_server_is_open(session: Session, certificate: Certificate) -> None:
    apply = "$Run.Mode = 'apply'; Invoke-Apply $Steps[0] | Out-Null; 'done'"
    with (
        server(certificate, lambda head: b"HTTP/1.1 200 OK\r\n\r\n") as (port, _),
        pytest.raises(EngineError) as told,
    ):
        session.run(asked(port) + apply)
    words = str(told.value)
    assert (
        f"the notebook server on TCP port {port} did not refuse a request without the password (expected HTTP status 401 or 403, got 200)"
        in words
    )
    assert "others may be able to run programs under the server account" in words
    assert "Disable-ScheduledTask nbserver; Stop-ScheduledTask nbserver" in words and r"C:\nbserver\env" in words
