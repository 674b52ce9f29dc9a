"""Windows in other languages, under code pages of their own, with names that none of these holds: real steps on a real engine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.modes import Mode
from nbserver.inventory import reader
from nbserver.inventory.windows_host import WindowsHost
from nbserver.render.script import Script
from nbserver.run.host_run import HostRun
from nbserver.run.journal import Journal, new_run_id
from nbserver.run.result import Result
from nbserver.transports.connect import connect_to
from nbserver.transports.transport import LogonSecrets
from tests.boxes.mirror import Mirror
from tests.boxes.prefixes import prefix_folder
from tests.boxes.server_settings import ENVIRONMENT
from tests.boxes.windows import WindowsBox
from tests.faults.small_packages import use_lock, write_index
from tests.localized.locales import LANGUAGES, Language, make_locales
from tests.localized.windows import DATA, FACTS, NOTEBOOKS, PATH_ENTRY, PROGRAMS, USER, LocalizedWindows
from tests.ports import free_port
from tests.powershell.engine import require_engine
from tests.served import served
from tests.site import Site, steps
from tests.some_steps import script_of
from tests.tier import FULL, points

PASSWORD = "Tr0ub4dor"
STATE = rf"{DATA}\nbserver"
HASH = "argon2:$argon2id$v=19$m=10240,t=10,p=8$bm90IGEgcmVhbA$b25l"
# Every kind of thing that is recorded, but for the service's task: registry, task, folder, access, path entry, file, data folder, grant, rule.
STEPS = "tls ie_esc openssl path certificate notebook firewall".split()
WITH_PYTHON = "tls ie_esc python openssl packages path certificate notebook firewall".split()
EVIDENCE = tuple(f"{STATE[3:]}{rest}".replace("\\", "/") for rest in ("", "/runs", "/runs/*", "/lock", "/record.jsonl"))


@pytest.fixture(scope="module")
def localized(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalizedWindows]:
    require_engine()
    folder = tmp_path_factory.mktemp("localized")
    (folder / "locales").mkdir()
    make_locales(folder / "locales", LANGUAGES.values())
    with prefix_folder(folder) as prefix:
        yield LocalizedWindows(prefix, folder / "locales", LANGUAGES["fr-FR"])


@pytest.fixture(params=points(LANGUAGES, "ar-SA", "tr-TR"))
def language(request: pytest.FixtureRequest) -> Language:
    return LANGUAGES[request.param]


@pytest.fixture
def windows(localized: LocalizedWindows, language: Language) -> Iterator[WindowsBox]:
    with localized.speak(language) as host:
        yield host


class Runs:
    """Runs of one script on one host, by the orchestrator's own HostRun, each with its journal."""

    def __init__(self, folder: Path, host: WindowsHost, script: Script) -> None:
        self.folder, self.host, self.script = folder, host, script
        self.events: list[dict[str, Any]] = []
        self.log = ""

    def run(self, mode: Mode) -> Result:
        stop = threading.Event()
        journal = Journal(self.folder / "runs", new_run_id(), mode, USER)
        part = journal.host(self.script)
        try:
            run = HostRun(self.host, self.script, mode, journal.run, part, lambda name, event: None)
            result = run.execute(lambda: connect_to(self.host, LogonSecrets(PASSWORD), stop), USER, {"notebook.password_hash": HASH}, stop)
        finally:
            part.close()
        self.events = [json.loads(line) for line in (part.folder / "events.jsonl").read_text("ascii").splitlines()]
        self.log = (part.folder / "log.txt").read_text("utf-8")
        return result


def make_site(endpoint: Any, mirror: Mirror, folder: Path) -> Site:
    mirror.behave()
    site = Site(folder, endpoint, mirror, port=free_port(), windows_password=PASSWORD, notebook_password="mot de passe é 日本")
    site.settings |= {"auth": "basic", "notebook.directory": NOTEBOOKS, "path.entries": [PATH_ENTRY]}
    site.write()
    return site


def small_lock(site: Site, folder: Path, url: str) -> None:
    """From now on the packages are uv and the small server, from the index at `url`."""
    use_lock(folder, site.mirror, write_index(folder / "index", site.mirror))
    site.write(packages__index_url=url)


def rendered_settings(site: Site) -> dict[str, Any]:
    done = site.run("render", "win1", "-o", "rendered")
    assert done.returncode == 0, done.stderr
    return dict(json.loads((site.folder / "rendered" / "manifest.json").read_text("utf-8"))["hosts"]["win1"]["settings"])


def test_every_kind_converges_and_is_undone(windows: WindowsBox, language: Language, mirror: Mirror, tmp_path: Path) -> None:
    with windows.endpoint(auth=["basic"], https=True, password=PASSWORD, one_process=not FULL) as endpoint:
        site = make_site(endpoint, mirror, tmp_path)
        host = reader.load(tmp_path / "nbserver.toml").hosts["win1"]
        assert facts(windows, host) == expected_facts(language)
        settings = rendered_settings(site)
        runs = Runs(tmp_path, host, script_of(settings, (), STEPS))
        before = state(windows)
        first = runs.run("apply")
        assert first.outcome == "ok", first.error
        assert runs.events[0]["operator"] == USER and runs.events[0]["time"].startswith("20")
        assert f"access list of {STATE}" not in runs.log and rf"{PROGRAMS}\nbserver\openssl-" in runs.log and NOTEBOOKS in runs.log
        assert "\ufffd" not in runs.log
        look(windows, settings)
        again = runs.run("apply")
        assert (again.outcome, again.changed) == ("ok", 0), runs.log
        undone = runs.run("undo")
        assert undone.outcome == "ok", undone.error
        assert state(windows) == before


