"""`local`, this machine: settings, transport, password and status. No other machine is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbserver.base.errors import InventoryError, ScriptError, UsageError, VerifyError
from nbserver.catalog.linux_lock import load as load_lock
from nbserver.commands import status, up
from nbserver.inventory import local_linux_host, reader
from nbserver.inventory.hosts import Inventory
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.render.bash import settings_block
from nbserver.render.linux_host import render
from nbserver.transports.local.linux import LocalTransport, environment
from nbserver.transports.transport import StopRequested
from tests.checkout import SOURCE
from tests.formats import validate
from tests.linux import parts
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this machine itself is set up on Linux only")
OTHER = '[hosts.lin1]\nsystem = "linux"\naddress = "lin1.example.com"\nuser = "root"\nnotebook.password = { env = "X" }\n'


@pytest.fixture(autouse=True)
def no_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that user scope is the default of root too, who may run the tests."""
    monkeypatch.setattr(local_linux_host, "SYSTEMD", tmp_path / "no systemd")


def load(folder: Path, text: str, *patterns: str) -> Inventory:
    path = folder / "nbserver.toml"
    path.write_text(text, encoding="utf-8")
    return reader.load_for(path, patterns or ["local"])


# ---- settings


def test_local_needs_no_inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = reader.load_for(Path("nbserver.toml"), ["local"])
    assert found.select(["local"]) == [LocalLinuxHost()] and found.path.parent == tmp_path / "home" / ".local" / "state"
    with pytest.raises(InventoryError):
        reader.load_for(Path("nbserver.toml"), ["local", "lin1"])
    with pytest.raises(InventoryError):
        reader.load_for(Path("other.toml"), ["local"])


def test_its_own_table_counts_and_no_other(tmp_path: Path) -> None:
    text = f'[defaults]\nnotebook.port = 7777\n{OTHER}[hosts.local]\nnotebook.directory = "~/a b"\nnotebook.ip = "*"\n'
    found = load(tmp_path, text)
    local = found.select(["LOCAL"])[0]
    assert (local.notebook.port, local.notebook.directory, local.notebook.ip, local.notebook.password) == (9999, "~/a b", "*", None)
    assert [host.name for host in found.select(["lin1", "local"])] == ["local", "lin1"]


def test_no_glob_means_this_machine(tmp_path: Path) -> None:
    found = load(tmp_path, OTHER + "[hosts.local]\n")
    assert [host.name for host in found.select(["*"])] == ["lin1"]
    with pytest.raises(InventoryError, match="is no host"):
        found.select(["loc*"])
    with pytest.raises(InventoryError, match="there is no host of this name"):
        load(tmp_path, OTHER + '[groups.lab]\nhosts = ["local"]\n')


def test_an_inventory_may_hold_local_alone(tmp_path: Path) -> None:
    assert load(tmp_path, "[hosts.local]\nnotebook.port = 8888\n").local.notebook.port == 8888
    assert load(tmp_path, '[hosts.local]\nscope = "user"\n').local == LocalLinuxHost(), "also where it says what counts anyway"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("port = 22", 2, "[hosts.local] port: unknown key"),
        ("notebook.port = 80", 1, 'ports below 1024 need scope = "machine"'),
        ('packages.source = "distribution"', 1, 'need scope = "machine"'),
        ('scope = "machine"\nnotebook.directory = "~/x"', 1, "it is an absolute path"),
        ('notebook.directory = "~/../x"', 2, "it holds . or .."),
        ('notebook.directory = "~"', 2, "it is not absolute"),
        ('notebook.password = "geheim"', 2, "notebook.password"),
    ],
)
def test_what_does_not_fit(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(InventoryError) as error:
        load(tmp_path, f"[hosts.local]\n{text}\n")
    assert words in str(error.value) and f"nbserver.toml:{line}:" in str(error.value) and "geheim" not in str(error.value)


def test_machine_scope_has_the_machines_folder(tmp_path: Path) -> None:
    assert load(tmp_path, '[hosts.local]\nscope = "machine"\n').local.notebook.directory == "/var/lib/nbserver/notebooks"


@pytest.mark.parametrize(
    ("user", "systemd", "scope"), [(0, True, "machine"), (0, False, "user"), (1000, True, "user"), (1000, False, "user")]
)
def test_roots_default_is_the_machine_where_systemd_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, systemd: bool, scope: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(local_linux_host, "SYSTEMD", tmp_path if systemd else tmp_path / "none")
    folder = "/var/lib/nbserver/notebooks" if scope == "machine" else "~/notebooks"
    for found in (LocalLinuxHost(), load(tmp_path, "[hosts.local]\nnotebook.port = 8888\n").local, load(tmp_path, OTHER, "local").local):
        assert (found.scope, found.notebook.directory) == (scope, folder)
        assert f"NB_SCOPE='{scope}'" in render(found, load_lock()).text
    named = load(tmp_path, '[hosts.local]\nscope = "user"\n').local
    assert (named.scope, named.notebook.directory) == ("user", "~/notebooks")
    assert load(tmp_path, '[hosts.local]\nscope = "machine"\n').local.scope == "machine"


def test_what_fits_user_scope_only_tells_root_which_scope_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(local_linux_host, "SYSTEMD", tmp_path)
    with pytest.raises(InventoryError, match="which is root's where nothing else is said"):
        load(tmp_path, '[hosts.local]\nnotebook.directory = "~/x"\n')


def test_another_system_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="can be set up on Linux and Windows only"):
        reader.load_for(Path("nbserver.toml"), ["local"])


