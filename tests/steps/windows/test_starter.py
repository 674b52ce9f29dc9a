"""The program that starts the server on Windows, taken out of the script by the real engine, among configuration of others.

Python and Jupyter are those of this machine; what is different on Windows is in stories/test_windows.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from nbserver.base.allowance import Allowance
from nbserver.base.pinned_tls import PinnedAdapter
from nbserver.run.notebook_password import hash_password
from nbserver.verify.notebook_client import Address, NotebookClient
from tests import browser as chromium
from tests.checkout import TESTS
from tests.notebook_fixtures import needs_notebook
from tests.notebook_server import Certificate, _answers, _stop, make_certificate
from tests.ports import free_port
from tests.powershell.engine import STEP_FILES, Session, host_path, prelude, require_engine, steps
from tests.waiting import wait_until

pytestmark = needs_notebook
FOREIGN = TESTS / "foreign_configuration"
TOKEN = json.loads((FOREIGN / "jupyter_server_config.json").read_text())["IdentityProvider"]["token"]
PASSWORD = "correct horse battery"
PLANTED = "import pathlib; pathlib.Path(r'{}').touch()\n"


@dataclass(frozen=True)
class Place:
    """What a host has in %ProgramData%\\nbserver, in folders of this machine."""

    folder: Path
    port: int
    certificate: Certificate

    @property
    def configuration(self) -> Path:
        return self.folder / "service" / "jupyter_server_config.json"

    @property
    def log(self) -> Path:
        return self.folder / "work" / "notebook.log"

    def start(self, log: Path | None = None, **variables: str) -> subprocess.Popen[bytes]:
        work = self.folder / "work"
        command = [sys.executable, "-I", self.folder / "service" / "serve.py", self.configuration, work, log or self.log]
        own = {"PATH": os.environ["PATH"], "HOME": str(self.folder / "home")}
        return subprocess.Popen(
            command, env={**own, **variables}, cwd=work, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Configuration and starter as the step writes them; the paths in the configuration are this machine's."""
    require_engine()
    made = Place(tmp_path_factory.mktemp("host"), free_port(), make_certificate(tmp_path_factory.mktemp("certificate")))
    for name in ("service", "work", "notebooks", "home"):
        (made.folder / name).mkdir()
    settings = {
        "scope": "machine",
        "skip": [],
        "notebook": {
            "collaboration": True,
            "cull_idle_seconds": 28800,
            "interface": "notebook",
            "ip": "*",
            "port": made.port,
            "session": 12,
            "directory": str(made.folder / "notebooks") + "\\",
        },
    }
    with Session() as session:
        script = (
            f"$Settings = ConvertFrom-Json '{json.dumps(settings)}'; $CertificateFile = '{made.certificate.certificate}'; $KeyFile = '{made.certificate.key}'\n"
            f"{prelude('run', 'events', 'envelope', 'record', 'files', 'starter')}\n{steps('notebook')}\n"
            f"$ServiceFolder = '{host_path(made.folder)}\\service'; Get-Configuration; $Starter"
        )
        configuration, starter = session.run(script)
    password = hash_password(PASSWORD, bytes(16))
    written = json.loads(configuration.replace("@notebook.password_hash@", password))
    written["ServerApp"]["allow_root"] = True  # on this machine the tests may be root's
    made.configuration.write_text(json.dumps(written), "ascii")
    (made.folder / "service" / "serve.py").write_text(starter, "ascii")
    (made.folder / "service" / "migrated").touch()
    return made


@pytest.fixture(scope="module")
def server(place: Place) -> Iterator[Place]:
    """It runs, with what Python honours on this machine of configuration of the machine and of its user."""
    user = place.folder / "home" / ".jupyter"
    planted = PLANTED.format(place.folder / "planted")
    for name in (
        ".jupyter/jupyter_server_config.py",
        ".ipython/profile_default/ipython_kernel_config.py",
        "ipython/profile_default/startup/0.py",
        "python/sitecustomize.py",
    ):
        (place.folder / "home" / name).parent.mkdir(parents=True, exist_ok=True)
        (place.folder / "home" / name).write_text(planted)
    kernel = place.folder / "home" / "data" / "kernels" / "foreign" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    kernel.write_text(json.dumps({"argv": ["false"], "display_name": "foreign", "language": "python"}))
    openssl = place.folder / "home" / "openssl.cnf"
    openssl.write_text(
        "config_diagnostics = 1\nopenssl_conf = a\n[a]\nproviders = b\n[b]\nforeign = c\n[c]\nmodule = foreign.dll\nactivate = 1\n"
    )
    process = place.start(
        JUPYTER_CONFIG_PATH=f"{FOREIGN}{os.pathsep}{user}",
        JUPYTER_CONFIG_DIR=str(user),
        JUPYTER_PATH=str(kernel.parents[2]),
        JUPYTER_TOKEN=TOKEN,
        JUPYTER_USE_PROGRAMDATA="1",
        IPYTHONDIR=str(place.folder / "home" / "ipython"),
        PYTHONPATH=str(place.folder / "home" / "python"),
        PIP_INDEX_URL="https://foreign.invalid/",
        OPENSSL_CONF=str(openssl),
    )
    try:
        assert _answers(process, place.port), place.log.read_text()
        yield place
    finally:
        _stop(process)
        assert process.stdout
        assert process.stdout.read() == b"", "what it says is in its log"


