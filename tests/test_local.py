"""`local`, this machine: settings, transport, password, and processes in the background. No other machine is needed."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from installer import inventory, linux_settings, local_places, local_server, local_service_linux, local_setup
from installer.bash_script import settings_block
from installer.errors import InventoryError, ScriptError, UsageError
from installer.linux_lock import load as load_lock
from installer.linux_render import render
from installer.linux_settings import LocalHost
from installer.transports import StopRequested
from installer.transports.local import LocalTransport, environment
from tests.formats import validate
from tests.linux import parts
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this machine itself is set up on Linux only")
OTHER = '[hosts.lin1]\nsystem = "linux"\naddress = "lin1.example.com"\nuser = "root"\nnotebook.password = { env = "X" }\n'


@pytest.fixture(autouse=True)
def no_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that user scope is the default of root too, who may run the tests."""
    monkeypatch.setattr(linux_settings, "SYSTEMD", tmp_path / "no systemd")


def load(folder: Path, text: str, *patterns: str) -> inventory.Inventory:
    path = folder / "nbserver.toml"
    path.write_text(text, encoding="utf-8")
    return inventory.load_for(path, patterns or ["local"])


# ---- settings


def test_local_needs_no_inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = inventory.load_for(Path("nbserver.toml"), ["local"])
    assert found.select(["local"]) == [LocalHost()] and found.path.parent == tmp_path / "home" / ".local" / "state"
    with pytest.raises(InventoryError):
        inventory.load_for(Path("nbserver.toml"), ["local", "lin1"])
    with pytest.raises(InventoryError):
        inventory.load_for(Path("other.toml"), ["local"])


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
    with pytest.raises(InventoryError, match='there is no host "local"'):
        load(tmp_path, OTHER + '[groups.lab]\nhosts = ["local"]\n')


def test_an_inventory_may_hold_local_alone(tmp_path: Path) -> None:
    assert load(tmp_path, "[hosts.local]\nnotebook.port = 8888\n").local.notebook.port == 8888
    assert load(tmp_path, '[hosts.local]\nscope = "user"\n').local == LocalHost(), "also where it says what counts anyway"


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


@pytest.mark.parametrize(("user", "systemd", "scope"), [(0, True, "machine"), (0, False, "user"), (1000, True, "user"), (1000, False, "user")])
def test_roots_default_is_the_machine_where_systemd_runs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, systemd: bool, scope: str) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(linux_settings, "SYSTEMD", tmp_path if systemd else tmp_path / "none")
    folder = "/var/lib/nbserver/notebooks" if scope == "machine" else "~/notebooks"
    for found in (LocalHost(), load(tmp_path, "[hosts.local]\nnotebook.port = 8888\n").local, load(tmp_path, OTHER, "local").local):
        assert (found.scope, found.notebook.directory) == (scope, folder)
        assert f"NB_SCOPE='{scope}'" in render(found, load_lock()).text
    named = load(tmp_path, '[hosts.local]\nscope = "user"\n').local
    assert (named.scope, named.notebook.directory) == ("user", "~/notebooks")
    assert load(tmp_path, '[hosts.local]\nscope = "machine"\n').local.scope == "machine"


def test_what_fits_user_scope_only_tells_root_which_scope_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(linux_settings, "SYSTEMD", tmp_path)
    with pytest.raises(InventoryError, match="which is root's where nothing else is said"):
        load(tmp_path, '[hosts.local]\nnotebook.directory = "~/x"\n')


def test_another_system_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="can be set up on Linux and Windows only"):
        inventory.load_for(Path("nbserver.toml"), ["local"])


def test_the_script_names_no_user_and_no_folder_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = []
    for home in ("/home/anna", "/home/bert"):
        monkeypatch.setenv("HOME", home)
        scripts.append(render(LocalHost(), load_lock()).text)
    assert scripts[0] == scripts[1] and "NB_SCOPE='user'" in scripts[0] and "NB_NOTEBOOK_DIRECTORY='~/notebooks'" in scripts[0]
    assert "sudo bash" not in scripts[0].partition("shellcheck")[0]


# ---- the password


