"""The life of a Windows host, told once: what was run on it, and what was seen of it, kept for the tests."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import pkcs12

from nbserver.base.allowance import Allowance
from nbserver.base.pinned_tls import PinnedAdapter
from nbserver.verify.notebook_client import Address, NotebookClient
from tests import authority, browser, canary, lesson
from tests.boxes.foreign_configuration import READ, TOKEN
from tests.boxes.mirror import Mirror
from tests.boxes.server_settings import ACTIVE_SETUP, ENVIRONMENT
from tests.boxes.windows import WindowsBox
from tests.notebook_server import Forwarder
from tests.site import Site

# What a run leaves on purpose: evidence, and the lock file, empty.
EVIDENCE = (
    "ProgramData/nbserver",
    "ProgramData/nbserver/runs",
    "ProgramData/nbserver/runs/*",
    "ProgramData/nbserver/lock",
    "ProgramData/nbserver/record.jsonl",
)


class Story:
    """What happened, kept for the tests."""

    def __init__(self, site: Site, host: WindowsBox) -> None:
        self.site, self.host = site, host
        self.done: dict[str, subprocess.CompletedProcess[str]] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.snapshots: dict[str, dict[str, Any]] = {}
        self.requests: dict[str, list[bytes]] = {}
        self.drop_after_command = False
        self.paths: dict[str, str] = {}
        self.command_lines: set[bytes] = set()
        self.secret_files: dict[str, list[Path]] = {}
        self.lesson: dict[str, Any] = {}
        self.configuration: dict[str, Any] = {}
        self.by_hand: subprocess.CompletedProcess[bytes] | None = None
        self.registry_while_stopped: dict[str, dict[str, str]] = {}
        self.tasks_while_stopped: list[str] = []
        self.fingerprints: dict[str, str] = {}
        self.answers: dict[str, Any] = {}  # of the server that runs, without the password and with it
        self.foreign_was_read = True
        self.exchanges: Counter[str] = Counter()  # of the second apply, by what they were for

    def keep(self, name: str, done: subprocess.CompletedProcess[str]) -> None:
        self.done[name] = done
        if self.site.runs():
            self.events[name] = self.site.last_events()


def record_requests(endpoint: Any, told: Story) -> None:
    """Keeps the SOAP bodies that reach the endpoint, decrypted."""
    handle = endpoint.wsman.handle
    told.requests["all"] = []

    def recording(xml: bytes, alive: Any) -> Any:
        told.requests["all"].append(xml)
        answer = handle(xml, alive)
        if told.drop_after_command and b"shell/Command</" in xml:
            told.drop_after_command = False
            endpoint.faults.match, endpoint.faults.drop_requests = "/Receive", 1
        return answer

    endpoint.wsman.handle = recording


def tell(told: Story, host: WindowsBox, mirror: Mirror) -> None:
    site = told.site
    told.snapshots["before"] = host.snapshot(except_=EVIDENCE)
    told.keep("render", site.run("render", "win1", "-o", "rendered"))
    told.keep("check", site.run("render", "win1", "-o", "rendered", "--check"))
    told.keep("plan", site.run("plan", "win1"))
    told.snapshots["after plan"] = host.snapshot(except_=EVIDENCE)

    told.keep(
        "interrupted",
        site.interrupt("apply", "win1", when=lambda events: any(e["step"] == "packages" and e["event"] == "progress" for e in events)),
    )
    told.registry_while_stopped = host.registry(ACTIVE_SETUP)
    told.tasks_while_stopped = sorted(told.host.snapshot(except_=("*",))["tasks"])

    start = len(told.requests["all"])
    approved = ("--approved", "rendered/manifest.json")
    told.keep("apply", site.watch("apply", "win1", *approved, look=lambda: told.command_lines.update(canary.command_lines())))
    told.requests["apply"] = told.requests["all"][start:]
    told.snapshots["applied"] = host.snapshot(except_=EVIDENCE)
    told.answers = ask(told)
    told.keep("verify", site.run("verify", "win1", "--png", "pictures", "--json"))
    told.foreign_was_read = host.path(READ).exists()
    if not browser.missing():
        told.done["browser"] = open_in_chromium(told)
    asked = Counter(site.endpoint.stats)
    told.keep("again", site.run("apply", "win1", "--json"))
    told.exchanges = Counter(site.endpoint.stats) - asked
    told.keep("status", site.run("status", "win1", "--json"))
    told.keep("stopped", site.run("stop", "win1", "--json"))
    told.keep("plan while stopped", site.run("plan", "win1"))
    told.keep("restarted", site.run("restart", "win1", "--json"))
    told.keep("plan after restart", site.run("plan", "win1"))
    site.secrets["NOTEBOOK_PASSWORD"] += "2"
    told.keep("password set", site.run("set-password", "win1", "--json"))
    told.keep("certificate rotated", site.run("rotate-certificate", "win1", "--json"))
    told.keep("verify after both", site.run("verify", "win1", "--json"))
    told.keep("plan after both", site.run("plan", "win1"))
    site.secrets["NOTEBOOK_PASSWORD"] = site.secrets["NOTEBOOK_PASSWORD"][:-1]
    told.keep("former password", site.run("set-password", "win1", "--json"))  # what was sent to apply is compared later
    told.lesson = lesson.there_and_back(site.run, site.folder, "win1", host.path(r"C:\ProgramData\nbserver\notebooks"))
    told.fingerprints["sent"] = write_pfx(site)
    sent = {"certificate__pfx": "server.pfx", "certificate__password__env": "PFX_PASSWORD"}
    site.write(path__entries=["%ProgramFiles%\\nbserver\\other"], **sent)
    told.keep("sent certificate", site.run("apply", "win1", "--json", environment={"PFX_PASSWORD": "of the PFX"}))
    told.paths["other"] = host.registry(ENVIRONMENT)[ENVIRONMENT]["PATH"]
    told.keep("verify sent certificate", site.run("verify", "win1", "--json"))
    site.write()
    told.keep("own certificate again", site.run("apply", "win1", "--json"))
    told.paths["former"] = host.registry(ENVIRONMENT)[ENVIRONMENT]["PATH"]
    with Forwarder(site.port) as forwarder:
        site.write(notebook__public_url=f"https://127.0.0.1:{forwarder.port}")
        told.keep("verify forwarded", site.run("verify", "win1", "--json"))
        site.write()
    told.drop_after_command = True
    told.keep("first answer dropped", site.run("apply", "win1", "--json"))
    assert not told.drop_after_command and not site.endpoint.faults.drop_requests, "it was really dropped"
    told.keep("answer lost", site.watch("apply", "win1", "--json", look=lose_an_answer(site)))
    told.by_hand = run_by_hand(told)
    configuration = host.path(r"C:\ProgramData\nbserver\service\jupyter_server_config.json")
    told.configuration = json.loads(configuration.read_text(encoding="utf-8"))
    told.secret_files = find_secrets(told)

    told.keep("undo", site.run("undo", "win1"))
    told.snapshots["undone"] = host.snapshot(except_=EVIDENCE)
    told.keep("undo again", site.run("undo", "win1"))
    told.done["evidence"] = site.run("audit", "win1", "--evidence", "--json", "-")


def lose_an_answer(site: Site) -> Callable[[], None]:
    """Lets the next answer with events vanish, once, as soon as the run has begun to say something."""
    before, lost = len(site.runs()), []

    def look() -> None:
        runs = site.runs()
        if not lost and len(runs) > before and site.events(runs[-1]):
            lost.append(True)
            site.endpoint.faults.match, site.endpoint.faults.drop_responses = "/Receive", 1

    return look


def ask(told: Story) -> dict[str, Any]:
    """Status codes by path, and behind them what was asked for with the password."""
    url = f"https://127.0.0.1:{told.site.port}"
    fingerprint = told.events["apply"][-1]["fingerprint"]
    answers: dict[str, Any] = {}
    with requests.Session() as session:
        session.trust_env = False
        session.mount("https://", PinnedAdapter(fingerprint))
        for way, headers in {"nobody": {}, "foreign token": {"Authorization": f"token {TOKEN}"}}.items():
            for path in ("/api/kernels", "/api/contents", "/api/terminals"):
                answers[f"{way} {path}"] = session.get(url + path, headers=headers, timeout=300).status_code
    with NotebookClient(Address.parse(url), host="win1", fingerprint=fingerprint, allowance=Allowance(900)) as client:
        client.login(told.site.secrets["NOTEBOOK_PASSWORD"])
        for path in ("/tree", "/lab", "/api/terminals"):
            answers[path] = client._send("GET", path).status
        answers["kernels"] = sorted(json.loads(client._send("GET", "/api/kernelspecs").body)["kernelspecs"])
    return answers


def open_in_chromium(told: Story) -> subprocess.CompletedProcess[str]:
    """The host's notebook in Chromium, which trusts the certificate that the host has; pictures go to "browser"."""
    certificate = told.host.path(r"C:\ProgramData\nbserver\service\certificate.pem")
    notebooks = told.host.path(r"C:\ProgramData\nbserver\notebooks")
    url = f"https://127.0.0.1:{told.site.port}"
    return browser.see_figure_apart(url, told.site.secrets["NOTEBOOK_PASSWORD"], certificate, notebooks, told.site.folder / "browser")


