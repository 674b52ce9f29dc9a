"""This machine, on a real Debian 12: the README's first command as a newcomer types it, and what comes after.

One story, told once a run of the tests. A user without any rights clones the repository and runs the line: there is no systemd
of their own, so the server is a process. Then the same with one, without openssl. Then the whole machine, as root.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nbserver.verify.picture import check
from tests import canary, installer_options
from tests.boxes.linux.host import LinuxBox
from tests.boxes.linux.lab import PROXY
from tests.boxes.linux.snapshot import Snapshot, differences
from tests.boxes.mirror import Mirror
from tests.checkout import CHECKOUT
from tests.faults.small_packages import write_whole_index
from tests.served import served

HOME = "/home/visitor"
PASSWORD = f"Canary {secrets.token_hex(8)} 'local'"  # in no file of the checkout, which is copied to the host
NBSERVER = f"{HOME}/nbserver/.venv/bin/nbserver"
STEPS = ["preflight", "python", "packages", "certificate", "notebook", "service", "check", "cleanup"]  # of user scope
# The command line with another lock of Linux hosts: its first argument.
SMALL = """\
import runpy
import sys
from pathlib import Path

from nbserver.catalog import linux_lock

_small = linux_lock.parse(Path(sys.argv.pop(1)).read_bytes())
linux_lock.load = lambda: _small
runpy.run_module("nbserver", run_name="__main__")
"""
# What an undo leaves on purpose: evidence, on the host's side and on the workstation's.
EVIDENCE = re.compile(
    r"(files|names): ((home/visitor|root)/\.local(/state(/nbserver(-runs|-evidence|/state)?(/.*)?|/nbserver\.(known|salt))?)?|var/lib/nbserver(/state(/.*)?)?|(root|home/visitor)/site/.*): absent -> "
    r"|files: (home/visitor|root)/\.local/state/nbserver-evidence/runs\.jsonl: "
)


def first_line() -> str:
    """The README's first command."""
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8").partition("## Try it")[2]
    return text.partition("\n    ")[2].partition("\n")[0]


def checkout_files() -> list[str]:
    """The files of this checkout as they are now, without those that git ignores."""
    if not shutil.which("git"):
        pytest.skip("the newcomer's repository needs git")
    command = [
        "git",
        "-c",
        f"safe.directory={CHECKOUT}",
        "-C",
        str(CHECKOUT),
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if (CHECKOUT / name).is_file()]


