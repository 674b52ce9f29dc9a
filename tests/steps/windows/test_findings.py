"""Mode check: what an assertion throws or warns of becomes a finding, and the next one is checked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbserver.render import render
from nbserver.run.host_call import HostCall, execute
from nbserver.run.host_job import HostJob
from nbserver.run.secret_mask import SecretMask
from nbserver.transports.transport import LogonSecrets
from tests.boxes.windows import WindowsBox
from tests.boxes.winrm.endpoint import Endpoint
from tests.endless import endless
from tests.ports import free_port
from tests.powershell.engine import EngineError, Session, host_path, part, prelude, require_engine, steps
from tests.served import served
from tests.step_host import PASSWORD, STATE, StepHost


@pytest.fixture(scope="module")
def endpoint(windows_host: WindowsBox) -> Iterator[Endpoint]:
    with windows_host.endpoint(auth=["basic"], https=True, password=PASSWORD, one_process=True) as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    require_engine()
    with Session() as session:
        session.keep(prelude("run", "events", scope="user") + "$Run.Step = 'preflight'")
        yield session


def findings(session: Session, assertion: str, mode: str = "check") -> list[dict[str, Any]]:
    script = f"$Run.Mode = '{mode}'; $Run.Outcome = 'ok'; Assert-Requirement disk_space {{ {assertion} }}; Get-Said; $Run.Outcome"
    *lines, outcome = session.run(script)
    return [*(json.loads(line) for line in lines), {"outcome": outcome}]


def test_a_requirement_that_is_met(session: Session) -> None:
    finding, end = findings(session, "Set-Found disk-space 'drive {drive} has {free} GB' @{ drive = 'C:'; free = '5' }")
    assert (finding["event"], finding["name"], finding["state"], finding["todo"]) == ("finding", "disk_space", "ok", "")
    assert (finding["text"], finding["code"], finding["values"]) == ("drive C: has 5 GB", "disk-space", {"drive": "C:", "free": "5"})
    assert end == {"outcome": "ok"}


def test_a_failure_and_a_warning_have_what_to_do(session: Session) -> None:
    thrown = (
        "throw (New-Failure low 'only {free} GB: {cause}. Free some. Then try again' @{ free = 1.5 } -Cause (New-Failure why 'the reason'))"
    )
    finding, end = findings(session, thrown)
    assert (finding["state"], finding["text"], finding["todo"]) == ("failed", "only 1.5 GB: the reason", "Free some. Then try again")
    assert finding["cause"]["code"] == "why" and end == {"outcome": "failed"}
    finding, end = findings(session, "Write-Notice warning soon 'something differs. Correct it'")
    assert (finding["state"], finding["code"], finding["todo"]) == ("warning", "soon", "Correct it") and end == {"outcome": "ok"}


def test_what_breaks_is_unknown(session: Session) -> None:
    finding, end = findings(session, "[void]([int]'x')")
    assert (finding["state"], finding["code"]) == ("unknown", "check-failed") and end == {"outcome": "ok"}


def test_other_modes_stop_at_the_first(session: Session) -> None:
    script = "$Run.Mode = 'test'; try { Assert-Requirement a { throw (New-Failure low 'too little') } } catch { $_.Exception.Data['code'] }"
    assert session.run(script) == ["low"]


def test_a_check_of_a_host(windows_host: WindowsBox, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over PSRP, with the whole script: all requirements are reported, and the host has nothing that another test has not left."""
    state = windows_host.path(STATE)
    before = sorted([state, *state.rglob("*")] if state.exists() else [])
    monkeypatch.setenv("STEPS_PASSWORD", PASSWORD)
    host = StepHost(windows_host, endpoint, tmp_path, ()).host
    proxy = host.downloads.model_copy(update={"proxy": f"http://127.0.0.1:{free_port()}"})
    ((script, _),) = render.render_all([host := host.model_copy(update={"downloads": proxy})])
    result = execute(HostCall(HostJob(host, script, LogonSecrets(PASSWORD)), "check", "run-1", "me", SecretMask())).result
    states = {finding.name: finding.state for finding in result.findings}
    left = ["state_folder"] if before else []  # by another test
    assert list(states)[: 6 + len(left)] == ["port", "tls", "logon", "language_mode", "powershell", *left, "rotation"], result.error
    assert states["architecture"] == states["rights"] == states["clock"] == states["download_tls"] == "ok"
    failed = [name for name, state in states.items() if state == "failed"]
    assert failed == ["download_python", "download_openssl", "download_vc_redist"] and states["package_index"] == "unknown"
    assert (result.outcome, result.detail["code"]) == ("failed", "requirements-not-met")
    assert sorted([state, *state.rglob("*")] if state.exists() else []) == before


