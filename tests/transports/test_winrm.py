"""transport = "winrm": the same bytes, the same events and the same words as over PSRP, through a command shell."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import AuthenticationError, ConnectError, HostError, ScriptError
from nbserver.inventory import reader
from nbserver.inventory.windows_host import WindowsHost
from nbserver.run import site_salt
from nbserver.run.notebook_password import hash_password
from nbserver.transports.connect import connect_to
from nbserver.transports.transport import LogonSecrets, StopRequested
from nbserver.transports.winrm.connection import open_protocol
from nbserver.transports.winrm.transport import WinrmTransport
from tests import canary
from tests.boxes.mirror import Mirror
from tests.boxes.windows import WindowsBox
from tests.boxes.winrm.endpoint import Endpoint
from tests.ports import free_port
from tests.site import Site, steps
from tests.waiting import wait_until

PASSWORD = "Canary-Windows-Tr0ub4dor"
NOTEBOOK_PASSWORD = "Canary-Notebook-\u00e9"
ENVELOPE = ["mode test"]
OUTPUT = '{"line": 1}'


@pytest.fixture(scope="module")
def endpoint(windows_host: WindowsBox) -> Iterator[Endpoint]:
    with windows_host.endpoint(auth=["basic", "negotiate"], https=True, password=PASSWORD) as service:
        yield service


@pytest.fixture
def site(endpoint: Endpoint, mirror: Mirror, tmp_path: Path) -> Site:
    return make_site(endpoint, mirror, tmp_path)


def make_site(endpoint: Endpoint, mirror: Mirror, folder: Path) -> Site:
    mirror.behave()
    made = Site(folder, endpoint, mirror, port=free_port(), windows_password=PASSWORD, notebook_password=NOTEBOOK_PASSWORD)
    made.settings["transport"] = "winrm"
    made.write()
    site_salt.ensure(folder / "nbserver.salt")
    return made


def host_of(site: Site, **settings: Any) -> WindowsHost:
    site.write(**settings)
    return reader.load(site.folder / "nbserver.toml").hosts["win1"]


@contextlib.contextmanager
def connected(host: WindowsHost, stop: threading.Event | None = None) -> Iterator[WinrmTransport]:
    transport = connect_to(host, LogonSecrets(PASSWORD), stop or threading.Event())
    assert isinstance(transport, WinrmTransport)
    try:
        yield transport
    finally:
        transport.close()


def script_files(host: WindowsBox) -> list[Path]:
    """The bootstrap's files that are there now."""
    return list(host.path(r"C:\users").rglob("nbserver-*/nbserver.ps1"))


# -- a whole run


def without_times(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in event.items() if key not in ("time", "run")} for event in events]


def test_a_plan_says_what_it_says_over_psrp(site: Site, endpoint: Endpoint) -> None:
    requests: list[bytes] = []
    handle = endpoint.wsman.handle
    command_lines: set[bytes] = set()

    def recording(xml: bytes, alive: Any) -> Any:
        requests.append(xml)
        return handle(xml, alive)

    endpoint.wsman.handle = recording  # type: ignore[method-assign]
    try:
        done = site.watch("plan", "win1", look=lambda: command_lines.update(canary.command_lines()))
    finally:
        endpoint.wsman.handle = handle  # type: ignore[method-assign]
    over_winrm = site.last_events()
    assert done.returncode == 4, done.stdout + done.stderr
    site.write(transport="psrp")
    assert site.run("plan", "win1").returncode == 4
    assert without_times(over_winrm) == without_times(site.last_events())
    assert steps(over_winrm, "difference") and over_winrm[-1]["outcome"] == "ok"
    script = (site.runs()[-1] / "win1" / "script.ps1").read_bytes()
    assert over_winrm[0]["script_sha256"] == hashlib.sha256(script).hexdigest()
    _assert_no_secret(site, requests, command_lines)


