"""The life of a Linux host, told once: what was run on it, and what was seen of it, kept for the tests."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import secrets as random
import shutil
import ssl
import subprocess
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import requests
from urllib3.exceptions import InsecureRequestWarning

from tests import browser, canary
from tests.boxes.linux.host import LinuxBox
from tests.boxes.linux.lab import NETWORK
from tests.boxes.linux.snapshot import Snapshot, differences
from tests.boxes.mirror import Mirror
from tests.checkout import TESTS
from tests.site import LinuxSite

FOREIGN = TESTS / "foreign_configuration"
FOREIGN_TOKEN = "T0kenOfOthers"
ODD_FOLDER = "/home/admin/note books %h \u00e9"
# What an undo leaves on purpose: evidence, and the lock file, empty.
EVIDENCE = re.compile(r"(files|names): var/lib/nbserver(/state(/lock|/record\.jsonl|/(runs|set-aside)(/.*)?)?)?: absent -> ")


class Story:
    """What happened, kept for the tests."""

    def __init__(self, site: LinuxSite) -> None:
        self.site, self.host = site, site.host
        self.done: dict[str, subprocess.CompletedProcess[str]] = {}
        self.events: dict[str, list[dict[str, Any]]] = {}
        self.seen: dict[str, str] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.command_lines: set[bytes] = set()
        self.lines_with_secrets: dict[str, list[bytes]] = {}
        self.secret_files: dict[str, list[Path]] = {}
        self.lesson: dict[str, Any] = {}

    def nbserver(self, name: str, command: str, *options: str, watch: bool = False) -> None:
        """Runs a command on the host and keeps what became of it."""
        runs = len(self.site.runs())
        if watch:
            done = self.site.watch(command, "lin1", *options, look=lambda: self.command_lines.update(canary.command_lines()))
            self.lines_with_secrets = canary.lines_with(self.site.secrets, self.command_lines)  # now: the password may change later
        else:
            done = self.site.run(command, "lin1", *options)
        self.done[name] = done
        if len(self.site.runs()) > runs:
            self.events[name] = self.site.last_events()

    def see(self, name: str, command: str) -> None:
        """Keeps what a command prints on the host, and its exit code as the last line."""
        self.seen[name] = self.host.ssh(f"({command}); echo $?", check=False).stdout

    def snapshot(self, name: str) -> None:
        self.snapshots[name] = self.host.snapshot()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.host.forward(self.site.port).port}"

    def ask(self, name: str) -> None:
        """Keeps how the server answers without a password: to nobody, and to who has the token that others configured."""
        statuses = []
        for headers in ({}, {"Authorization": f"token {FOREIGN_TOKEN}"}):
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.host.forward(self.site.port).port, timeout=60, context=ssl._create_unverified_context()
            )
            connection.request("GET", "/api/kernels", headers=headers)
            statuses.append(str(connection.getresponse().status))
            connection.close()
        self.seen[name] = " ".join(statuses)

    def open_in_chromium(self) -> None:
        """The host's notebook in Chromium, which trusts the certificate that the host has; pictures go to "browser"."""
        root, site = self.host.root, self.site
        certificate, notebooks = root / "etc/nbserver/certificate.pem", root / "var/lib/nbserver/notebooks"
        self.done["browser"] = browser.see_figure_apart(
            self.url, site.secrets["NOTEBOOK_PASSWORD"], certificate, notebooks, site.folder / "browser"
        )

    def lost(self) -> list[str]:
        """What is not as it was before, but for the evidence."""
        return [line for line in differences(self.snapshots["before"], self.snapshots["undone"]) if not EVIDENCE.match(line)]


def leave_foreign_configuration(host: LinuxBox) -> None:
    """What an earlier installation may have left in the folders of the machine, for notebook 7 and 6."""
    opened = {"NotebookApp": {"token": FOREIGN_TOKEN, "password": "", "password_required": False}}
    for folder in ("etc/jupyter", "usr/local/etc/jupyter"):
        shutil.copytree(FOREIGN, host.root / folder, dirs_exist_ok=True)
        (host.root / folder / "jupyter_notebook_config.json").write_text(json.dumps(opened))


def password() -> str:
    return f"Canary-{random.token_hex(8)} \u00e9'\"$"