def test_a_password_is_made_only_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    made = local_setup.first_password([LocalHost()])["local"]
    assert len(made) == 19 and made != local_setup.first_password([LocalHost()])["local"]
    given = LocalHost.model_validate({"notebook": {"password": {"env": "X"}}})
    assert local_setup.first_password([given]) == {}
    (tmp_path / ".config" / "nbserver").mkdir(parents=True)
    (tmp_path / ".config" / "nbserver" / "jupyter_config.json").write_text("{}")
    assert local_setup.first_password([LocalHost()]) == {}


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
    opened = LocalTransport(LocalHost(), threading.Event())
    yield opened
    opened.close()


def test_the_envelope_arrives_and_every_line_comes_back(transport: LocalTransport) -> None:
    script = "while IFS= read -r line; do echo \"got $line\"; done; echo 'error' >&2; for ((i = 0; i < 5000; i++)); do echo \"line $i\"; done; exit 2\n"
    lines = list(transport.run(script, ["mode test", "secret x AAAA"]))
    assert lines[:2] == ["got mode test", "got secret x AAAA"] and lines[2:] == [f"line {i}" for i in range(5000)]


def test_a_script_that_bash_cannot_run_says_why(transport: LocalTransport) -> None:
    with pytest.raises(ScriptError, match="no such word"):
        list(transport.run("echo no such word >&2; exit 7\n", []))


def test_it_is_told_to_stop(tmp_path: Path) -> None:
    parts.require_bash()
    stop = threading.Event()
    opened = LocalTransport(LocalHost(), stop)
    heard = []
    with pytest.raises(StopRequested):
        for line in opened.run(f"trap 'echo stopping; touch {tmp_path}/stopped; exit 3' TERM\necho begun\nwhile true; do sleep 0.1; done\n", []):
            heard.append(line)
            stop.set()
    assert heard == ["begun", "stopping"] and (tmp_path / "stopped").exists()
    assert list(opened.run("echo after\n", [])) == ["after"]
    opened.close()


def test_a_stop_before_it_begins_starts_nothing(tmp_path: Path) -> None:
    parts.require_bash()
    stop = threading.Event()
    stop.set()
    opened = LocalTransport(LocalHost(), stop)
    with pytest.raises(StopRequested):
        list(opened.run(f"touch {tmp_path}/started\n", ["mode apply"]))
    assert not (tmp_path / "started").exists()
    assert list(opened.run("echo after\n", [])) == ["after"], "a stop is heard once: how that run ended can be asked"
    opened.close()