class Story:
    """What happened, kept for the tests."""

    def __init__(self, host: LinuxBox, mirror: Mirror) -> None:
        self.host, self.mirror = host, mirror
        self.done: dict[str, subprocess.CompletedProcess[str]] = {}
        self.seen: dict[str, str] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.found: dict[str, dict[str, list[Path]]] = {}
        self.command_lines: dict[str, set[bytes]] = {}
        self.lines_found: dict[str, dict[str, list[bytes]]] = {}
        self.seconds = 0.0

    def run(self, name: str, command: str, user: str = "visitor") -> None:
        """Standard input has the password: a command line of the test's own would be found."""
        self.done[name] = self.host.ssh(command, user=user, text=f"{PASSWORD}\n", check=False, timeout=900)

    def apply(self, name: str, command: str, user: str = "visitor") -> None:
        """The same, with a look at the command lines of all processes, and then at all files of the host that are not in its base."""
        self.command_lines[name] = set()
        with canary.watching(self.command_lines[name]):
            self.run(name, command, user)
        configuration = Path("etc/nbserver" if user == "root" else f"{HOME[1:]}/.config/nbserver", "jupyter_config.json")
        assert (self.host.root / configuration).exists(), self.done[name].stdout + self.done[name].stderr
        digest = json.loads((self.host.root / configuration).read_text("utf-8"))["PasswordIdentityProvider"]["hashed_password"]
        secrets = {"password": self.password if name == "up" else PASSWORD, "hash": digest}
        self.found[name] = canary.files_with(secrets, [self.host.folder / "upper"])
        self.lines_found[name] = canary.lines_with(secrets, self.command_lines[name])

    def see(self, name: str, command: str) -> None:
        self.seen[name] = self.host.ssh(command, check=False).stdout

    def lost(self, before: str, after: str) -> list[str]:
        """What is not as it was, but for the evidence."""
        return [line for line in differences(self.snapshots[before], self.snapshots[after]) if not EVIDENCE.match(line)]

    @property
    def password(self) -> str:
        found = re.search(r"^Password +(\S+)", self.done["up"].stdout, re.MULTILINE)
        assert found, self.done["up"].stdout + self.done["up"].stderr
        return found[1]

    def inventory(self, user: str, scope: str | None, index_url: str = "") -> None:
        """An inventory of its own, with the packages from an index (default: the mirror); with no word about the scope where that is None."""
        home = "/root" if user == "root" else HOME
        settings = {
            **({"scope": scope} if scope else {}),
            "packages.index_url": index_url or self.mirror.index_url,
            "downloads.proxy": PROXY,
            "notebook.ip": "*",
        }
        lines = [
            "[hosts.local]",
            *(f"{key} = {json.dumps(value)}" for key, value in settings.items()),
            'notebook.password = { env = "NOTEBOOK_PASSWORD" }',
        ]
        self.host.ssh(f"mkdir -p {home}/site && cat >{home}/site/nbserver.toml", user=user, text="\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def story(debian_host: Callable[[], LinuxBox], linux_mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    index = tmp_path_factory.mktemp("index")
    lock = write_whole_index(index, linux_mirror)
    with debian_host() as host, served(index) as url:
        told = Story(host, linux_mirror)
        newcomer(told)
        small = smaller(told, lock)
        own_systemd(told, url, small)
        machine(told, url, small)
        container(told)
        yield told


def newcomer(told: Story) -> None:
    host = told.host
    host.ssh("apt-get -qq update && apt-get -qq install -y --no-install-recommends git", timeout=1200)
    for name in checkout_files():
        target = host.root / "srv" / "nbserver" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(CHECKOUT / name, target)
    host.ssh("chown -R visitor:visitor /srv/nbserver")
    host.ssh(
        "cd /srv/nbserver && git init -q && git add -A && git -c user.name=test -c user.email=test@example.com commit -q -m test",
        user="visitor",
    )
    told.run("clone", "git clone -q /srv/nbserver")
    parts = first_line().split(" && ")
    began = time.monotonic()
    told.run("installed", f"cd nbserver && {' && '.join(parts[:-1])}")
    told.seconds = time.monotonic() - began
    for name, text in {"pip/pip.conf": f"[global]\n{installer_options.PIP}", "uv/uv.toml": installer_options.UV}.items():
        host.ssh(f"mkdir -p {HOME}/.config/{name.partition('/')[0]} && cat >{HOME}/.config/{name}", user="visitor", text=text)
    told.snapshots["before"] = host.snapshot()
    began = time.monotonic()
    told.apply("up", f"cd nbserver && {parts[-1]}")
    told.seconds += time.monotonic() - began
    told.see("listening", "ss -Hltn")
    told.see("processes", "ps -eo user,args")
    told.see(
        "access",
        f"cd {HOME} && stat -c '%U %a %n' .config/nbserver .config/nbserver/* .local/state/nbserver .local/state/nbserver/state notebooks",
    )
    picture = host.root / HOME[1:] / ".local/state/nbserver-runs/local.png"
    told.seen["picture"] = "x".join(map(str, check(picture.read_bytes()))) if picture.exists() else ""
    told.run("status", f"{NBSERVER} status --json")
    told.run("again", f"{NBSERVER} apply local --json")
    told.run("plan", f"{NBSERVER} plan local")
    told.run("verify without password", f"{NBSERVER} verify local")
    told.run("stop", f"{NBSERVER} stop local")
    told.see("processes after stop", "ps -eo user,args")
    told.run("status after stop", f"{NBSERVER} status")
    told.run("plan after stop", f"{NBSERVER} plan local")
    told.run("apply after stop", f"{NBSERVER} apply local --json")
    told.run("status after apply", f"{NBSERVER} status --json")
    told.run("set-password", f"{NBSERVER} set-password local")
    told.run("undo", f"{NBSERVER} undo local --json")
    told.run("status after undo", f"{NBSERVER} status --json")
    told.snapshots["undone"] = host.snapshot()


def smaller(told: Story, lock: list[str]) -> str:
    """The command line with a lock of small wheels, and those that create the certificate without openssl: the shipped one is installed before and after it."""
    (told.host.root / "srv/small.py").write_text(SMALL, "utf-8")
    (told.host.root / "srv/small.lock.txt").write_text("\n".join(lock), "utf-8")
    return f"{HOME}/nbserver/.venv/bin/python /srv/small.py /srv/small.lock.txt"


def own_systemd(told: Story, index_url: str, small: str) -> None:
    host = told.host
    host.ssh("apt-get -qq install -y --no-install-recommends libpam-systemd", timeout=1200)
    host.ssh("mv /usr/bin/openssl /usr/bin/openssl-away && loginctl enable-linger visitor")
    end = time.monotonic() + 300
    while host.ssh("test -S /run/user/$(id -u visitor)/systemd/private", check=False).returncode and time.monotonic() < end:
        time.sleep(0.2)
    told.inventory("visitor", "user", index_url)
    site = "cd site && read -r NOTEBOOK_PASSWORD && export NOTEBOOK_PASSWORD &&"
    told.snapshots["before unit"] = host.snapshot()
    told.apply("unit", f"{site} {small} apply local --json")
    told.run("unit again", f"{site} {small} apply local --json")
    told.run("unit status before the reboot", f"cd site && {NBSERVER} status --json")
    host.reboot()
    end = time.monotonic() + 300
    while told.host.ssh(f"cd site && {NBSERVER} status", user="visitor", check=False).returncode and time.monotonic() < end:
        time.sleep(1)
    told.run("unit status", f"cd site && {NBSERVER} status --json")
    told.run("unit undo", f"cd site && {small} undo local --json")
    told.snapshots["unit undone"] = host.snapshot()
    host.ssh("mv /usr/bin/openssl-away /usr/bin/openssl && loginctl disable-linger visitor")


def machine(told: Story, index_url: str, small: str) -> None:
    told.inventory("root", None, index_url)
    told.inventory("visitor", "machine")
    site = "cd site && read -r NOTEBOOK_PASSWORD && export NOTEBOOK_PASSWORD &&"
    told.snapshots["before machine"] = told.host.snapshot()
    told.run("machine without rights", f"{site} {NBSERVER} apply local")
    told.apply("machine", f"{site} {small} apply local --json", user="root")
    told.see("machine processes", "ps -eo user,args")
    told.run("machine status", f"cd site && {NBSERVER} status --json", user="root")
    told.run("machine status of a visitor", f"cd site && {NBSERVER} status --json")
    told.run("machine stop", f"cd site && {NBSERVER} stop local; systemctl is-active nbserver", user="root")
    told.run("machine undo", f"cd site && {small} undo local --json", user="root")
    told.snapshots["machine undone"] = told.host.snapshot()


def container(told: Story) -> None:
    """As root in a container: no systemd runs it, and no name resolves, not even localhost. What pip installed for the newcomer is copied; only its scripts would not move along."""
    host = told.host
    host.ssh(f"cp -r --preserve=timestamps {HOME}/nbserver /root/nbserver")  # or what Python has compiled counts as old
    script, *arguments = first_line().rpartition(" && ")[2].split()
    assert script == ".venv/bin/nbserver"
    up = " ".join([".venv/bin/python -m nbserver", *arguments])
    mounts = "mount -t tmpfs tmpfs /run/systemd && mount --bind /dev/null /etc/hosts"
    contained = f"cd /root/nbserver && unshare --mount bash -c '{mounts} && exec \"$@\"' contained"
    told.snapshots["before container"] = host.snapshot()
    told.run("contained", f"{contained} {up}", user="root")
    told.see("root's processes", "ps -eo user,args")
    told.see("signals", "grep SigIgn /proc/$(pgrep --full --oldest --uid root -- '/serve[.]py ')/status")
    told.run("contained undo", f"{contained} .venv/bin/python -m nbserver undo local", user="root")
    told.snapshots["container undone"] = host.snapshot()


def summary(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    """The host's part of the last line, without the duration."""
    assert done.stdout.strip(), done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])["hosts"]["local"]
    assert float(str(found.pop("seconds"))) >= 0
    return found