def run_by_hand(story: Story, name: str) -> None:
    """The rendered script, copied to the host and run there without the orchestrator."""
    script = story.host.root / "root" / "lin1.sh"
    script.write_bytes((story.site.folder / "rendered" / "lin1.sh").read_bytes())
    story.see(name, "bash /root/lin1.sh")
    script.unlink()


def move(story: Story) -> None:
    """Another port, folder, password, and other addresses in the firewall."""
    site = story.site
    site.secrets["NOTEBOOK_PASSWORD"] = password()
    site.settings.update(
        {
            "notebook.port": 443,
            "notebook.directory": ODD_FOLDER,
            "notebook.public_url": f"https://127.0.0.1:{story.host.forward(443).port}",
            "firewall.remote_addresses": [f"{NETWORK}.0/24", "2001:db8::/32"],
        }
    )
    site.write()
    story.nbserver("moved", "apply", "--json")
    story.see("ufw moved", "ufw show added")
    rotate(story)
    story.see("security moved", "systemd-analyze security --no-pager --threshold=17 nbserver.service")
    story.nbserver("verify moved", "verify", "--json")
    story.nbserver("moved again", "apply", "--json")


def rotate(story: Story) -> None:
    """Evicts who has a cookie, the password, the key, and a file that runs at each start of a kernel."""
    url, former = f"https://127.0.0.1:{story.host.forward(443).port}", story.site.secrets["NOTEBOOK_PASSWORD"]
    startup = "/var/lib/nbserver/work/ipython/profile_default/startup"
    story.see("before rotation", f"mkdir -p {startup} && echo 'raise SystemExit' >{startup}/00.py && sha256sum /etc/nbserver/key.pem")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", InsecureRequestWarning)
        session = logged_in(url, former)
        statuses = [session.get(f"{url}/api/kernels", timeout=60).status_code]
        story.site.secrets["NOTEBOOK_PASSWORD"] = password()
        story.nbserver("rotated", "rotate", "--json")
        statuses += [one.get(f"{url}/api/kernels", timeout=60).status_code for one in (session, logged_in(url, former))]
    story.seen["former user"] = " ".join(map(str, statuses))
    story.see("after rotation", f"cd /var/lib/nbserver && find state/set-aside -name 00.py; ls {startup}; sha256sum /etc/nbserver/key.pem")


def logged_in(url: str, password: str) -> requests.Session:
    """A session that has sent the password to the login form, as a browser does. It believes every certificate."""
    session = requests.Session()
    session.verify, session.trust_env = False, False
    session.get(f"{url}/login", timeout=60)
    form = {"_xsrf": session.cookies.get("_xsrf"), "password": password}
    session.post(f"{url}/login", data=form, timeout=60, allow_redirects=False)
    return session


def find_secrets(story: Story) -> dict[str, list[Path]]:
    """Where secrets stand on the host and in the site's folder, while all is set up."""
    configuration = story.host.root / "etc/nbserver/jupyter_config.json"
    digest = json.loads(configuration.read_text(encoding="utf-8"))["PasswordIdentityProvider"]["hashed_password"]
    folders = [story.host.folder / "upper", story.site.folder]  # of the host, all that is not in its base
    return canary.files_with({**story.site.secrets, "hash": digest}, folders)


@contextlib.contextmanager
def another_wheel(mirror: Mirror, name: str, folder: Path) -> Iterator[None]:
    """The mirror serves a package that is as good as the locked one, but for one more file in it; its index has the hash of the locked one."""
    (wheel,) = mirror.wheels.glob(f"{name}-*.whl")
    shutil.copy(wheel, folder)
    with zipfile.ZipFile(folder / wheel.name, "a") as archive:
        archive.writestr(f"{name}/more.py", "")
    real = mirror.open

    def other(path: str) -> tuple[BinaryIO, int] | None:
        file = folder / Path(path).name
        return (file.open("rb"), file.stat().st_size) if file.is_file() else real(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mirror, "open", other)
        yield


def outcome(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The summary line of --json."""
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["event"] == "summary"
    found = dict(summary["hosts"]["lin1"])
    if not isinstance(found.get("seconds"), dict):  # of verify, it has the durations of its steps
        assert found.pop("seconds") >= 0
    return found


def good(done: subprocess.CompletedProcess[str]) -> bool:
    assert done.returncode == 0, done.stdout + done.stderr
    return True