@pytest.fixture(scope="module")
def browser(server: Place) -> Iterator[NotebookClient]:
    with NotebookClient(
        Address.parse(f"https://127.0.0.1:{server.port}"), host="win1", fingerprint=server.certificate.fingerprint, allowance=Allowance(600)
    ) as client:
        yield client


def test_nobody_gets_in_without_the_password(server: Place) -> None:
    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", PinnedAdapter(server.certificate.fingerprint))
        for path in ("/api/kernels", "/api/contents", "/api/terminals"):
            for headers in ({}, {"Authorization": f"token {TOKEN}"}):
                answer = session.get(f"https://127.0.0.1:{server.port}{path}", headers=headers, timeout=60)
                assert answer.status_code == 403, (path, headers)


def test_pages_kernels_and_the_log(server: Place, browser: NotebookClient) -> None:
    browser.login(PASSWORD)
    for path in ("/tree", "/lab"):
        assert browser._send("GET", path).status == 200
    assert json.loads(browser._send("POST", "/api/terminals").body)["name"] == "1"
    assert set(json.loads(browser._send("GET", "/api/kernelspecs").body)["kernelspecs"]) == {"python3"}
    kernel, _ = browser.start_kernel(seconds=60)
    browser.stop_kernel(kernel)
    assert not (server.folder / "planted").exists(), "configuration of others was run"
    assert "is running at" in server.log.read_text()


NOTEBOOK = {
    "nbformat": 4,
    "nbformat_minor": 5,
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    "cells": [{"cell_type": "code", "id": "first", "metadata": {}, "execution_count": None, "outputs": [], "source": ""}],
}
CELL = ".jp-CodeCell .cm-content"


@pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing())
def test_two_people_see_what_the_other_one_types(server: Place, tmp_path: Path) -> None:
    file = server.folder / "notebooks" / "together.ipynb"
    file.write_text(json.dumps(NOTEBOOK))
    address = f"https://localhost:{server.port}/notebooks/together.ipynb"
    with chromium.chromium(chromium.spki(server.certificate.certificate), "localhost") as watched:
        browser = watched.page.context.browser
        assert browser
        anna, bob = watched.page, chromium.opened(browser)
        for page in (anna, bob):
            chromium.wait_on(page)
            page.goto(address)
            chromium.log_in(page, PASSWORD)
            page.wait_for_selector(CELL)
        anna.click(CELL)
        anna.keyboard.type("a = 1")
        bob.locator(CELL, has_text="a = 1").wait_for()
        bob.click(CELL)
        bob.keyboard.press("End")
        bob.keyboard.type(" + 20")
        anna.locator(CELL, has_text="a = 1 + 20").wait_for()
        anna.screenshot(path=tmp_path / "together.png")
    assert wait_until(lambda: "a = 1 + 20" in file.read_text("utf-8")), "the server saves the notebook"


def test_without_the_setting_a_notebook_has_one_author(place: Place) -> None:
    text = place.configuration.read_text()
    alone = Place(place.folder, free_port(), place.certificate)
    settings = json.loads(text)
    assert settings.pop("YDocExtension") == {"disable_rtc": False}
    settings["ServerApp"]["port"] = alone.port
    alone.configuration.write_text(json.dumps(settings))
    try:
        process = alone.start()
        assert _answers(process, alone.port), alone.log.read_text()
        try:
            with NotebookClient(
                Address.parse(f"https://127.0.0.1:{alone.port}"),
                host="win1",
                fingerprint=alone.certificate.fingerprint,
                allowance=Allowance(600),
            ) as client:
                client.login(PASSWORD)
                assert b'"disableRTC": true' in client._send("GET", "/tree").body
        finally:
            _stop(process)
    finally:
        alone.configuration.write_text(text)