def test_the_script_names_no_user_and_no_folder_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = []
    for home in ("/home/anna", "/home/bert"):
        monkeypatch.setenv("HOME", home)
        scripts.append(render(LocalLinuxHost(), load_lock()).text)
    assert scripts[0] == scripts[1] and "NB_SCOPE='user'" in scripts[0] and "NB_NOTEBOOK_DIRECTORY='~/notebooks'" in scripts[0]
    assert "sudo bash" not in scripts[0].partition("shellcheck")[0]


# ---- the password


def test_a_password_is_made_only_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    made = up.first_password([LocalLinuxHost()])["local"]
    assert len(made) == 19 and made != up.first_password([LocalLinuxHost()])["local"]
    given = LocalLinuxHost.model_validate({"notebook": {"password": {"env": "X"}}})
    assert up.first_password([given]) == {}
    (tmp_path / ".config" / "nbserver").mkdir(parents=True)
    (tmp_path / ".config" / "nbserver" / "jupyter_config.json").write_text("{}")
    assert up.first_password([LocalLinuxHost()]) == {}


def test_the_hash_that_is_there_stays(tmp_path: Path) -> None:
    file = tmp_path / "jupyter_config.json"
    file.write_text('{ "hashed_password": "argon2:$argon2id$v=19$m=1,t=1,p=1$AAAA$BB+/" }')
    code = (
        parts.step("notebook")
        + """
        NOTEBOOK_FILE=$1
        keep_password_hash; printf '%s\\n' "${SECRETS[notebook.password_hash]-none}"
        RECORD=("{\\"v\\":1,\\"step\\":\\"notebook\\",\\"kind\\":\\"file\\",\\"key\\":\\"$1\\",\\"before\\":null}")
        keep_password_hash; printf '%s\\n' "${SECRETS[notebook.password_hash]-none}"
        SECRETS[notebook.password_hash]=given
        keep_password_hash; printf '%s\\n' "${SECRETS[notebook.password_hash]-none}"
        """
    )
    done = parts.run("CERTIFICATE_FILE=/x KEY_FILE=/x\n" + code, str(file))
    assert done.stdout.decode().split() == ["none", "argon2:$argon2id$v=19$m=1,t=1,p=1$AAAA$BB+/", "given"], done.stderr
    assert b"AAAA" not in done.stderr


# ---- the transport


@pytest.fixture
def transport() -> Iterator[LocalTransport]:
    parts.require_bash()
    opened = LocalTransport(LocalLinuxHost(), threading.Event())
    yield opened
    opened.close()


def test_the_envelope_arrives_and_every_line_comes_back(transport: LocalTransport) -> None:
    script = 'while IFS= read -r line; do echo "got $line"; done; echo \'error\' >&2; for ((i = 0; i < 5000; i++)); do echo "line $i"; done; exit 2\n'
    lines = list(transport.run(script, ["mode test", "secret x AAAA"]))
    assert lines[:2] == ["got mode test", "got secret x AAAA"] and lines[2:] == [f"line {i}" for i in range(5000)]


def test_a_script_that_bash_cannot_run_says_why(transport: LocalTransport) -> None:
    with pytest.raises(ScriptError, match="no such word"):
        list(transport.run("echo no such word >&2; exit 7\n", []))


def test_it_is_told_to_stop(tmp_path: Path) -> None:
    parts.require_bash()
    stop = threading.Event()
    opened = LocalTransport(LocalLinuxHost(), stop)
    heard = []
    with pytest.raises(StopRequested):
        for line in opened.run(
            f"trap 'echo stopping; touch {tmp_path}/stopped; exit 3' TERM\necho begun\nwhile true; do sleep 0.1; done\n", []
        ):
            heard.append(line)
            stop.set()
    assert heard == ["begun", "stopping"] and (tmp_path / "stopped").exists()
    assert list(opened.run("echo after\n", [])) == ["after"]
    opened.close()