@pytest.mark.parametrize(("status", "codes"), [("2", ["code-integrity-enforced"]), ("1", []), ("0", [])])
def test_an_enforced_application_control_policy_is_named(session: Session, status: str, codes: list[str]) -> None:
    said = session.run(
        f"$Programs = 'C:\\p'; {part('prelude/host_checks')}; function Get-CimInstance {{ New-Object PSObject -Property @{{ "
        f"UsermodeCodeIntegrityPolicyEnforcementStatus = {status} }} }}; Write-CodeIntegrity; Get-Said"
    )
    assert [json.loads(line)["code"] for line in said] == codes


@pytest.fixture(scope="module", params=["machine", "user"])
def downloads(request: pytest.FixtureRequest) -> Iterator[Session]:
    require_engine()
    with Session() as session:
        settings = """$Settings = ConvertFrom-Json '{"downloads": {"mirror": null, "proxy": null, "source": "direct"}, "packages": {"index_url": null}}'; $Run.Step = 'preflight'; $Run.Mode = 'check'; $Secrets = @{}"""
        own = ["downloads", "program_checks"] if request.param == "machine" else []
        session.keep(prelude("run", "events", "registry", "download_checks", *own, scope=request.param) + steps("packages") + settings)
        yield session


def answer(session: Session, url: str) -> dict[str, Any]:
    (line,) = session.run(f"Assert-Requirement download_python {{ Assert-UrlAnswer '{url}' }}; Get-Said")
    finding: dict[str, Any] = json.loads(line)
    return finding


def page(session: Session, settings: str) -> dict[str, Any]:
    """What is found about the page of an index or a mirror."""
    outside = "function Test-Push { $false }; function Get-EnvironmentFolder { 'C:\\nothing' }"
    before = "$Settings.downloads.source = 'direct'; $Lock = @('small-tool.x==1.0+cpu --hash=sha256:00')"
    (line,) = session.run(f"{outside}; {before}; {settings}; Write-IndexFinding; Get-Said")
    finding: dict[str, Any] = json.loads(line)
    assert finding["name"] == "package_index"
    return finding


def test_the_index_must_offer_the_first_package_of_the_lock(downloads: Session, tmp_path: Path) -> None:
    """In both scopes. A login page of the network answers with status 200, too."""
    folder = tmp_path / "small-tool-x"
    folder.mkdir()
    assert page(downloads, "$Settings.packages.index_url = $null")["code"] == "default-index-not-checked"
    with served(tmp_path) as url:
        index = f"$Settings.packages.index_url = '{url}'"
        for text, code in (
            ('<a href="small_Tool.x-1.0%2Bcpu-py3-none-any.whl">', "url-answers"),
            ('<a href="small_tool_x-1.0.1-py3-none-any.whl">', "page-without-package"),
            ("<h1>Welcome to the hotel</h1>", "page-without-package"),
        ):
            (folder / "index.html").write_text(text)
            found = page(downloads, index)
            assert (found["code"], found["state"]) == (code, "ok" if code == "url-answers" else "failed")
        (tmp_path / "wheels.html").write_text('<a href="small_tool_x-1.0-py3-none-any.whl">')
        mirror = f"$Settings.downloads.source = 'mirror'; $Settings.downloads.mirror = '{url.rstrip('/')}'"
        assert page(downloads, mirror)["code"] == "url-answers"