def test_a_server_that_would_do_something_else_does_not_start(place: Place) -> None:
    text = place.configuration.read_text()
    other = Place(place.folder, free_port(), place.certificate)
    notebooks = str(place.folder / "notebooks")
    other.configuration.write_text(text.replace(f'"{notebooks}"', f'"{notebooks}/"').replace(str(place.port), str(other.port)))
    try:
        process = other.start()
        process.communicate(timeout=120)
    finally:
        other.configuration.write_text(text)
    assert process.returncode == 78
    last = other.log.read_text().splitlines()[-1]
    assert last.startswith("The notebook server does not start") and "ServerApp.root_dir" in last and str(place.configuration) in last


def test_a_log_that_cannot_be_renamed_is_continued(place: Place) -> None:
    """On Windows: while Get-Content -Wait shows it. Here a folder has the other name."""
    text, notebooks = place.configuration.read_text(), str(place.folder / "notebooks")
    log = place.folder / "work" / "shown.log"
    log.with_name("shown.log.before").mkdir()
    log.write_text("of the start before\n")
    other = text.replace(f'"{notebooks}"', f'"{notebooks}/"').replace(str(place.port), str(free_port()))  # the server ends at once
    place.configuration.write_text(other)
    try:
        process = place.start(log)
        process.communicate(timeout=120)
    finally:
        place.configuration.write_text(text)
    assert process.returncode == 78, log.read_text()
    first, *_, last = log.read_text().splitlines()
    assert first == "of the start before" and last.startswith("The notebook server does not start")


@pytest.fixture(scope="module")
def service(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, NotebookClient]]:
    """A server whose environment is below %ProgramFiles%, as that of a service is."""
    made = Place(tmp_path_factory.mktemp("service"), free_port(), place.certificate)
    for name in ("service", "work", "notebooks", "home"):
        (made.folder / name).mkdir()
    text = place.configuration.read_text().replace(str(place.folder), str(made.folder))
    made.configuration.write_text(text.replace(f'"port": {place.port}', f'"port": {made.port}'))
    starter = (place.folder / "service" / "serve.py").read_text()
    (made.folder / "service" / "serve.py").write_text(starter.replace("LARGEST_LOG = 20_000_000", "LARGEST_LOG = 20_000"))
    process = made.start(PROGRAMFILES=sys.prefix)
    try:
        assert _answers(process, made.port), made.log.read_text()
        address = Address.parse(f"https://127.0.0.1:{made.port}")
        with NotebookClient(address, host="win1", fingerprint=made.certificate.fingerprint, allowance=Allowance(600)) as client:
            client.login(PASSWORD)
            yield made, client
    finally:
        _stop(process)


def test_what_is_deleted_on_a_server_is_gone_as_nobody_can_open_its_trash(service: tuple[Place, NotebookClient]) -> None:
    made, client = service
    folder = made.folder / "notebooks" / "folder"
    folder.mkdir()
    for file in (folder / "in it.txt", folder.with_name("alone.txt")):
        file.write_text("unwanted")
    assert [client._send("DELETE", f"/api/contents/{name}").status for name in ("alone.txt", "folder")] == [204, 204]
    assert {path.name for path in (made.folder / "notebooks").iterdir()} <= {".ipynb_checkpoints"}
    assert not list(made.folder.rglob("*Trash*")), "it would fill the disk, and nobody would see it"


def test_the_log_of_a_server_that_runs_for_months_stays_small(service: tuple[Place, NotebookClient]) -> None:
    """A Windows server writes its own log, and only a new start begins another one."""
    made, _ = service
    earlier = made.log.with_name("notebook.log.before")
    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", PinnedAdapter(made.certificate.fingerprint))
        for number in range(300):
            assert session.get(f"https://127.0.0.1:{made.port}/api/kernels?number={number}", timeout=60).status_code == 403
    assert wait_until(lambda: "number=299" in made.log.read_text()), "it is still written"
    assert made.log.stat().st_size < 22_000 and 20_000 < earlier.stat().st_size < 22_000
    assert "number=1" in earlier.read_text()


def test_the_program_is_the_same_as_on_linux() -> None:
    windows = (STEP_FILES / "prelude" / "starter.ps1").read_text("ascii").partition("$Starter = @'\n")[2].partition("\n'@")[0]
    file = STEP_FILES.parent / "linux_scripts" / "prelude" / "starter.sh"
    if not file.exists():
        pytest.skip(f"needs {file.name} of linux_scripts/prelude")
    assert windows and windows == file.read_text("ascii").partition("STARTER='")[2].partition("\n'")[0]