def _assert_no_secret(site: Site, requests: list[bytes], command_lines: set[bytes]) -> None:
    """The hash goes to the host, as input; no secret is in what the host is told to start, or what is started."""
    argon2 = hash_password(NOTEBOOK_PASSWORD, site_salt.read(site.folder / "nbserver.salt"))
    sent = canary.sent(request for request in requests if b"<rsp:CommandLine>" not in request)
    started = b"\n".join(request for request in requests if b"<rsp:CommandLine>" in request)
    assert b"-EncodedCommand" in started and any(b"-EncodedCommand" in line for line in command_lines)
    assert any(form in sent for form in canary.forms(argon2)), "it would be found"
    for secret in (PASSWORD, NOTEBOOK_PASSWORD, argon2):
        for form in canary.forms(secret):
            assert form not in started
            assert not [line for line in command_lines if form in line]


def test_an_interrupted_apply_closes_its_bracket_and_says_so(site: Site, windows_host: WindowsBox) -> None:
    done = site.interrupt("apply", "win1", when=lambda events: "python" in steps(events, "started"))
    events = site.last_events()
    assert done.returncode == 3 and "stopped" in done.stdout, done.stdout + done.stderr
    assert "ie_esc" in steps(events, "changed") and "ie_esc" in steps(events, "restored")
    assert (events[-1]["event"], events[-1]["outcome"]) == ("finished", "stopped")
    assert [event["n"] for event in events] == list(range(1, len(events) + 1))
    assert script_files(windows_host) == []
    assert site.run("undo", "win1").returncode == 0


def test_the_envelope_arrives_as_it_is(site: Site) -> None:
    with connected(host_of(site)) as transport:
        script = f"# {'x' * 200_000}\n"  # several messages long
        script += "@($input) | ForEach-Object { [Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes($_)) }; exit 2\n"
        said = list(transport.run(script, ["mode test", "operator Andr\u00e9 \u96ea"]))
    assert [base64.b64decode(line).decode() for line in said] == ["mode test", "operator Andr\u00e9 \u96ea"]


# -- its file, and its output as it comes

WAITS = """\
$folder = Split-Path $PSCommandPath
ConvertTo-Json -Compress @{ sddl = (Get-Acl -LiteralPath $folder).Sddl; sid = [Security.Principal.WindowsIdentity]::GetCurrent().User.Value; long = 'x' * 3000 }
try { while (-not (Test-Path C:\\go.txt)) { [Threading.Thread]::Sleep(20) } } finally { [IO.File]::WriteAllText('C:\\finally.txt', 'done') }
'{"line": 2}'
"""


@pytest.fixture
def flags(windows_host: WindowsBox) -> Iterator[tuple[Path, Path]]:
    """go.txt, which lets the script WAITS go on, and finally.txt, which it writes at its end."""
    files = windows_host.path("C:\\") / "go.txt", windows_host.path("C:\\") / "finally.txt"
    yield files
    for file in files:
        file.unlink(missing_ok=True)


def test_only_its_user_can_read_the_file_which_is_gone_afterwards(site: Site, windows_host: WindowsBox, flags: tuple[Path, Path]) -> None:
    with connected(host_of(site)) as transport:
        lines = transport.run(WAITS, ENVELOPE)
        first = json.loads(next(lines))  # while the script still runs: output comes as it is written
        assert len(first["long"]) == 3000, "in one line"
        assert re.findall(r"\(.*?\)", first["sddl"].partition("D:P")[2]) == [f"(A;OICI;FA;;;{who})" for who in ("SY", "BA", first["sid"])]
        (file,) = script_files(windows_host)
        assert file.read_text("ascii") == WAITS
        lists = [path for path in windows_host.path(r"C:\nbserver-test\acl").glob("*.json") if file.parent.name in path.read_text()]
        assert len(lists) == 1 and lists[0].stat().st_mtime_ns <= file.stat().st_mtime_ns, "closed before it was written"
        flags[0].touch()
        assert list(lines) == ['{"line": 2}']
    assert script_files(windows_host) == []


