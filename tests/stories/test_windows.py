"""The whole life of a host, with the unmodified script on a real engine: render, plan, interrupted apply, apply, verify,
apply again, a lost connection, undo. One story, told once a run of the tests; each test looks at a part of it."""

from __future__ import annotations

import json
import os
import re
import secrets as random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import browser, canary, lesson
from tests.boxes.foreign_configuration import FILES, VARIABLES, foreign_configuration
from tests.boxes.mirror import Mirror
from tests.boxes.server_settings import ENVIRONMENT, IE_ESC
from tests.boxes.windows import WindowsBox
from tests.ports import free_port
from tests.site import Site, steps
from tests.tier import FULL
from tests.windows_story import Story, outcome, record_requests, tell

STEPS = [
    "preflight",
    "tls",
    "python",
    "vc_redist",
    "openssl",
    "packages",
    "certificate",
    "notebook",
    "takeover",
    "service",
    "firewall",
    "check",
    "path",
    "cleanup",
]
CHANGING = [
    step for step in STEPS if step not in ("preflight", "tls", "vc_redist", "takeover", "cleanup")
]  # the mirror's OpenSSL needs no runtime


@pytest.fixture(scope="module")
def story(windows_host: WindowsBox, mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("site")
    password = f"Canary-Windows-{random.token_hex(8)}"
    service = windows_host.endpoint(auth=["negotiate"], https=True, password=password, one_process=not FULL)
    with foreign_configuration(windows_host), service as endpoint:
        mirror.behave()
        site = Site(
            folder,
            endpoint,
            mirror,
            port=free_port(),
            windows_password=password,
            notebook_password=f"Canary-Notebook-{random.token_hex(8)} é'\"$",
        )
        mirror.write_catalog(folder / "site-catalog.toml", openssl="msi", whole_python=True)
        told = Story(site, windows_host)
        record_requests(endpoint, told)
        tell(told, windows_host, mirror)
        yield told


# -- render and plan


def test_render_writes_what_check_finds(story: Story) -> None:
    assert story.done["render"].returncode == 0, story.done["render"].stderr
    assert story.done["check"].returncode == 0, story.done["check"].stderr


def test_plan_tells_every_changing_step_and_exits_4(story: Story) -> None:
    assert story.done["plan"].returncode == 4, story.done["plan"].stdout + story.done["plan"].stderr
    assert list(dict.fromkeys(steps(story.events["plan"], "difference"))) == CHANGING


def test_plan_changes_nothing(story: Story) -> None:
    assert story.snapshots["after plan"] == story.snapshots["before"]
    assert not any(name.startswith("ProgramData/nbserver") for name in story.snapshots["after plan"]["files"])


# -- Ctrl-C in the middle


def test_ctrl_c_stops_the_pipeline_and_the_bracket_is_closed(story: Story) -> None:
    done, events = story.done["interrupted"], story.events["interrupted"]
    assert done.returncode == 3, done.stdout + done.stderr
    assert "stopped" in done.stdout
    assert events[-1]["event"] == "finished" and events[-1]["outcome"] == "stopped"
    assert "ie_esc" in steps(events, "changed"), "it was open when Ctrl-C came"
    assert "ie_esc" in steps(events, "restored")
    assert (
        story.registry_while_stopped[IE_ESC["administrators"]]["IsInstalled"]
        == story.snapshots["before"]["registry"][IE_ESC["administrators"]]["IsInstalled"]
    )
    assert not [task for task in story.tasks_while_stopped if "close" in task]


# -- apply


def test_apply_changes_every_step_and_exits_0(story: Story) -> None:
    done, events = story.done["apply"], story.events["apply"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert set(steps(events, "changed")) | set(steps(events, "unchanged")) == {*STEPS, "ie_esc"}
    assert {"packages", "path", "certificate", "notebook", "service", "firewall", "check"} <= set(steps(events, "changed"))
    assert events[-1]["event"] == "finished" and events[-1]["outcome"] == "ok"


def test_events_count_up_without_a_gap(story: Story) -> None:
    for name, events in story.events.items():
        assert [event["n"] for event in events] == list(range(1, len(events) + 1)), name


def test_the_host_ran_the_script_that_was_rendered(story: Story) -> None:
    manifest = json.loads((story.site.folder / "rendered" / "manifest.json").read_text(encoding="utf-8"))
    assert story.events["apply"][0]["script_sha256"] == manifest["hosts"]["win1"]["sha256"]
    sent = (story.site.runs()[-1] / "win1" / "script.ps1").read_bytes()
    assert sent == (story.site.folder / "rendered" / "win1.ps1").read_bytes()


def test_ie_esc_was_off_only_while_the_others_ran(story: Story) -> None:
    events = [(event["step"], event["event"]) for event in story.events["apply"]]
    opened, closed = events.index(("ie_esc", "changed")), events.index(("ie_esc", "restored"))
    assert opened < events.index(("packages", "started")) < events.index(("check", "changed")) < closed
    before, applied = story.snapshots["before"]["registry"], story.snapshots["applied"]["registry"]
    assert applied[IE_ESC["administrators"]] == before[IE_ESC["administrators"]]
    assert applied[IE_ESC["users"]] == before[IE_ESC["users"]]


def test_path_keeps_its_type_and_text_and_gets_our_entries(story: Story) -> None:
    before, applied = (story.snapshots[name]["registry"][ENVIRONMENT]["PATH"] for name in ("before", "applied"))
    ours = applied.removeprefix(before)
    assert applied.startswith("REG_EXPAND_SZ:%SystemRoot%") and ours != applied
    programs = re.escape(r"C:\Program Files")
    assert re.fullmatch(
        rf";{programs}\\nbserver\\env-3\.11\.9-[0-9a-f]{{8}}\\Scripts;{programs}\\nbserver\\python-3\.11\.9;{programs}\\nbserver\\python-3\.11\.9\\Scripts;{programs}\\OpenSSL\\bin",
        ours,
    )


def test_the_service_runs_without_administrator_rights_and_without_limit(story: Story) -> None:
    task = story.snapshots["applied"]["tasks"]["nbserver"]
    for part in (
        "S-1-5-19",
        "<ExecutionTimeLimit>PT0S<",
        "<DisallowStartIfOnBatteries>false<",
        "BootTrigger",
    ):
        assert part in task
    for default in ("RunLevel", "ProcessTokenSidType"):  # left out: the least privileges, and an unrestricted token SID
        assert default not in task
    assert story.snapshots["applied"]["running"] == ["nbserver"]


def test_the_firewall_rule_opens_the_port(story: Story) -> None:
    rule = story.snapshots["applied"]["firewall"]["nbserver"]
    assert (rule["Direction"], rule["Action"], rule["Protocol"], rule["LocalPort"]) == ("Inbound", "Allow", "TCP", [str(story.site.port)])


def test_only_administrators_and_the_service_may_read_the_key(story: Story) -> None:
    acl = story.snapshots["applied"]["acl"]
    service = acl[r"C:\ProgramData\nbserver\service"]
    assert service.count("(A;") == 3 and "D:P" in service
    assert "(A;OICI;FA;;;SY)" in service and "(A;OICI;FA;;;BA)" in service and "(A;OICI;0x1200a9;;;S-1-5-87-" in service
    assert acl[r"C:\ProgramData\nbserver"].count("(A;") == 2


def test_configuration_is_https_with_a_password(story: Story) -> None:
    server = story.configuration["ServerApp"]
    assert server["certfile"].endswith("certificate.pem") and server["keyfile"].endswith("key.pem")
    assert server["port_retries"] == 0 and server["open_browser"] is False
    assert story.configuration["PasswordIdentityProvider"]["hashed_password"].startswith("argon2:$argon2id$")


# -- configuration of others on the host


def test_it_opens_the_server_to_nobody(story: Story) -> None:
    """Terminals are enabled, as their list shows. None is opened: pywinpty does not load under Wine. steps/windows/test_starter.py opens one."""
    refused = {answer for name, answer in story.answers.items() if name.startswith(("nobody ", "foreign token "))}
    assert refused == {403}, story.answers
    assert (story.answers["/tree"], story.answers["/lab"], story.answers["/api/terminals"]) == (200, 200, 200)
    assert story.answers["kernels"] == ["python3"]
    assert not story.foreign_was_read, "neither the server nor its kernel has read IPython's"


def test_it_is_named_once_in_a_run(story: Story) -> None:
    for name in ("plan", "apply", "again"):
        (text,) = (
            event["text"]
            for event in story.events[name]
            if event["event"] == "warning" and "configuration that it did not install" in event["text"]
        )
        assert all(rf"C:\ProgramData\{folder}" in text for folder in ("ipython", "jupyter", "pip", "uv")) and set(VARIABLES) <= set(
            re.findall(r"\w+", text)
        )
        assert text.count(", ") == len(FILES) + len(VARIABLES) - 1, "each of them"


# -- verify


def test_verify_draws_with_numpy_and_matplotlib_on_the_windows_engine(story: Story) -> None:
    done = story.done["verify"]
    assert done.returncode == 0, done.stdout + done.stderr
    found = outcome(done)
    assert found["versions"]["numpy"] and found["versions"]["matplotlib"] and found["versions"]["python"] == "3.11.9"
    picture = story.site.folder / "pictures" / "win1.png"
    from PIL import Image

    with Image.open(picture) as image:
        assert image.size == tuple(found["png_size"])
        assert len(image.convert("RGB").getcolors(maxcolors=1 << 24) or []) > 100
    keep = os.environ.get("NBSERVER_TEST_PICTURES")
    if keep:
        Path(keep).mkdir(parents=True, exist_ok=True)
        (Path(keep) / "win1.png").write_bytes(picture.read_bytes())


@pytest.mark.skipif(bool(browser.missing()), reason=browser.missing())
def test_a_cell_of_the_hosts_notebook_draws_in_chromium(story: Story) -> None:
    done = story.done["browser"]
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout)
    assert min(*seen["size"], *seen["shown"]) > 100
    assert seen["protocol"] in ("TLS 1.2", "TLS 1.3") and seen["security"] == []
    assert seen["requested"] == [f"https://127.0.0.1:{story.site.port}"]
    keep = os.environ.get("NBSERVER_TEST_PICTURES")
    if keep:
        Path(keep).mkdir(parents=True, exist_ok=True)
        (Path(keep) / "win1-page.png").write_bytes((story.site.folder / "browser" / "page.png").read_bytes())


def test_verify_works_through_a_forwarded_port(story: Story) -> None:
    done = story.done["verify forwarded"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert f":{story.site.port}" not in outcome(done)["url"]


def test_a_certificate_that_was_sent_is_served_and_verified(story: Story) -> None:
    applied, verified = story.done["sent certificate"], story.done["verify sent certificate"]
    assert applied.returncode == 0, applied.stdout + applied.stderr
    assert set(steps(story.events["sent certificate"], "changed")) - {"check"} == {"ie_esc", "certificate", "service", "path"}
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert outcome(verified)["fingerprint"] == story.fingerprints["sent"]
    assert story.done["own certificate again"].returncode == 0
    assert "PRIVATE KEY" not in applied.stdout + applied.stderr


# -- again


def test_a_second_apply_changes_nothing_and_says_so(story: Story) -> None:
    done, events = story.done["again"], story.events["again"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert outcome(done) == {"outcome": "ok", "changed": 0, "reboot": False, "steps": dict.fromkeys(STEPS, "unchanged")}
    assert [event["event"] for event in events] == ["started", "warning", *["unchanged"] * len(STEPS), "finished"]
    asked = story.exchanges
    assert asked["Receive"] and asked["http"] - asked["Receive"] <= 10, f"besides waiting for output: {asked}"


def test_the_status_is_that_of_the_server_and_of_the_last_run(story: Story) -> None:
    done = story.done["status"]
    assert done.returncode == 0, done.stdout + done.stderr
    found = outcome(done)["status"]
    service, last = found["service"], found["last"]
    assert (service["state"], service["by"], service["start"]) == ("running", "task", "automatic")
    assert set(found["versions"]) >= {"python", "notebook", "numpy", "matplotlib", "tornado", "pyzmq"}
    assert found["certificate"]["fingerprint"] == outcome(story.done["verify"])["fingerprint"]
    assert 300 < found["days_left"] < 400 and found["differences"] == 0 and found["record"]
    assert (last["mode"], last["outcome"]) == ("apply", "ok")
    assert found["script_is_current"] and last["script_sha256"] == found["script_sha256"] == story.events["status"][0]["script_sha256"]


def test_a_stopped_server_stays_stopped_until_a_restart(story: Story) -> None:
    assert outcome(story.done["stopped"])["steps"] == {"service": "changed"}
    assert story.done["plan while stopped"].returncode == 4
    assert {event["code"] for event in story.events["plan while stopped"] if event["event"] == "difference"} == {
        "task",
        "task-property",
        "port-certificate",
    }
    assert outcome(story.done["restarted"])["steps"] == {"service": "changed", "check": "changed"}
    assert story.events["restarted"][-1]["fingerprint"] == story.events["apply"][-1]["fingerprint"]
    assert story.done["plan after restart"].returncode == 0, story.done["plan after restart"].stdout


def test_password_and_certificate_are_replaced_alone(story: Story) -> None:
    assert outcome(story.done["password set"])["steps"] == {"notebook": "changed", "service": "changed", "check": "changed"}
    assert outcome(story.done["certificate rotated"])["steps"] == {"certificate": "changed", "service": "changed", "check": "changed"}
    assert story.events["certificate rotated"][-1]["fingerprint"] != story.events["apply"][-1]["fingerprint"]
    assert story.done["verify after both"].returncode == 0, story.done["verify after both"].stdout
    assert story.done["plan after both"].returncode == 0, story.done["plan after both"].stdout


def test_notebooks_go_there_and_back(story: Story) -> None:
    lesson.require(story.lesson)


def test_other_path_entries_replace_ours_and_nobody_elses(story: Story) -> None:
    before = story.snapshots["before"]["registry"][ENVIRONMENT]["PATH"]
    assert story.paths["other"] == before + r";C:\Program Files\nbserver\other"
    assert story.paths["former"] == story.snapshots["applied"]["registry"][ENVIRONMENT]["PATH"]


@pytest.mark.parametrize("name", ["first answer dropped", "answer lost"])
def test_a_lost_connection_is_joined_again(story: Story, name: str) -> None:
    """Before the first event came, and with events in an answer that was lost."""
    done = story.done[name]
    assert done.returncode == 0, done.stdout + done.stderr
    assert outcome(done)["steps"] == dict.fromkeys(STEPS, "unchanged")


def test_run_by_hand_the_script_tests_and_exits_0(story: Story) -> None:
    done = story.by_hand
    assert done is not None
    lines = [json.loads(line) for line in done.stdout.decode().splitlines() if line.startswith("{")]
    assert done.returncode == 0, done.stdout.decode()
    assert lines[0]["mode"] == "test" and lines[-1]["differs"] is False


# -- secrets


def test_no_secret_is_in_a_file_but_the_hash_in_the_configuration(story: Story) -> None:
    assert story.secret_files["windows"] == []
    assert story.secret_files["notebook"] == []
    assert [path.name for path in story.secret_files["hash"]] == ["jupyter_server_config.json"]


def test_the_hash_is_sent_once_in_the_envelope_and_nothing_else_is(story: Story) -> None:
    import base64

    sent = canary.sent(story.requests["apply"])
    value = story.configuration["PasswordIdentityProvider"]["hashed_password"].encode()
    line = b"secret notebook.password_hash " + base64.b64encode(value)
    assert sent.count(line) == 1
    assert sent.count(base64.b64encode(value)) == 1 and value not in sent
    everything = sent + b"".join(story.requests["apply"])
    for name in ("WINDOWS_PASSWORD", "NOTEBOOK_PASSWORD"):
        assert not any(form in everything for form in canary.forms(story.site.secrets[name])), name


def test_no_secret_is_in_the_command_line_of_a_process(story: Story) -> None:
    assert len(story.command_lines) > 10
    assert any(b"uv.exe" in line for line in story.command_lines), "Wine's processes are among them"
    wanted = [*story.site.secrets.values(), story.configuration["PasswordIdentityProvider"]["hashed_password"]]
    for secret in wanted:
        assert not [line for line in story.command_lines if any(form in line for form in canary.forms(secret))]


def test_no_secret_is_said(story: Story) -> None:
    wanted = [*story.site.secrets.values(), story.configuration["PasswordIdentityProvider"]["hashed_password"]]
    for name, done in story.done.items():
        said = (done.stdout + done.stderr).encode()
        assert not [secret for secret in wanted if any(form in said for form in canary.forms(secret))], name


# -- undo


def test_undo_restores_the_snapshot(story: Story) -> None:
    done = story.done["undo"]
    assert done.returncode == 0, done.stdout + done.stderr
    before, undone = story.snapshots["before"], story.snapshots["undone"]
    for snapshot in (before, undone):
        snapshot["acl"].pop(r"C:\ProgramData\nbserver", None)  # the evidence stays, for administrators only; of other tests too
    for part in before:
        if isinstance(before[part], dict):
            changed = {key for key in {*before[part], *undone[part]} if before[part].get(key) != undone[part].get(key)}
            assert not changed, f"{part}: {sorted(changed)[:10]}"
        assert undone[part] == before[part]


def test_undo_keeps_the_evidence_and_can_be_repeated(story: Story) -> None:
    evidence = story.host.path(r"C:\ProgramData\nbserver\runs")
    assert len(list(evidence.glob("*/events.jsonl"))) >= 4
    assert story.done["undo again"].returncode == 0
    assert "restored" not in {event["event"] for event in story.events["undo again"]}


def test_host_and_workstation_have_the_same_runs(story: Story) -> None:
    """Also those that were interrupted, or whose connection was lost."""
    done = story.done["evidence"]
    (said,) = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, said["findings"], said["running"]) == (0, [], []), done.stdout + done.stderr
    assert said["matching"] == said["runs"] > 12