def write_pfx(site: Site) -> str:
    """server.pfx in the site's folder, from an authority and an intermediate of it; returns the certificate's fingerprint."""
    signer, key = authority.intermediate(authority.root()), authority.rsa_key()
    certificate = signer.sign(key.public_key(), ["127.0.0.1"])
    data = pkcs12.serialize_key_and_certificates(None, key, certificate, [signer.certificate], authority.encryption("of the PFX"))
    (site.folder / "server.pfx").write_bytes(data)
    return "SHA256:" + certificate.fingerprint(hashes.SHA256()).hex()


def run_by_hand(told: Story) -> subprocess.CompletedProcess[bytes]:
    """The script of the run directory, copied to the host and run there without the orchestrator."""
    from tests.boxes.wine import environment, windows_path

    script = told.host.path(r"C:\win1.ps1")
    script.write_bytes((told.site.runs()[-1] / "win1" / "script.ps1").read_bytes())
    try:
        return subprocess.run(
            [*told.host.scheduler.powershell, "-NoProfile", "-File", windows_path(script)],
            env=environment(told.host.prefix),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=600,
            check=False,
        )
    finally:
        script.unlink()


def find_secrets(told: Story) -> dict[str, list[Path]]:
    """Where the secrets stand on the host, in its registry and in the site's folder, while all is set up."""
    secrets = {
        "windows": told.site.secrets["WINDOWS_PASSWORD"],
        "notebook": told.site.secrets["NOTEBOOK_PASSWORD"],
        "hash": told.configuration["PasswordIdentityProvider"]["hashed_password"],
    }
    subprocess.run(["sync"], check=False)
    return canary.files_with(secrets, [told.host.prefix, told.site.folder])


def outcome(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The summary line of --json, without the duration."""
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["event"] == "summary"
    found = dict(summary["hosts"]["win1"])
    if not isinstance(found.get("seconds"), dict):  # of verify, it has the durations of its steps
        assert found.pop("seconds") >= 0
    return found