def test_stop_runs_finally_and_what_is_run_then_runs(site: Site, windows_host: WindowsBox, flags: tuple[Path, Path]) -> None:
    stop = threading.Event()
    with connected(host_of(site), stop) as transport:
        lines = transport.run(WAITS, ENVELOPE)
        next(lines)
        stop.set()
        with pytest.raises(StopRequested):
            list(lines)
        assert wait_until(lambda: flags[1].exists() and flags[1].read_text() == "done"), (
            "finally runs in Wine's process, which ends a moment after the command"
        )
        assert wait_until(lambda: script_files(windows_host) == [])
        assert list(transport.run(f"'{OUTPUT}'\n", ENVELOPE)) == [OUTPUT]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("throw 'this host knows no run'\n", "PowerShell could not run the script: this host knows no run"),
        ("if (\n", "Missing condition in if statement"),
        ("exit 7\n", "PowerShell exited with code 7 before the end of the script, without an error message. Run the command again"),
    ],
)
def test_a_script_that_cannot_run(site: Site, script: str, words: str) -> None:
    with connected(host_of(site)) as transport, pytest.raises(ScriptError, match=re.escape(words)):
        list(transport.run(script, ENVELOPE))


# -- lost connections


def test_a_lost_connection_goes_on_with_the_same_shell(site: Site, endpoint: Endpoint, flags: tuple[Path, Path]) -> None:
    with connected(host_of(site)) as transport:
        lines = transport.run(WAITS, ENVELOPE)
        next(lines)
        endpoint.faults.match, endpoint.faults.drop_requests = "/Receive", 1
        flags[0].touch()
        assert list(lines) == ['{"line": 2}']
        assert not endpoint.faults.drop_requests, "it was really dropped"
    assert wait_until(lambda: not endpoint.wsman.shells)


def test_an_answer_that_breaks_off_goes_on_with_the_same_shell(site: Site, endpoint: Endpoint, flags: tuple[Path, Path]) -> None:
    def let_go() -> None:
        if wait_until(lambda: not endpoint.faults.halve_responses):
            flags[0].touch()

    with connected(host_of(site)) as transport:
        lines = transport.run(WAITS, ENVELOPE)
        next(lines)
        endpoint.faults.match, endpoint.faults.halve_responses = "/Receive", 1
        threading.Thread(target=let_go, daemon=True).start()
        assert list(lines) == ['{"line": 2}']
        assert len(endpoint.wsman.shells) == 1
    assert wait_until(lambda: not endpoint.wsman.shells)


def test_a_shell_behind_a_connection_that_stays_lost_is_left_alone(
    site: Site, endpoint: Endpoint, windows_host: WindowsBox, flags: tuple[Path, Path], monkeypatch: Any
) -> None:
    monkeypatch.setattr("nbserver.transports.winrm.transport.RECONNECT_PAUSES", (0.01,))
    try:
        with connected(host_of(site)) as transport:
            lines = transport.run(WAITS, ENVELOPE)
            next(lines)
            endpoint.faults.match, endpoint.faults.drop_requests = "/Receive", 2
            with pytest.raises(ConnectError, match=r"the connection to .* was lost"):
                list(lines)
        assert len(endpoint.wsman.shells) == 1
        flags[0].touch()
        assert wait_until(flags[1].exists), "it went on"
        assert wait_until(lambda: not script_files(windows_host)), "to its end"
    finally:
        for shell in list(endpoint.wsman.shells.values()):
            shell.kill()
        endpoint.wsman.shells.clear()


def test_a_shell_in_which_nothing_began_is_closed(site: Site, endpoint: Endpoint) -> None:
    with connected(host_of(site)) as transport:
        endpoint.faults.match, endpoint.faults.drop_requests = "/Send", 1
        with pytest.raises(ConnectError):
            list(transport.run(f"'{'x' * 100_000}'\n", ENVELOPE))
    assert wait_until(lambda: not endpoint.wsman.shells)


# -- the way to the host: the same words as over PSRP


def refusal(host: WindowsHost, password: str = PASSWORD) -> HostError:
    with pytest.raises(HostError) as error:
        connect_to(host, LogonSecrets(password), threading.Event())
    return error.value