def state(windows: WindowsBox) -> dict[str, Any]:
    """A snapshot without the evidence that undo leaves."""
    found = windows.snapshot(except_=EVIDENCE)
    found["acl"].pop(STATE, None)
    return found


def facts(windows: WindowsBox, host: WindowsHost) -> list[str]:
    transport = connect_to(host, LogonSecrets(PASSWORD), threading.Event())
    try:
        return list(transport.run(FACTS, ["-"]))
    finally:
        transport.close()


def expected_facts(language: Language) -> list[str]:
    year = {"th-TH": "2569", "ar-SA": "1448"}.get(language.culture, "2026")
    number = "1,5" if language.culture in ("fr-FR", "tr-TR") else "1.5"
    pairs = str(language.culture != "tr-TR")
    temp = rf"C:\users\{USER}\Temp" + "\\"
    return [language.culture, str(language.oem), str(language.oem), f"{year}|{number}", pairs, PROGRAMS, DATA, temp]


def look(windows: WindowsBox, settings: dict[str, Any]) -> None:
    """What apply made is what Windows has, letter by letter."""
    configuration = json.loads(windows.path(rf"{STATE}\service\jupyter_server_config.json").read_bytes().decode("ascii"))
    assert configuration["ServerApp"]["root_dir"] == NOTEBOOKS
    assert configuration["ServerApp"]["certfile"] == rf"{STATE}\service\certificate.pem"
    assert windows.path(rf"{STATE}\service\key.pem").is_file() and windows.path(NOTEBOOKS).is_dir()
    path = windows.registry(ENVIRONMENT)[ENVIRONMENT]["PATH"]
    assert path.endswith(";" + PATH_ENTRY.replace("%SystemDrive%", "C:"))
    record = [json.loads(line) for line in windows.path(rf"{STATE}\record.jsonl").read_text("utf-8").splitlines()]
    kinds = {"folder", "path_entry", "file", "data_folder", "grant", "firewall_rule"}
    assert kinds <= {line["kind"] for line in record}
    assert {rf"{PROGRAMS}\nbserver", NOTEBOOKS} <= {line["key"] for line in record}


@pytest.mark.parametrize("language", [LANGUAGES["fr-FR"]], ids=["fr-FR"])
def test_pip_and_the_bootstrap_work_in_such_places(windows: WindowsBox, language: Language, mirror: Mirror, tmp_path: Path) -> None:
    """Over winrm the script itself lies in the user's temporary folder. A wheel by pip, in a real virtual environment."""
    with windows.endpoint(auth=["basic"], https=True, password=PASSWORD, one_process=not FULL) as endpoint:
        site = make_site(endpoint, mirror, tmp_path)
        settings = rendered_settings(site)
        settings["packages"]["installer"] = "pip"
        site.write(transport="winrm")
        host = reader.load(tmp_path / "nbserver.toml").hosts["win1"]
        lock = [line for line in mirror.lock_file.read_text().splitlines() if line.startswith("six==")]
        runs = Runs(tmp_path, host, script_of(settings, lock, WITH_PYTHON))
        result = runs.run("apply")
        assert result.outcome == "ok", result.error
        said = [event["text"] for event in runs.events if event["event"] == "log" and event.get("program") == "python.exe"]
        assert any(f"{STATE}\\cache\\lock.txt" in text for text in said), said
        assert any("Successfully installed six" in text for text in said)
        assert "\ufffd" not in runs.log
        (environment,) = windows.path(rf"{PROGRAMS}\nbserver").glob("env-*")
        assert (environment / "Lib" / "site-packages" / "six.py").is_file()
        modes: tuple[Mode, ...] = ("test", "undo")
        for mode in modes:
            result = runs.run(mode)
            assert result.outcome == "ok", result.error


@pytest.mark.parametrize("language", [LANGUAGES["ja-JP"]], ids=["ja-JP"])
def test_the_whole_script_on_a_japanese_host(windows: WindowsBox, language: Language, mirror: Mirror, tmp_path: Path) -> None:
    """All steps with the server, again without a change, then undo; in the second tier, with all packages and what a browser does."""
    with (
        windows.endpoint(auth=["basic"], https=True, password=PASSWORD, one_process=not FULL) as endpoint,
        served(tmp_path / "index") as url,
    ):
        site = make_site(endpoint, mirror, tmp_path)
        if not FULL:
            small_lock(site, tmp_path, url)
        before = state(windows)
        done = site.run("apply", "win1")
        log = (site.runs()[-1] / "win1" / "log.txt").read_text("utf-8")
        assert done.returncode == 0, log[-6000:]
        assert {"packages", "certificate", "notebook", "service"} <= set(steps(site.last_events(), "changed"))
        assert "check" in steps(site.last_events(), "changed") + steps(site.last_events(), "unchanged"), "a small server starts at once"
        assert "\ufffd" not in log
        if FULL:
            verified = site.run("verify", "win1", "--png", "pictures")
            assert verified.returncode == 0, verified.stdout + verified.stderr
        again = site.run("apply", "win1")
        assert again.returncode == 0 and not steps(site.last_events(), "changed"), again.stdout
        assert site.run("undo", "win1").returncode == 0
        assert state(windows) == before