@pytest.mark.parametrize(("limit", "pause"), [("$LongestPage = 100000", 0), ("$PageSeconds = 1", 0.2)], ids=["long", "slow"])
@pytest.mark.parametrize("downloads", ["machine"], indirect=True)
def test_a_page_that_never_ends_is_read_in_part(downloads: Session, limit: str, pause: float) -> None:
    """It fills neither the memory nor the time of a run."""
    with endless(b"<p>Welcome to the hotel</p>" * 2000, pause=pause) as port:
        found = page(downloads, f"{limit}; $Settings.packages.index_url = 'http://127.0.0.1:{port}'")
    assert (found["code"], found["state"]) == ("page-read-in-part", "unknown")
    assert found["values"]["bytes"] == 100000 or (pause and found["values"]["seconds"] >= 1)


@pytest.mark.parametrize("downloads", ["machine"], indirect=True)
def test_a_download_has_limits(downloads: Session, tmp_path: Path) -> None:
    """A server that sends without end does not fill the disk, and one that sends next to nothing does not hold the lock."""
    part = host_path(tmp_path / "python.part")
    with endless(b"x" * 100_000) as port:
        for size, limit in (("$null", 300_000), ("250000", 250_000)):
            download = f"@{{ url = 'http://127.0.0.1:{port}/python.exe'; size = {size} }}"
            with pytest.raises(EngineError, match=f"the file is larger than {limit} bytes, so nbserver discarded it"):
                downloads.run(f"$LargestDownload = 300000; Receive-Download {download} '{part}'")
            assert list(tmp_path.iterdir()) == []
    with endless(b"x", pause=0.2) as port:
        slow = f"$SlowestDownload.Seconds = 1; (Receive-File 'http://127.0.0.1:{port}/python.exe' '{part}' 9).Data['code']; $SlowestDownload.Seconds = 60"
        assert downloads.run(slow) == ["download-slow"]


@pytest.mark.parametrize("downloads", ["machine"], indirect=True)
def test_a_download_answers_or_does_not(downloads: Session, tmp_path: Path) -> None:
    (tmp_path / "python.zip").write_bytes(b"x")
    with served(tmp_path) as url:
        found = answer(downloads, f"{url}python.zip")
        assert (found["state"], found["code"], found["values"]["status"]) == ("ok", "url-answers", "200")
        found = answer(downloads, f"{url}gone.zip")
        assert found["state"] == "failed" and "HTTP status 404" in found["text"] and "downloads.proxy" in found["todo"]
        (tmp_path / "python.html").write_text("<h1>Welcome to the hotel</h1>")
        assert answer(downloads, f"{url}python.html")["code"] == "url-is-page"
    found = answer(downloads, f"http://127.0.0.1:{free_port()}/python.zip")
    assert found["state"] == "failed" and found["cause"]["code"] == "no-answer"


@pytest.mark.parametrize(
    ("server", "issuer", "codes"),
    [
        ("www.python.org", "CN=GlobalSign Atlas R3 DV TLS CA, O=GlobalSign nv-sa, C=BE", []),
        ("www.python.org", "CN=Inspection, O=Example GmbH, C=DE", ["tls-inspected"]),
        ("mirror.example.com", "CN=Inspection, O=Example GmbH, C=DE", []),
        ("www.python.org", "", []),
    ],
)
@pytest.mark.parametrize("downloads", ["machine"], indirect=True)
def test_an_authority_that_is_not_public_is_named_for_public_hosts(downloads: Session, server: str, issuer: str, codes: list[str]) -> None:
    said = downloads.run(f"Write-Inspection '{server}' '{issuer}'; Get-Said")
    assert [json.loads(line)["code"] for line in said] == codes