def test_it_goes_on_when_the_orchestrator_dies(tmp_path: Path) -> None:
    parts.require_bash()
    program = f"""
import threading
from installer.linux_settings import LocalHost
from installer.transports.local import LocalTransport
script = "echo begun; until [[ -e {tmp_path}/go ]]; do sleep 0.1; done; echo written >{tmp_path}/end; echo end\\n"
for line in LocalTransport(LocalHost(), threading.Event()).run(script, []):
    print(line, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=Path(__file__).parents[1])
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


# ---- whoever the user is

HASH = "c2VjcmV0"  # Base64
NUMBER = itertools.count()  # of runs: a run's name is used once


@pytest.fixture
def nameless() -> Iterator[Path]:
    """The home folder of a user whose number has no name, as in a container that is run with --user."""
    if os.geteuid() or not shutil.which("setpriv"):
        pytest.skip("to be a user without a name needs root's rights and setpriv")
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, 54321, 54322)
        yield Path(name)


def run_nameless(home: Path, mode: str) -> list[dict[str, Any]]:
    """The events of a run of the steps that need no package, in user scope."""
    file = home / "local.sh"
    file.write_text(parts.script([parts.step(name) for name in ("certificate", "notebook")], scope="user", notebook={"directory": "~/notebooks", "ip": "*", "port": 9999}))
    file.chmod(0o644)
    envelope = f"mode {mode}\nrun {mode}-{next(NUMBER)}\nsecret notebook.password_hash {HASH}\n"
    command = ["setpriv", "--reuid=54321", "--regid=54322", "--clear-groups", "bash", str(file), "envelope"]
    done = subprocess.run(command, input=envelope, env={"HOME": str(home), "PATH": "/usr/bin:/bin"}, cwd="/", capture_output=True, text=True, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_user_without_a_name_has_their_own_files(nameless: Path) -> None:
    events = run_nameless(nameless, "apply")
    assert (events[-1]["event"], events[-1]["outcome"], events[-1]["changed"]) == ("finished", "ok", 2), events
    files = [*nameless.glob(".config/nbserver/*"), *nameless.glob(".local/state/nbserver/*"), nameless / "notebooks"]
    assert len(files) > 7 and {(path.stat().st_uid, path.stat().st_gid) for path in files} == {(54321, 54322)}
    assert {path.stat().st_mode & 0o777 for path in files if path.is_file()} == {0o600}
    assert run_nameless(nameless, "apply")[-1]["changed"] == 0
    (nameless / ".config/nbserver/key.pem").chmod(0o644)
    (told,) = (event for event in run_nameless(nameless, "test") if event["event"] == "difference")
    assert (told["is"], told["should"]) == ("54321:54322 644", "54321:54322 600")
    assert run_nameless(nameless, "undo")[-1]["outcome"] == "ok"
    assert not (nameless / ".config").exists() and not (nameless / "notebooks").exists()


def test_an_undo_without_the_users_systemd_is_refused_before_it_begins(nameless: Path) -> None:
    """As in su, in cron and after a logout: the unit could not be stopped."""
    assert run_nameless(nameless, "apply")[-1]["outcome"] == "ok"
    record, unit = nameless / ".local/state/nbserver/state/record.jsonl", nameless / ".config/systemd/user/nbserver.service"
    unit.parent.mkdir(parents=True)
    unit.write_text("[Service]\nExecStart=true\n")
    with record.open("a") as file:
        file.write('{"v":1,"step":"service","kind":"unit","key":"nbserver.service","before":null}\n')
    before = record.read_text()
    events = run_nameless(nameless, "undo")
    (failed,) = (event for event in events if event["event"] == "failed")
    assert failed["step"] == "service" and "own systemd, which does not run now. Log in, or let it run always: loginctl enable-linger" in failed["text"]
    assert events[-1]["outcome"] == "failed" and [event for event in events if event["event"] == "restored"] == []
    assert record.read_text() == before and unit.exists() and (nameless / ".config/nbserver/key.pem").exists()


def test_a_user_without_a_home_folder_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_user(number: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", no_such_user)
    with pytest.raises(UsageError, match=r"no home folder\. Set HOME"):
        local_places.own_inventory("linux")


def test_what_belongs_to_another_user_is_refused(nameless: Path) -> None:
    state = nameless / ".local/state/nbserver"
    (state / "state").mkdir(parents=True)
    failed = next(event for event in run_nameless(nameless, "apply") if event["event"] == "failed")
    assert f"{state} belongs to others than 54321, or others can write there (0 755)" in failed["text"]


# ---- a process in the background


PREPARED = "save_before() {\n    true\n}\nread -r PROGRAM_OWNER < <(stat --format='%u:%g' /proc/$$)\nexec 3>/dev/null\n"


def run_processes(code: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """`code` behind the prelude, with nothing recorded on this machine; the events of the log go nowhere."""
    return parts.run(PREPARED + code, *arguments)


def test_a_process_is_started_known_again_and_ended(tmp_path: Path) -> None:
    file, log = tmp_path / "process", tmp_path / "log"
    code = 'start_process "$1" "$2" "what it is for" env -i A=b sleep 300; printf "%s\\n" "$PROCESS"\n'
    first = run_processes(code, str(file), str(log))
    pid = int(first.stdout)
    try:
        assert local_service_linux._running(file) == pid and file.read_text().split("\n")[1] == "what it is for" and file.stat().st_mode & 0o777 == 0o600
        assert wait_until(lambda: Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x00300\x00"), "it is told of before it has become the program"
        assert os.getsid(pid) == pid
        assert sorted(path.name for path in Path(f"/proc/{pid}/fd").iterdir()) == ["0", "1", "2"], "it keeps no descriptor of the script, such as its lock"
        second = int(run_processes(code, str(file), str(log)).stdout)
        assert second != pid and local_service_linux._running(file) == second and local_service_linux._start(pid) == ""
        pid = second
        assert run_processes('stop_process "$1"; read_process "$1"; printf "[%s]" "$PROCESS"\n', str(file)).stdout == b"[]"
        assert local_service_linux._start(pid) == "" and local_service_linux._running(file) == 0
    finally:
        if local_service_linux._start(pid):
            os.kill(pid, signal.SIGKILL)


def test_the_server_in_the_background_hears_ctrl_c(tmp_path: Path) -> None:
    """What bash starts with & ignores SIGINT and SIGQUIT, and what a notebook's terminal starts would inherit that."""
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (site,) = environment.glob("lib/python3*/site-packages")
    (site / "notebook.py").write_text("import time\ntime.sleep(300)\n")
    code = (
        parts.step("service")
        + """
        NB_SCOPE=user HOME_FOLDER=$1 WORK_FOLDER=$1/work CONFIGURATION_FOLDER=$1/configuration PROCESS_FILE=$1/process PROCESS_LOG=$1/log
        NOTEBOOK_PYTHON=$1/env/bin/python NOTEBOOK_FILE=/none CERTIFICATE_FILE=/none SERVICE_USER=anna
        process_apply
        printf '%s\\n' "$PROCESS" "${SERVICE_ENVIRONMENT[@]}"
        """
    )
    # As under the bootstrap, which starts the script with & too: bash cannot take back what it began with.
    whole = settings_block(parts.SETTINGS) + parts.prelude() + PREPARED + code
    pid, *variables = run_processes("trap '' INT QUIT\nbash -c \"$2\" test \"$1\"\n", str(tmp_path), whole).stdout.decode().split("\n")[:-1]
    try:
        assert wait_until(lambda: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1:4] == [b"-I", b"-m", b"notebook"])  # the server itself, of the number that is written down
        status = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        ignored = {number for number in signal.Signals if int(status["SigIgn"], 16) >> (number - 1) & 1}
        assert not ignored & {signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP}
        assert sorted(Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")[:-1]) == sorted(variables)
    finally:
        os.kill(int(pid), signal.SIGKILL)


def test_another_process_of_that_number_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "300"]) as other:
        file = tmp_path / "process"
        for first in (f"{other.pid} 1 some-boot", f"{other.pid}", "", "-1 x", "x"):
            file.write_text(first + "\n")
            assert local_service_linux._running(file) == 0
            assert run_processes('stop_process "$1"; read_process "$1"; printf "[%s]" "$PROCESS"\n', str(file)).stdout == b"[]"
        assert other.poll() is None
        other.kill()


