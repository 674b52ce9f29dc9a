"""Upgrades to another lock: the new server is verified first, and the previous one runs again if it fails.

The steps of user scope run with real environments of small wheels and a real server, in the background: no systemd is needed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.small_packages import put_notebook, put_package
from tests.linux import parts
from tests.linux.fixtures import Run, run, sandbox, template
from tests.linux.sandbox import Sandbox
from tests.ports import free_port
from tests.served import served
from tests.steps.linux.small_steps import SECRETS
from tests.tier import FULL

__all__ = ["sandbox", "template"]
STEPS = ("python", "packages", "certificate", "notebook", "service", "check", "cleanup")
HOME = Path.home()
PROGRAMS, STATE = f"{HOME}/.local/share/nbserver", f"{HOME}/.local/state/nbserver/state"
ENVIRONMENTS = {letter: f"{PROGRAMS}/env-{letter * 8}" for letter in "abcde"}
QUICK = """
create_environment() {
    run_program cp -a /srv/template "$ENVIRONMENT"
    printf '%s\\n' "${LOCK[@]}" >"$ENVIRONMENT/lock.txt"
    LOCK_OPTIONS+=(--index-url "$NB_PACKAGES_INDEX_URL")
}
"""


class Host:
    """A sandbox with an index of small wheels. Each letter is a lock."""

    def __init__(self, sandbox: Sandbox, index: Path, url: str) -> None:
        self.sandbox, self.port = sandbox, free_port()
        good = put_package(index, "numpy", "1.0", {"numpy/__init__.py": ""})
        self.locks = {
            "a": [put_notebook(index, "1.0"), good],
            "b": [put_notebook(index, "2.0"), good],
            "c": [put_notebook(index, "3.0"), put_package(index, "numpy", "3.0", {"numpy/__init__.py": "raise ImportError('no BLAS')\n"})],
            "d": [put_notebook(index, "4.0", login=500), good],
            "e": [put_notebook(index, "5.0").replace("sha256:", "sha256:00")[:-2], good],
        }
        self.url = url

    def run(self, mode: str, lock: str, *more: str, session: int = 12, folder: str = "~/notebooks", secrets: str = SECRETS) -> Run:
        lines = " ".join(f"'{line}'" for line in self.locks[lock])
        steps = [f"LOCK=({lines})", *(parts.step(name, "user") for name in STEPS), QUICK, *more]
        return run(
            self.sandbox,
            mode,
            steps,
            secrets=secrets,
            scope="user",
            notebook={**parts.SETTINGS["notebook"], "directory": folder, "port": self.port, "session": session},
            packages={"index_url": self.url, "installer": "pip", "lock_sha256": lock * 64, "source": "auto"},
        )

    def serves(self) -> str:
        """The lock of the environment that the server runs from."""
        file = f"{HOME}/.local/state/nbserver/process"
        pid, command = (line.split(" ")[0] for line in self.sandbox.read(file).decode().splitlines()[:2])
        assert Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode() == command
        return command.removeprefix(f"{PROGRAMS}/env-")[0]

    def environments(self) -> str:
        names = self.sandbox.run("ls", PROGRAMS).stdout.decode().split()
        return "".join(sorted(name[4] for name in names))


@pytest.fixture
def host(sandbox: Sandbox, tmp_path: Path, template: Path) -> Iterator[Host]:
    """With the lock `a`, and a notebook."""
    sandbox.lay(template, "/srv/template")
    sandbox.run("bash", "-c", 'mkdir -p "$HOME" && cd && rm -rf .local/share/nbserver .local/state/nbserver .config/nbserver notebooks')
    with served(tmp_path) as url:
        opened = Host(sandbox, tmp_path, url)
        try:
            first = opened.run("apply", "a")
            assert first.outcome == "ok", first.of("failed")
            sandbox.write(f"{HOME}/notebooks/mine.ipynb", "{}")
            yield opened
        finally:
            opened.run("undo", "a")


def test_an_upgrade_keeps_exactly_one_previous_environment(host: Host) -> None:
    planned = host.run("test", "b")
    assert [event["what"] for event in planned.of("difference") if event["step"] == "cleanup"] == [], "the present one is kept"
    done = host.run("apply", "b")
    assert done.outcome == "ok" and (host.serves(), host.environments()) == ("b", "ab"), done.events
    assert "verifying-server" in [event.get("code") for event in done.of("progress")]
    assert host.run("test", "b").code == 0
    host.locks["c"] = host.locks["b"]
    assert host.run("apply", "c").outcome == "ok" and (host.serves(), host.environments()) == ("c", "bc")
    assert host.run("undo", "c").outcome == "ok"
    assert not host.sandbox.exists(PROGRAMS) and not host.sandbox.exists(f"{STATE}/previous")
    assert host.sandbox.read(f"{HOME}/notebooks/mine.ipynb") == b"{}"


@pytest.mark.parametrize(
    ("lock", "cause", "code", "kept"),
    [
        ("c", "packages-not-importable", "upgrade-not-begun", "a"),
        ("d", "login-broken", "upgrade-switched-back", "ad"),
        ("e", "packages-not-installed", "upgrade-not-begun", "a"),
    ],
)
def test_an_upgrade_that_fails_leaves_the_previous_server(host: Host, lock: str, cause: str, code: str, kept: str) -> None:
    files = [f"{HOME}/.config/nbserver/{name}" for name in ("jupyter_config.json", "serve.py", "certificate.pem")]
    before = [host.sandbox.read(file) for file in files]
    done = host.run("apply", lock)
    assert done.outcome == "failed" and [event["code"] for event in done.of("failed")] == [cause, code], done.of("failed")
    last = done.of("failed")[-1]
    assert last["cause"]["code"] == cause and ENVIRONMENTS["a"] in last["text"] and done.of("failed")[0]["text"] in last["text"]
    assert (host.serves(), host.environments()) == ("a", kept)
    assert [host.sandbox.read(file) for file in files] == before and not host.sandbox.exists(f"{STATE}/switch")
    assert host.run("test", "a").of("difference") == [] or kept == "ad", "only the environment that failed is left"
    assert host.run("apply", "a").outcome == "ok" and (host.serves(), host.environments()) == ("a", "a")
    assert host.run("apply", "b").outcome == "ok" and (host.serves(), host.environments()) == ("b", "ab")


@pytest.mark.second_tier("six more runs with real environments")
def test_an_upgrade_on_a_full_disk_leaves_the_previous_server_and_gives_the_space_back(host: Host) -> None:
    disk = f"{HOME}/.local/share"
    assert host.run("undo", "a").outcome == "ok"
    host.sandbox.run("bash", "-c", f"mkdir -p {disk} && mount -t tmpfs -o size=100M tmpfs {disk}")
    try:
        assert host.run("apply", "a").outcome == "ok"
        host.sandbox.run("bash", "-c", f"head --bytes=200M /dev/zero >{disk}/others; truncate --size=-1M {disk}/others", check=False)
        done = host.run("apply", "b")
        assert done.outcome == "failed" and [event["code"] for event in done.of("failed")][-1] == "upgrade-not-begun", done.of("failed")
        assert "No space left on device" in str(done.events) and (host.serves(), host.environments()) == ("a", "a")
        host.sandbox.run("rm", f"{disk}/others")
        assert host.run("apply", "b").outcome == "ok" and (host.serves(), host.environments()) == ("b", "ab")
        assert host.run("undo", "b").outcome == "ok"
    finally:
        host.sandbox.run("umount", "--lazy", disk)


def test_a_repair_that_fails_leaves_the_environment_as_it_was(host: Host) -> None:
    """A changed file is no reason to lose the server while the index does not respond."""
    module, url = f"{ENVIRONMENTS['a']}/lib/python3.11/site-packages/numpy/__init__.py", host.url
    host.sandbox.run("bash", "-c", f"echo '# changed' >>{module}")
    host.url = "http://127.0.0.1:9/"
    done = host.run("apply", "a")
    assert codes(done) == ["packages-not-installed", "environment-returned"] and ENVIRONMENTS["a"] in done.of("failed")[-1]["text"]
    assert [event["what"] for event in done.of("restored")] == [ENVIRONMENTS["a"]], "not the name that it had meanwhile"
    assert host.sandbox.read(module) == b"# changed\n" and host.environments() == "a" and host.run("restart", "a").outcome == "ok"
    (differs,) = host.run("test", "a").of("difference")
    assert module in differs["what"], "the damage is still reported"
    aside = f"{ENVIRONMENTS['a']}.replaced"
    line = json.dumps({"v": 1, "step": "packages", "kind": "folder", "key": aside, "before": None}, separators=(",", ":"))
    record = host.sandbox.read(f"{STATE}/record.jsonl").decode() + line + "\n"
    host.sandbox.write(f"{STATE}/record.jsonl", record)
    host.sandbox.run("bash", "-c", f"mv {ENVIRONMENTS['a']} {aside} && mkdir {ENVIRONMENTS['a']}")  # a run was killed here
    refused = host.run("apply", "a", "packages_test() { fail unknown x; }")
    assert codes(refused) == ["unknown"] and [event["what"] for event in refused.of("restored")] == [ENVIRONMENTS["a"]]
    assert host.sandbox.read(module) == b"# changed\n" and host.environments() == "a"
    host.sandbox.write(f"{STATE}/record.jsonl", record)
    host.sandbox.run("mkdir", aside)  # a run was killed while it removed the environment that it had replaced
    host.url = url
    done = host.run("apply", "a", "set_environment_aside() { :; }")
    assert done.outcome == "ok" and host.sandbox.read(module) == b"" and host.environments() == "a", done.of("failed")
    assert host.run("test", "a").of("difference") == [] and b".replaced" not in host.sandbox.read(f"{STATE}/record.jsonl")


def test_an_upgrade_that_is_refused_restarts_no_server(host: Host) -> None:
    process = f"{HOME}/.local/state/nbserver/process"
    started = host.sandbox.read(process)
    done = host.run("apply", "b", "service_apply() { fail unknown x; }")
    assert codes(done) == ["unknown", "upgrade-not-begun"] and host.sandbox.read(process) == started
    assert host.serves() == "a" and not host.sandbox.exists(f"{STATE}/switch")


def test_settings_that_fail_leave_the_previous_server(host: Host) -> None:
    """The environment stays the same. What changed no file restarts no server."""
    assert host.run("apply", "b").outcome == "ok"
    file, process = f"{HOME}/.config/nbserver/jupyter_config.json", f"{HOME}/.local/state/nbserver/process"
    before, started = host.sandbox.read(file), host.sandbox.read(process)
    refused = host.run("apply", "b", "notebook_apply() { fail unknown x; }", session=2)
    assert codes(refused) == ["unknown"] and host.sandbox.read(process) == started
    other = f"secret notebook.password_hash {base64.b64encode(b'sha1:0123456789ab:0123').decode()}\n"
    done = host.run("apply", "b", "check_login() { fail login-broken broken; }", session=2, secrets=other)
    assert codes(done) == ["login-broken", "settings-restored"] and "broken" in done.of("failed")[-1]["text"], done.events
    assert host.sandbox.read(file) == before and host.sandbox.read(process) != started
    lost = host.run("apply", "b", "check_login() { fail login-broken broken; }", "prove_restored() { problem unknown x; }", session=2)
    assert codes(lost) == ["login-broken", "settings-not-restored"] and host.sandbox.exists(f"{STATE}/switch")
    assert host.run("test", "b").of("difference")[-1]["code"] == "switch-open"
    assert host.run("set-password", "b", secrets=other).outcome == "ok" and b"sha1:0123456789ab" in host.sandbox.read(file)
    done = host.run("apply", "b", "check_login() { fail login-broken broken; }", session=2, secrets=other)
    assert codes(done) == ["login-broken", "settings-restored"] and b"sha1:0123456789ab" in host.sandbox.read(file), "it was replaced"
    done = host.run("apply", "b", session=2)
    assert done.outcome == "ok" and host.sandbox.read(file) != before, done.of("failed")
    assert not host.sandbox.exists(f"{STATE}/switch") and host.environments() == "ab", "the previous environment stays"
    if FULL:
        assert host.run("apply", "b", "verify_switch() { kill -KILL $$; }").code and host.sandbox.exists(f"{STATE}/switch")
        assert not [event for event in host.run("test", "b").of("difference") if event["step"] == "cleanup"]
        assert host.run("rollback", "b").of("failed")[0]["code"] == "rollback-in-upgrade"
        assert host.run("apply", "b").outcome == "ok" and host.sandbox.read(file) == before and host.environments() == "ab"


def test_the_only_environment_that_works_is_never_removed(host: Host) -> None:
    """An upgrade is cut off, and the previous settings are applied again, which fails: that environment is not a new one."""
    assert host.run("apply", "b", "verify_switch() { kill -KILL $$; }").code
    host.sandbox.run("mkdir", f"{STATE}/runs/used")
    refused = host.run("apply", "a", "name_run() { RUN_ID=used; }")
    assert [event["event"] for event in refused.events] == ["failed", "finished"], "nothing is switched by a run that is refused"
    done = host.run("apply", "a", "prove_restored() { problem unknown x; }", "check_apply() { fail unknown y; }")
    assert [event["code"] for event in done.of("failed")][1:] == ["upgrade-not-switched-back"], done.of("failed")
    assert host.environments() == "ab" and host.sandbox.exists(f"{STATE}/switch")
    assert host.run("apply", "a").outcome == "ok" and host.serves() == "a"


def test_a_rollback_goes_back_and_a_second_one_forward(host: Host) -> None:
    assert host.run("status", "a").of("status")[0]["previous"] is None
    first = host.run("rollback", "a")
    assert codes(first) == ["no-previous-environment"] and host.serves() == "a"
    assert host.run("apply", "b").outcome == "ok"
    files = [f"{HOME}/.config/nbserver/{name}" for name in ("jupyter_config.json", "serve.py")]
    before = [host.sandbox.read(file) for file in files]
    previous = host.run("status", "b").of("status")[0]["previous"]
    assert (previous["environment"], previous["lock"]) == (ENVIRONMENTS["a"], "a" * 64) and previous["installed"]
    host.port = free_port()
    assert host.run("apply", "b", folder="~/others").outcome == "ok"
    assert codes(host.run("rollback", "b")) == ["rollback-other-folder"] and host.serves() == "b"
    assert host.run("apply", "b").outcome == "ok"
    before = [host.sandbox.read(file) for file in files]
    done = host.run("rollback", "b")
    assert done.outcome == "ok" and (host.serves(), host.environments()) == ("a", "ab"), done.events
    assert f'"port": {host.port},'.encode() in host.sandbox.read(files[0]), "the firewall is set for it"
    assert [event["code"] for event in done.of("difference")] == ["server-rolls-back", "server-proven"]
    assert done.of("difference")[0] | {"is": ENVIRONMENTS["b"], "should": ENVIRONMENTS["a"]} == done.of("difference")[0]
    assert done.events[-1]["changed"] == 2 and done.events[-1]["fingerprint"].startswith("SHA256:")
    (differs,) = host.run("test", "b").of("difference")
    assert differs["code"] == "server-other-environment" and (differs["is"], differs["should"]) == (ENVIRONMENTS["a"], ENVIRONMENTS["b"])
    assert host.run("test", "a").of("difference") == [], "the inventory has this lock"
    assert host.run("rollback", "b").outcome == "ok" and host.serves() == "b"
    assert [host.sandbox.read(file) for file in files] == before and host.run("test", "b").of("difference") == []


def test_a_rollback_that_fails_returns_to_the_current_environment(host: Host) -> None:
    assert host.run("apply", "b").outcome == "ok"
    done = host.run("rollback", "b", "check_login() { fail login-broken broken; }")
    assert codes(done) == ["login-broken", "rollback-switched-back"] and host.serves() == "b", done.of("failed")
    assert ENVIRONMENTS["b"] in done.of("failed")[-1]["text"] and not host.sandbox.exists(f"{STATE}/switch")
    assert host.run("test", "b").of("difference") == []
    cut = host.run("rollback", "b", "verify_switch() { kill -KILL $$; }")
    assert cut.code and host.serves() == "a"
    if FULL:
        assert host.run("rollback", "b").outcome == "ok" and (host.serves(), host.environments()) == ("a", "ab")
        assert host.run("rollback", "b", "verify_switch() { kill -KILL $$; }").code and host.serves() == "b"
    assert host.run("apply", "b").outcome == "ok" and (host.serves(), host.environments()) == ("b", "ab")
    assert host.run("rollback", "b").outcome == "ok" and host.serves() == "a"
    assert host.run("apply", "b").outcome == "ok" and (host.serves(), host.environments()) == ("b", "ab")
    assert host.run("test", "b").of("difference") == []


def test_a_rollback_is_refused_if_the_previous_environment_is_not_certain(host: Host) -> None:
    assert host.run("apply", "b", "verify_switch() { kill -KILL $$; }").code
    assert codes(host.run("rollback", "b")) == ["rollback-in-upgrade"] and host.serves() == "b", "nothing is switched back"
    assert host.run("apply", "b").outcome == "ok"
    python = f"{ENVIRONMENTS['a']}/bin/python"
    host.sandbox.run("mv", python, f"{python}.moved")
    assert codes(host.run("rollback", "b")) == ["previous-environment-gone"]
    host.sandbox.run("mv", f"{python}.moved", python)
    host.sandbox.run("bash", "-c", f"rm {ENVIRONMENTS['a']}/lib/python3.*/site-packages/numpy/__init__.py")
    changed = host.run("rollback", "b")
    assert codes(changed) == ["previous-environment-changed"] and "numpy" in changed.of("failed")[0]["text"]
    assert host.serves() == "b" and not host.sandbox.exists(f"{STATE}/switch") and host.run("test", "b").of("difference") == []


def codes(done: Run) -> list[str]:
    assert done.outcome == "failed" and done.code == 3, done.events
    return [event["code"] for event in done.of("failed")]