def test_the_readmes_first_command(story: Story) -> None:
    assert first_line().endswith(".venv/bin/nbserver up") and story.done["clone"].returncode == story.done["installed"].returncode == 0
    up = story.done["up"]
    assert up.returncode == 0, up.stdout + up.stderr
    print(f"the first command took {story.seconds:.0f} s")
    assert "\nAddress      https://localhost:9999\n" in up.stdout
    assert f"\nPicture      {HOME}/.local/state/nbserver-runs/local.png\n" in up.stdout and re.fullmatch(
        r"[0-9]{3,}x[0-9]{3,}", story.seen["picture"]
    )
    assert re.search(r"^Certificate  SHA256:[0-9a-f]{64} ", up.stdout, re.MULTILINE)
    assert up.stdout.count(story.password) == 1


def test_only_this_machine_gets_in_and_only_its_user_reads(story: Story) -> None:
    listening = [line.split()[3] for line in story.seen["listening"].splitlines()]
    assert [address for address in listening if address.endswith(":9999")] == ["127.0.0.1:9999"]
    assert re.search(r"^visitor .*-I /\S+/serve\.py /\S+/jupyter_config\.json /\S+/work$", story.seen["processes"], re.MULTILINE)
    for line in story.seen["access"].splitlines():
        user, mode, name = line.split()
        assert user == "visitor" and mode == (
            "600" if "nbserver/" in name and "state" not in name else "750" if name == "notebooks" else "700"
        ), line


