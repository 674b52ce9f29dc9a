"""The box's WinRM service, as real clients see it: pypsrp and pywinrm in front, PowerShell for Windows behind."""

from __future__ import annotations

import base64
import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import winrm
from pypsrp.complex_objects import PSInvocationState
from pypsrp.exceptions import AuthenticationError, WSManFaultError
from pypsrp.powershell import PowerShell, RunspacePool
from pypsrp.wsman import WSMan

from tests.boxes.marked_process import alive
from tests.boxes.windows import WindowsBox
from tests.boxes.wine import pwsh_command
from tests.boxes.winrm import Certificate, Endpoint, make_certificate
from tests.waiting import wait_until

USER, PASSWORD = "admin", "correct horse"


@pytest.fixture(scope="module")
def endpoint(windows_host: WindowsBox) -> Iterator[Endpoint]:
    with windows_host.endpoint(user=USER, password=PASSWORD, prewarm=1) as service:
        yield service


@pytest.fixture(autouse=True)
def counters(endpoint: Endpoint) -> None:
    endpoint.stats.clear()


def connect(service: Endpoint, **options: Any) -> WSMan:
    defaults = {
        "port": service.port,
        "ssl": bool(service.tls),
        "auth": "basic",
        "encryption": "never",
        "username": service.user,
        "password": service.password,
        "no_proxy": True,
        "operation_timeout": 60,
        "read_timeout": 90,
    }
    return WSMan("127.0.0.1", **{**defaults, **options})


def run(wsman: WSMan, script: str) -> list[Any]:
    with wsman, RunspacePool(wsman) as pool:
        return list(PowerShell(pool).add_script(script).invoke())