FAULTS: dict[str, dict[str, Any]] = {
    "wrong password, basic": {"auth": "basic", "wrong": True},
    "wrong password, ntlm": {"auth": "ntlm", "wrong": True},
    "wrong password, negotiate": {"auth": "negotiate", "wrong": True},
    "another certificate": {"fingerprint": "SHA256:" + "ab" * 32},
    "a certificate nobody vouches for": {"fingerprint": None},
    "unknown name": {"address": "no-such-host.invalid"},
    "closed port": {"port": 9},
    "no proxy there": {"proxy": "http://127.0.0.1:9"},
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_same_words_as_over_psrp(site: Site, name: str) -> None:
    settings = dict(FAULTS[name])
    password = "not-the-password" if settings.pop("wrong", False) else PASSWORD
    over_psrp = refusal(host_of(site, transport="psrp", **settings), password)
    over_winrm = refusal(host_of(site, **settings), password)
    assert (type(over_winrm), str(over_winrm)) == (type(over_psrp), str(over_psrp))
    assert password not in str(over_winrm)


@pytest.mark.parametrize("auth", ["basic", "ntlm", "negotiate"])
def test_a_ca_file_and_each_logon(site: Site, endpoint: Endpoint, auth: str) -> None:
    assert endpoint.certificate
    with connected(host_of(site, auth=auth, fingerprint=None, ca_file=str(endpoint.certificate.certificate))):
        assert endpoint.wsman.shells


def test_an_environment_proxy_is_not_used(site: Site, endpoint: Endpoint, monkeypatch: Any) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with connected(host_of(site)):
        assert endpoint.wsman.shells


def test_kerberos_without_its_package(site: Site, monkeypatch: Any) -> None:
    monkeypatch.setattr("winrm.transport.HAVE_KERBEROS", False)
    error = refusal(host_of(site, auth="kerberos", user=None, password__env=None))
    assert isinstance(error, AuthenticationError) and 'pip install "nbserver[kerberos]"' in str(error)


# -- without TLS


@pytest.fixture(scope="module")
def plain(windows_host: WindowsBox) -> Iterator[Endpoint]:
    with windows_host.endpoint(auth=["basic", "negotiate"], require_encryption=True, password=PASSWORD) as service:
        yield service


def test_http_with_ntlm_is_encrypted_also_after_a_lost_connection(
    plain: Endpoint, mirror: Mirror, tmp_path: Path, flags: tuple[Path, Path]
) -> None:
    with connected(host_of(make_site(plain, mirror, tmp_path))) as transport:
        lines = transport.run(WAITS, ENVELOPE)
        next(lines)
        plain.faults.match, plain.faults.drop_requests = "/Receive", 1
        flags[0].touch()
        assert list(lines) == ['{"line": 2}']
    assert not plain.faults.drop_requests and plain.stats["refused plain"] == 0


def test_a_failed_logon_does_not_end_in_an_unencrypted_message(plain: Endpoint, mirror: Mirror, tmp_path: Path) -> None:
    """pywinrm alone keeps the session of a logon that was cut off, and then sends as it is."""
    protocol = open_protocol(host_of(make_site(plain, mirror, tmp_path)), PASSWORD)
    plain.faults.match, plain.faults.status_503 = "", 1
    with pytest.raises(Exception, match="503"):
        protocol.open_shell()
    assert not plain.faults.status_503
    shell = protocol.open_shell()
    protocol.close_shell(shell)
    assert plain.stats["refused plain"] == 0 and plain.stats["Create"] >= 1


# -- the inventory


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"configuration_name": "Restricted"}, "configuration_name: requires transport ="),
        ({"user": None, "password__env": None}, 'transport: "winrm" requires the keys user and password'),
        ({"auth": "kerberos"}, 'user: cannot be combined with transport = "winrm" and auth = "kerberos"'),
        ({"tls": False, "fingerprint": None, "auth": "basic"}, 'auth: "basic" sends the password unencrypted'),
    ],
)
def test_what_does_not_fit_is_refused_in_the_inventory(site: Site, settings: dict[str, Any], words: str) -> None:
    site.write(**settings)
    done = site.run("plan", "win1")
    assert done.returncode == 2 and words in done.stderr, done.stdout + done.stderr