# ---- status


def test_status_where_nothing_is_set_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_server.status(LocalHost(), as_json=True) == 4
    found = json.loads(capsys.readouterr().out)
    validate("stream", found)
    assert (found["ok"], found["by"], found["port"], found["url"]) == (False, "none", 9999, "https://localhost:9999")
    assert local_server.stop(LocalHost()) == 0


def test_the_places_are_those_of_the_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from installer.local_places import places

    names = "CONFIGURATION_FOLDER DATA_FOLDER UNIT_FOLDER PROCESS_FILE".split()
    for scope in ("user", "machine"):
        monkeypatch.setenv("HOME", str(tmp_path))
        text = settings_block({**parts.SETTINGS, "scope": scope}) + parts.prelude() + f"printf '%s\\n' {' '.join(f'${name}' for name in names)} \"${{SYSTEMCTL[*]}}\"\n"
        done = subprocess.run([parts.require_bash(), "-c", text], capture_output=True, text=True, check=True)
        found = places(LocalHost.model_validate({"scope": scope}))
        assert done.stdout.split("\n")[:5] == [str(found.configuration), str(found.data), str(found.unit.parent), str(found.process), " ".join(found.systemctl)]


def test_a_password_is_shown_where_the_run_may_have_set_it(capsys: pytest.CaptureFixture[str]) -> None:
    from installer.host import Result

    for word, shown in (("changed", True), ("failed", True), ("differs", True), ("unchanged", False), ("", False)):
        local_setup.show_password({"local": "abcd-efgh"}, {"local": Result("local", steps={"notebook": word} if word else {})})
        out = capsys.readouterr()
        assert ("abcd-efgh" in out.err) is shown and out.out == ""


@pytest.mark.parametrize(("log", "words"), [("", ""), ("one\n", "one\n"), ("1\n2\n3\n4\n", "2\n3\n4\n")])
def test_the_servers_last_words(tmp_path: Path, log: str, words: str) -> None:
    (tmp_path / "log").write_text(log)
    code = 'NB_SCOPE=user XDG_RUNTIME_DIR=$1 PROCESS_FILE=$1/process PROCESS_LOG=$1/log\nprint_service_log\n'
    assert run_processes(code, str(tmp_path)).stdout.decode().strip("\n") == words.strip("\n")