def test_a_stop_before_it_begins_starts_nothing(tmp_path: Path) -> None:
    parts.require_bash()
    stop = threading.Event()
    stop.set()
    opened = LocalTransport(LocalLinuxHost(), stop)
    with pytest.raises(StopRequested):
        list(opened.run(f"touch {tmp_path}/started\n", ["mode apply"]))
    assert not (tmp_path / "started").exists()
    assert list(opened.run("echo after\n", [])) == ["after"], "a stop is heard once: how that run ended can be asked"
    opened.close()


def test_it_goes_on_when_the_orchestrator_dies(tmp_path: Path) -> None:
    parts.require_bash()
    program = f"""
import threading
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.transports.local.linux import LocalTransport
script = "echo begun; until [[ -e {tmp_path}/go ]]; do sleep 0.1; done; echo written >{tmp_path}/end; echo end\\n"
for line in LocalTransport(LocalLinuxHost(), threading.Event()).run(script, []):
    print(line, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=SOURCE)
    assert process.stdout and process.stdout.readline() == b"begun\n"
    process.kill()
    process.wait()
    (tmp_path / "go").touch()
    assert wait_until(lambda: (tmp_path / "end").exists() and (tmp_path / "end").read_text() == "written\n")


def test_no_variable_with_a_secret_is_passed_on(transport: LocalTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTEBOOK_PASSWORD", "geheim")
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")
    monkeypatch.setenv("PIP_INDEX_URL", "https://pypi.example.com/simple/")
    assert "geheim" not in str(environment())
    lines = list(transport.run("printf '%s\\n' \"${NOTEBOOK_PASSWORD-none} $https_proxy $PIP_INDEX_URL $HOME\"\n", []))
    assert lines == [f"none http://proxy.example.com:3128 https://pypi.example.com/simple/ {os.environ['HOME']}"]


# ---- status


def test_status_where_nothing_is_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert status.status(LocalLinuxHost(), as_json=True) == 4
    found = json.loads(capsys.readouterr().out)
    validate("stream", found)
    assert (found["ok"], found["by"], found["port"], found["url"]) == (False, "none", 9999, "https://localhost:9999")
    assert status.stop(LocalLinuxHost()) == 0


def test_the_places_are_those_of_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nbserver.local.places import places

    names = "CONFIGURATION_FOLDER DATA_FOLDER UNIT_FOLDER PROCESS_FILE".split()
    for scope in ("user", "machine"):
        monkeypatch.setenv("HOME", str(tmp_path))
        text = (
            settings_block({**parts.SETTINGS, "scope": scope})
            + parts.prelude()
            + f"printf '%s\\n' {' '.join(f'${name}' for name in names)} \"${{SYSTEMCTL[*]}}\"\n"
        )
        done = subprocess.run([parts.require_bash(), "-c", text], capture_output=True, text=True, check=True)
        found = places(LocalLinuxHost.model_validate({"scope": scope}))
        assert done.stdout.split("\n")[:5] == [
            str(found.configuration),
            str(found.data),
            str(found.unit.parent),
            str(found.process),
            " ".join(found.systemctl),
        ]


def test_a_password_is_shown_where_the_run_may_have_set_it(capsys: pytest.CaptureFixture[str]) -> None:
    from nbserver.run.result import Result

    for word, shown in (("changed", True), ("failed", True), ("differs", True), ("unchanged", False), ("", False)):
        up.show_password({"local": "abcd-efgh"}, {"local": Result("local", steps={"notebook": word} if word else {})})
        out = capsys.readouterr()
        assert ("abcd-efgh" in out.err) is shown and out.out == ""


@pytest.mark.parametrize("ends", [KeyboardInterrupt(), VerifyError("it drips", host="local"), RuntimeError()])
def test_a_password_is_shown_however_the_verification_ends(
    ends: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is set by then, and kept nowhere."""
    from nbserver.run.result import Result
    from nbserver.view.json_lines import JsonLines

    def verify(*_: object) -> None:
        raise ends

    monkeypatch.setattr(up, "first_password", lambda hosts: {"local": "abcd-efgh"})
    monkeypatch.setattr(up, "_apply", lambda *_: (Result("local", steps={"notebook": "changed"}), 0))
    monkeypatch.setattr(up, "_verify", verify)
    with pytest.raises(type(ends)):
        up.up(load(tmp_path, OTHER), None, None, JsonLines())
    assert "abcd-efgh" in capsys.readouterr().err