def test_an_engine_that_ends_at_its_start_is_replaced(windows_host: WindowsBox, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    program = tmp_path / "pwsh"
    program.write_text(
        f"#!/bin/sh\n[ -e '{program}.once' ] || {{ touch '{program}.once'; echo cannot start >&2; exit 5; }}\nexec '{pwsh_command()}' \"$@\"\n"
    )
    program.chmod(0o755)
    with windows_host.endpoint(user=USER, password=PASSWORD, pwsh=str(program)) as service:
        assert run(connect(service), "1 + 1") == [2]
        assert service.engines[0].process.poll() == 5 and len(service.engines) == 2
    said: list[str] = []  # the thread of the engine that ended writes it, after the new one has been started

    def told() -> bool:
        said.append(capfd.readouterr().err)
        return "an engine ended with exit code 5; cannot start" in "".join(said)

    assert wait_until(told), said


def test_basic(endpoint: Endpoint) -> None:
    assert run(connect(endpoint), "1 + 1; $PSVersionTable.Platform") == [2, "Win32NT"]


def test_ntlm_with_message_encryption(windows_host: WindowsBox) -> None:
    with windows_host.endpoint(user=USER, password=PASSWORD, require_encryption=True) as service:
        with pytest.raises(AuthenticationError):
            run(connect(service), "1")
        assert service.stats["refused plain"] == 1 and service.stats["Create"] == 0
        assert run(connect(service, auth="ntlm", encryption="always"), "'gr\u00fc\u00df'") == ["gr\u00fc\u00df"]
        assert service.stats["negotiate"] == 1
        # a second service in the same process has users of its own
        with windows_host.endpoint(user="other", password="other") as second:
            assert requests.post(second.url, auth=(USER, PASSWORD), timeout=30).status_code == 401
            with pytest.raises(AuthenticationError):
                connect(second, auth="ntlm", username=USER, password=PASSWORD).get_server_config()
            assert "MaxEnvelopeSizekb" in _config(connect(second, auth="negotiate", encryption="always"))


def _config(wsman: WSMan) -> str:
    from xml.etree import ElementTree

    with wsman:
        return ElementTree.tostring(wsman.get_server_config(), encoding="unicode")


@pytest.mark.parametrize("auth", ["basic", "ntlm"])
def test_wrong_password_is_401(endpoint: Endpoint, auth: str) -> None:
    with pytest.raises(AuthenticationError):
        run(connect(endpoint, auth=auth, encryption="auto" if auth == "ntlm" else "never", password="wrong"), "1")
    assert endpoint.stats["Create"] == 0


def test_https_with_a_pinned_certificate(windows_host: WindowsBox, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path, ["127.0.0.1"])
    another = make_certificate(tmp_path, ["127.0.0.1"], name="another")
    with windows_host.endpoint(certificate=certificate, user=USER, password=PASSWORD) as service:
        with pytest.raises(requests.exceptions.SSLError):
            run(connect(service, cert_validation=str(another.certificate)), "1")
        # NTLM with channel bindings
        assert run(connect(service, cert_validation=str(certificate.certificate), auth="negotiate"), "1 + 2") == [3]
        assert service.stats["negotiate"] == 1


def test_a_certificates_fingerprint_is_that_of_its_der(tmp_path: Path) -> None:
    import hashlib
    import ssl

    made = make_certificate(tmp_path)
    der = ssl.PEM_cert_to_DER_cert(made.certificate.read_text())
    assert Certificate(made.certificate, made.key).fingerprint == "SHA256:" + hashlib.sha256(der).hexdigest()


def test_output_arrives_while_the_script_runs(endpoint: Endpoint, windows_host: WindowsBox) -> None:
    go = windows_host.path("C:\\") / "go.txt"
    with connect(endpoint) as wsman, RunspacePool(wsman) as pool:
        shell = PowerShell(pool).add_script("'first'; while (-not (Test-Path C:\\go.txt)) { Start-Sleep -Milliseconds 20 }; 'second'")
        shell.begin_invoke()
        assert wait_until(lambda: shell.poll_invoke(timeout=1) or shell.output)
        assert shell.output == ["first"] and shell.state == PSInvocationState.RUNNING
        go.touch()
        assert shell.end_invoke() == ["first", "second"]
    go.unlink()


def test_stop_runs_finally(endpoint: Endpoint, windows_host: WindowsBox) -> None:
    with connect(endpoint) as wsman, RunspacePool(wsman) as pool:
        shell = PowerShell(pool).add_script(
            "try { 'started'; Start-Sleep 600 } finally { [IO.File]::WriteAllText('C:\\finally.txt', 'done') }"
        )
        shell.begin_invoke()
        assert wait_until(lambda: shell.poll_invoke(timeout=1) or shell.output)
        shell.stop()
        assert shell.state == PSInvocationState.STOPPED
    file = windows_host.path("C:\\finally.txt")
    assert file.read_text() == "done"
    file.unlink()


def test_a_lost_connection_loses_no_output(endpoint: Endpoint, windows_host: WindowsBox) -> None:
    go = windows_host.path("C:\\") / "go.txt"
    with connect(endpoint) as wsman, RunspacePool(wsman) as pool:
        shell = PowerShell(pool).add_script(
            "1..19 | ForEach-Object { $_; Start-Sleep -Milliseconds 20 }; while (-not (Test-Path C:\\go.txt)) { Start-Sleep -Milliseconds 20 }; 20"
        )
        shell.begin_invoke()
        endpoint.faults.drop_after_receives = endpoint.faults.receives + 1
        with pytest.raises(requests.exceptions.ConnectionError):
            while shell.state == PSInvocationState.RUNNING:
                shell.poll_invoke(timeout=5)
        go.touch()
        while shell.state == PSInvocationState.RUNNING:
            shell.poll_invoke(timeout=5)
        assert shell.output == list(range(1, 21))
    go.unlink()


def test_the_same_message_gets_the_same_answer(endpoint: Endpoint) -> None:
    with connect(endpoint) as wsman, RunspacePool(wsman) as pool:
        sent: list[tuple[bytes, bytes]] = []
        send = wsman.transport.send

        def listen(message: bytes, **options: Any) -> bytes:
            sent.append((message, send(message, **options)))
            return sent[-1][1]

        wsman.transport.send = listen
        assert PowerShell(pool).add_script("'once'").invoke() == ["once"]
        receives = [(message, answer) for message, answer in sent if b"windows/shell/Receive" in message]
        assert receives and all(send(message) == answer for message, answer in receives)
        assert endpoint.stats["replayed"] == len(receives)


def test_what_a_script_starts_ends_with_its_shell(endpoint: Endpoint) -> None:
    with connect(endpoint) as wsman, RunspacePool(wsman) as pool:
        script = "Start-Process cmd.exe '/c ping -n 600 127.0.0.1 >nul' -PassThru | ForEach-Object { $_.HasExited }"
        assert PowerShell(pool).add_script(script).invoke() == [False]
        (engine,) = (shell.engine for name, shell in endpoint.wsman.shells.items() if name == pool.id.upper())
        assert alive(engine.mark)
    assert wait_until(lambda: not alive(engine.mark))


def test_shells_of_one_process_begin_and_end_as_those_of_their_own(windows_host: WindowsBox) -> None:
    with windows_host.endpoint(user=USER, password=PASSWORD, one_process=True) as service:
        started = "$env:nbserver_test = 'set'; (Start-Process ping -ArgumentList '-n', '600', '127.0.0.1' -PassThru).Id; $PID"
        ping, process = run(connect(service), started)
        alive = f"@(Get-Process -Id {ping} -ErrorAction SilentlyContinue).Count"
        assert run(connect(service), f"$PID; Test-Path env:nbserver_test; {alive}") == [process, False, 0]
        assert len(service.engines) == 1
        service.kill_engines()
        assert run(connect(service), "1") == [1] and len(service.engines) == 2


def test_reboot(endpoint: Endpoint) -> None:
    with connect(endpoint) as wsman:
        pool = RunspacePool(wsman)
        pool.open()
        shell = PowerShell(pool).add_script("'started'; Start-Sleep 600")
        shell.begin_invoke()
        endpoint.faults.reboot_after_receives = endpoint.faults.receives + 1
        endpoint.faults.reboot_seconds = 3
        with pytest.raises(requests.exceptions.ConnectionError):
            while shell.state == PSInvocationState.RUNNING:
                shell.poll_invoke(timeout=5)
        assert wait_until(lambda: endpoint.stats["reboots"] == 1)
        with pytest.raises(WSManFaultError) as gone:
            shell.poll_invoke(timeout=5)
        assert gone.value.code == 2150858843
    assert run(connect(endpoint), "'up again'") == ["up again"]


def test_a_dead_engine_aborts_the_pending_receive(endpoint: Endpoint) -> None:
    with connect(endpoint) as wsman:
        pool = RunspacePool(wsman)
        pool.open()
        shell = PowerShell(pool).add_script("Start-Sleep 600")
        shell.begin_invoke()
        endpoint.kill_engines()
        with pytest.raises(WSManFaultError) as aborted:
            shell.poll_invoke(timeout=30)
        assert aborted.value.code == 995


def test_pywinrm(endpoint: Endpoint) -> None:
    session = winrm.Session(endpoint.url, auth=(USER, PASSWORD), transport="basic")
    done = session.run_ps("Write-Output ('a' + 'b'); exit 7")
    assert (done.std_out, done.status_code) == (b"ab\r\n", 7)
    too_long = session.run_cmd("echo " + "x" * 9000)
    assert too_long.status_code == 1 and b"too long" in too_long.std_err


@pytest.mark.parametrize(("path", "size", "status"), [("/wsman", 10, 401), ("/elsewhere", 10, 404), ("/wsman", 600_000, 413)])
def test_http_status(endpoint: Endpoint, path: str, size: int, status: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.port, timeout=30)
    connection.request("POST", path, b"x" * size, {"Content-Type": "application/soap+xml"})
    answer = connection.getresponse()
    challenges = answer.headers.get_all("WWW-Authenticate") or []
    assert answer.status == status
    assert (status == 401) == any(challenge.startswith("Basic") for challenge in challenges)
    connection.close()


def test_faults_on_the_way(endpoint: Endpoint) -> None:
    token = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    headers = {"Authorization": f"Basic {token}"}
    endpoint.faults.status_503 = endpoint.faults.status_401 = endpoint.faults.drop_requests = 1
    with pytest.raises(requests.exceptions.ConnectionError):
        requests.post(endpoint.url, headers=headers, timeout=30)
    assert [requests.post(endpoint.url, headers=headers, timeout=30).status_code for _ in range(3)] == [503, 401, 200]
