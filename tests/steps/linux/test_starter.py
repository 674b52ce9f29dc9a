"""The real notebook server as a host's script starts it, on a machine where others left configuration of theirs.

In a root file system of its own, in user scope: no systemd is needed there.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket

from nbserver.base import pinned_tls
from nbserver.base.allowance import Allowance
from nbserver.verify.kernel_channel import KernelChannel
from nbserver.verify.notebook_client import Address, NotebookClient
from tests.checkout import TESTS
from tests.linux import parts
from tests.linux.fixtures import Run, run
from tests.linux.sandbox import Sandbox
from tests.notebook_fixtures import needs_notebook
from tests.ports import free_port

pytestmark = needs_notebook
PASSWORD = "canary of the notebook"
ENVIRONMENT = "/opt/environment"  # this test's own Python, with notebook
CHOICES = f"NOTEBOOK_PYTHON={ENVIRONMENT}/bin/python\nLOCK_MARK=/etc/passwd\n"  # of the steps python and packages
STEPS = [CHOICES, *(parts.step(name, "user") for name in ("preflight", "certificate", "notebook", "service", "check"))]
HOME = "/home/j\u00e9r\u00f4me b\u00e4r"  # spaces and umlauts are in real ones
STATE, CONFIGURATION = f"{HOME}/.local/state/nbserver", f"{HOME}/.config/nbserver"
FOREIGN = TESTS / "foreign_configuration"
TOKEN = json.loads((FOREIGN / "jupyter_server_config.json").read_text())["IdentityProvider"]["token"]
KERNEL = json.dumps({"argv": ["/bin/false", "{connection_file}"], "display_name": "foreign", "language": "python"})
PLANTED = 'open("/tmp/planted", "a").write("x")\n'

OPEN = {
    "/etc/jupyter/jupyter_server_config.py": (FOREIGN / "jupyter_server_config.py").read_text(),
    "/usr/local/etc/jupyter/jupyter_server_config.json": (FOREIGN / "jupyter_server_config.json").read_text(),
}
OTHERS = {
    "/etc/jupyter/jupyter_config.json": '{"ServerApp": {"allow_origin": "*", "disable_check_xsrf": true, "default_url": "/foreign"}}',
    "/etc/jupyter/jupyter_server_config.d/foreign.json": '{"ServerApp": {"jpserver_extensions": {"foreign_extension": true}}}',
    "/usr/local/share/jupyter/kernels/foreign/kernel.json": KERNEL,
    f"{STATE}/work/data/kernels/python3/kernel.json": KERNEL,
    f"{STATE}/work/ipython/kernels/planted/kernel.json": KERNEL,
    "/usr/local/share/jupyter/labextensions/foreign/package.json": '{"name": "foreign", "version": "1.0.0", "jupyterlab": {"_build": {"load": "foreign.js"}}}',
    f"{STATE}/work/data/labextensions/planted/package.json": '{"name": "planted", "version": "1.0.0", "jupyterlab": {"_build": {"load": "planted.js"}}}',
    "/etc/ipython/ipython_config.py": PLANTED,
    "/usr/local/etc/ipython/startup/planted.py": PLANTED,
    f"{HOME}/.ipython/profile_default/startup/planted.py": PLANTED,
    f"{HOME}/.jupyter/jupyter_server_config.py": PLANTED,
    "/etc/pip.conf": "[global]\nindex-url = https://foreign.invalid/simple\n",
    f"{HOME}/.config/pip/pip.conf": "[global]\nuser = true\n",
}


@dataclass
class Host:
    """A sandbox, and the settings of the one server in it."""

    sandbox: Sandbox
    settings: dict[str, Any]
    secrets: str
    applied: Run

    def run(self, mode: str) -> Run:
        return run(self.sandbox, mode, STEPS, secrets=self.secrets if mode == "apply" else "", **self.settings)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.settings['notebook']['port']}"

    @property
    def fingerprint(self) -> str:
        return str(self.applied.events[-1]["fingerprint"])

    def status(self, path: str, **headers: str) -> int:
        with requests.Session() as session:
            session.trust_env = False
            session.mount("https://", pinned_tls.PinnedAdapter(self.fingerprint))
            return session.get(self.url + path, headers=headers, allow_redirects=False, timeout=30).status_code


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    from jupyter_server.auth import passwd

    secrets = f"secret notebook.password_hash {base64.b64encode(passwd(PASSWORD).encode()).decode()}\n"
    notebook = {**parts.SETTINGS["notebook"], "directory": "~/notebooks", "ip": "127.0.0.1", "port": free_port()}
    settings = {"scope": "user", "notebook": notebook}
    with Sandbox(tmp_path_factory.mktemp("server") / "sandbox") as sandbox, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", HOME)
        sandbox.run("mkdir", "-p", "-m", "700", HOME)
        sandbox.lay(Path(sys.prefix), ENVIRONMENT)
        for path, text in {**OPEN, **OTHERS}.items():
            sandbox.run("mkdir", "-p", str(Path(path).parent))
            sandbox.write(path, text)
        sandbox.run("chmod", "-R", "go-rwx", HOME)
        applied = run(sandbox, "apply", STEPS, secrets=secrets, **settings)
        host = Host(sandbox, settings, secrets, applied)
        try:
            yield host
        finally:
            undone = host.run("undo")
            assert undone.outcome == "ok", undone.events


@pytest.fixture(scope="module")
def browser(host: Host) -> Iterator[NotebookClient]:
    """A session that has logged in."""
    with NotebookClient(Address.parse(host.url), host="lin1", fingerprint=host.fingerprint, allowance=Allowance(600)) as client:
        client.login(PASSWORD)
        yield client


def connect(host: Host) -> Any:
    return pinned_tls.connect("127.0.0.1", host.settings["notebook"]["port"], fingerprint=host.fingerprint, timeout=60, proxy=None)


def compute(host: Host, browser: NotebookClient, code: str) -> str:
    """What a cell prints."""
    kernel, _ = browser.start_kernel(seconds=60)
    path = f"/api/kernels/{kernel}/channels"
    url = host.url.replace("https", "wss") + path
    with KernelChannel(
        connect(host), url=url, origin=host.url, cookie=browser.cookies_for(path), host="lin1", seconds=60, allowance=Allowance(600)
    ) as channel:
        printed = channel.run(code, seconds=60).stdout
    browser.stop_kernel(kernel)
    return printed


def test_what_others_left_opens_nothing(host: Host) -> None:
    assert host.applied.outcome == "ok", host.applied.lines[-5:]
    for path in ("/api/kernels", "/api/contents", "/api/terminals", "/api/sessions"):
        assert host.status(path) == 403, f"{path} without a password"
        assert host.status(path, Authorization=f"token {TOKEN}") == 403, f"{path} with the token of others"


def test_no_page_offers_what_cannot_work_or_asks_another_host(host: Host, browser: NotebookClient) -> None:
    """The menus have no PDF without TeX, no news, and no extension manager; HTML works."""

    def get(path: str) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            session.mount("https://", pinned_tls.PinnedAdapter(host.fingerprint))
            return session.get(host.url + path, headers={"Cookie": browser.cookies_for(path)}, allow_redirects=False, timeout=60)

    host.sandbox.write(f"{HOME}/notebooks/export.ipynb", json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    formats = get("/api/nbconvert").json()
    assert "html" in formats and not {"pdf", "latex", "qtpdf", "qtpng", "rst"} & set(formats)
    assert "<html" in get("/nbconvert/html/export.ipynb").text
    assert get("/").headers["Location"] == "/tree?"
    for path in ("/lab", "/tree"):
        page = json.loads(get(path).text.partition('id="jupyter-config-data" type="application/json">')[2].partition("</script>")[0])
        hidden = {"@jupyterlab/apputils-extension:announcements", "@jupyterlab/extensionmanager-extension"}
        assert hidden <= set(page["disabledExtensions"])
        assert page["extensionManager"]["can_install"] is False and page["news"] == {"disabled": True}


def test_a_second_run_finds_nothing_to_do(host: Host) -> None:
    done = host.run("test")
    assert (done.code, done.of("difference")) == (0, [])
    (warning,) = (event["text"] for event in done.of("warning"))
    start = "nbserver ignores configuration that it did not install: "
    ignored = [path for path in [*OPEN, *OTHERS] if "labextensions" not in path and "pip.conf" not in path and not path.startswith(STATE)]
    assert warning.startswith(start) and set(warning[len(start) :].split(", ")) == {path.removesuffix("/kernel.json") for path in ignored}
    assert [event["text"] for event in host.applied.of("warning") if event["step"] == "preflight"] == [warning], "once in a run"


def test_pages_and_a_terminal_open(host: Host, browser: NotebookClient) -> None:
    for path, word in (("/tree", "jupyter-config-data"), ("/lab", "jupyter-config-data")):
        answer = browser._send("GET", path)
        assert answer.status == 200 and word in answer.body.decode(), path
        assert b"foreign" not in answer.body and b"planted" not in answer.body, "lab extensions are those of the environment"
    name = json.loads(browser._send("POST", "/api/terminals").body)["name"]
    path = f"/terminals/websocket/{name}"
    terminal = websocket.create_connection(
        host.url.replace("https", "wss") + path, socket=connect(host), origin=host.url, cookie=browser.cookies_for(path), timeout=60
    )
    terminal.send(json.dumps(["stdin", "echo $((6 * 7))=$UV_NO_CONFIG=$PIP_CONFIG_FILE\r"]))
    seen = ""
    while "42=1=/dev/null" not in seen:
        kind, *rest = json.loads(terminal.recv())
        seen += rest[0] if kind == "stdout" else ""
    terminal.close()
    assert browser._send("DELETE", f"/api/terminals/{name}").status == 204


def test_kernels_are_those_of_the_environment_and_configured_by_nobody_else(host: Host, browser: NotebookClient) -> None:
    found = json.loads(browser._send("GET", "/api/kernelspecs").body)
    assert set(found["kernelspecs"]) == {"python3"}
    code = "import os, subprocess, sys\n%pip config list\nprint(6 * 7, sorted(name for name in os.environ if name.startswith('PIP_')))"
    printed = compute(host, browser, code)
    assert "42 ['PIP_CONFIG_FILE']" in printed and "foreign.invalid" not in printed and "user" not in printed
    assert not host.sandbox.exists("/tmp/planted"), "nothing of IPython's configuration was run"
    assert "foreign_extension" not in host.sandbox.read(f"{STATE}/server.log").decode()


# Where the class NotebookApp of our file has the same setting, it wins, and nothing differs.
BESIDE = """
c.ServerApp.root_dir = "/"
c.ServerApp.tornado_settings = {"disable_check_xsrf": True}
c.ServerApp.kernel_spec_manager_class = "jupyter_client.kernelspec.KernelSpecManager"
c.IdentityProvider.token = "canary-of-a-token"
c.FileContentsManager.root_dir = "/opt"
"""
IN_THE_ENVIRONMENT = """
c.ServerApp.authorizer_class = "jupyter_server.auth.authorizer.Authorizer"
c.ServerApp.identity_provider_class = "jupyter_server.auth.identity.IdentityProvider"
"""
DIFFERS = [
    "ServerApp.root_dir",
    "ServerApp.disable_check_xsrf",
    "IdentityProvider.token",
    "PasswordIdentityProvider.hashed_password",
    "the folder of the contents manager",
    "the kernel specification manager",
    "the authorizer",
    "the identity provider",
]


def test_a_server_waits_for_its_address_and_does_not_start_if_it_would_not_do_as_configured(host: Host) -> None:
    """Whatever is beside our file, or in the environment's own folder, where only root writes. The network comes late."""
    configuration = json.loads(host.sandbox.read(f"{CONFIGURATION}/jupyter_config.json"))
    configuration["ServerApp"]["port"] = configuration["NotebookApp"]["port"] = free_port()
    configuration["ServerApp"]["ip"] = configuration["NotebookApp"]["ip"] = "198.51.100.7"
    host.sandbox.run("mkdir", "-p", "/tmp/other/work")
    host.sandbox.write("/tmp/other/jupyter_config.json", json.dumps(configuration))
    host.sandbox.write("/tmp/other/jupyter_server_config.py", BESIDE)
    host.sandbox.write(f"{ENVIRONMENT}/etc/jupyter/jupyter_server_config.py", IN_THE_ENVIRONMENT)
    command = [f"{ENVIRONMENT}/bin/python", "-I", f"{CONFIGURATION}/serve.py", "/tmp/other/jupyter_config.json", "/tmp/other/work"]
    with_lo = 'ip link set lo up && exec "$@"'  # without any address, Linux lets a program use each
    server = host.sandbox.start("unshare", "--net", "sh", "-c", with_lo, "sh", *command)
    assert server.stderr and server.stderr.readline().decode() == "The notebook server waits until this host has the address 198.51.100.7\n"
    enter = ["nsenter", f"--net=/proc/{server.pid}/ns/net"]
    subprocess.run([*enter, "ip", "addr", "add", "198.51.100.7/32", "dev", "lo"], check=True)
    errors = server.communicate(timeout=120)[1].decode()
    host.sandbox.run("rm", f"{ENVIRONMENT}/etc/jupyter/jupyter_server_config.py")
    last = errors.splitlines()[-1]
    assert server.returncode == 78, last
    assert last.startswith(
        "The notebook server does not start, because its effective configuration differs from /tmp/other/jupyter_config.json: "
    )
    assert [name for name in DIFFERS if name not in last] == [] and "canary" not in errors and "nbserver apply" in last