@pytest.mark.parametrize("name", ["up", "unit", "machine"])
def test_the_password_is_kept_nowhere_and_its_hash_in_one_file(story: Story, name: str) -> None:
    assert story.done[name].returncode == 0, story.done[name].stdout + story.done[name].stderr
    found = story.found[name]
    assert found["password"] == [] and [path.name for path in found["hash"]] == ["jupyter_config.json"]


@pytest.mark.parametrize("name", ["up", "unit", "machine"])
def test_no_command_line_had_a_secret(story: Story, name: str) -> None:
    assert any(b"/nbserver.sh" in line for line in story.command_lines[name]), "the script's own was seen"
    assert story.lines_found[name] == {"password": [], "hash": []}


def test_status(story: Story) -> None:
    found = json.loads(story.done["status"].stdout)
    assert story.done["status"].returncode == 0 and found["ok"] and (found["by"], found["port"]) == ("background", 9999)
    assert found["fingerprint"] in story.done["up"].stdout and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["since"])


def test_a_second_apply_keeps_the_password_and_changes_nothing(story: Story) -> None:
    again = story.done["again"]
    assert again.returncode == 0 and "password" not in again.stderr
    assert summary(again) == {"outcome": "ok", "changed": 0, "reboot": False, "steps": dict.fromkeys(STEPS, "unchanged")}
    assert story.done["plan"].returncode == 0
    asked = story.done["verify without password"]
    assert asked.returncode == 2 and "no terminal to ask for it" in asked.stderr and "Traceback" not in asked.stderr


def test_stop_and_start_again(story: Story) -> None:
    assert story.done["stop"].returncode == 0 and "serve.py" not in story.seen["processes after stop"]
    assert story.done["status after stop"].returncode == 4 and "is not running" in story.done["status after stop"].stdout
    assert story.done["plan after stop"].returncode == 4
    done = story.done["apply after stop"]
    assert done.returncode == 0 and [step for step, word in summary(done)["steps"].items() if word == "changed"] == ["service", "check"]  # type: ignore[attr-defined]
    before, after = (json.loads(story.done[name].stdout) for name in ("status", "status after apply"))
    assert after["ok"] and after["fingerprint"] == before["fingerprint"] and after["since"] > before["since"]


def test_another_password(story: Story) -> None:
    done = story.done["set-password"]
    assert done.returncode == 0 and re.search(r"shown only once\): [a-z2-9-]{19}\n", done.stderr) and story.password not in done.stderr


def test_undo_leaves_the_home_as_before(story: Story) -> None:
    assert story.done["undo"].returncode == 0, story.done["undo"].stdout
    assert json.loads(story.done["status after undo"].stdout)["by"] == "none"
    assert story.lost("before", "undone") == []


def test_a_unit_of_the_users_own_systemd_without_openssl(story: Story) -> None:
    first = story.done["unit"]
    assert first.returncode == 0, first.stdout + first.stderr
    assert PASSWORD not in first.stdout + first.stderr
    assert summary(story.done["unit again"])["changed"] == 0
    before, status = (json.loads(story.done[name].stdout) for name in ("unit status before the reboot", "unit status"))
    assert before["ok"] and before["by"] == "systemd"
    assert status["ok"] and status["by"] == "systemd" and status["fingerprint"] == before["fingerprint"], "it is there after a reboot"
    assert story.done["unit undo"].returncode == 0 and story.lost("before unit", "unit undone") == []


def test_the_whole_machine_as_root(story: Story) -> None:
    refused = story.done["machine without rights"]
    assert refused.returncode == 3 and "changing this host requires root privileges" in refused.stdout and "Traceback" not in refused.stderr
    assert story.done["machine"].returncode == 0, story.done["machine"].stdout
    assert re.search(r"^nbserver .*-I /etc/nbserver/serve\.py ", story.seen["machine processes"], re.MULTILINE), (
        "without a word, root's scope is the machine"
    )
    for name in ("machine status", "machine status of a visitor"):
        assert story.done[name].returncode == 0 and json.loads(story.done[name].stdout)["by"] == "systemd"
    assert story.done["machine stop"].stdout.splitlines()[-1] == "inactive"
    assert story.done["machine undo"].returncode == 0 and story.lost("before machine", "machine undone") == []


def test_as_root_in_a_container_the_first_command_works_and_warns(story: Story) -> None:
    done = story.done["contained"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\nPicture      /root/" in done.stdout and "To avoid this, run nbserver as another user" in done.stdout + done.stderr
    assert re.search(r"^root .*-I /\S+/serve\.py ", story.seen["root's processes"], re.MULTILINE)
    ignored = int(story.seen["signals"].split()[1], 16)
    assert not ignored & (1 << signal.SIGINT - 1 | 1 << signal.SIGQUIT - 1), "Ctrl-C works in its terminals"
    assert story.done["contained undo"].returncode == 0 and story.lost("before container", "container undone") == []
