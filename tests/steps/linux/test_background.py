"""The server as a process in the background, where no systemd of the user's runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nbserver.local import linux_service
from nbserver.render.bash import settings_block
from tests.linux import parts
from tests.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this machine itself is set up on Linux only")
PREPARED = "save_before() {\n    true\n}\nread -r PROGRAM_OWNER < <(stat --format='%u:%g' /proc/$$)\nexec 3>/dev/null\n"


def run_processes(code: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """`code` behind the prelude, with nothing recorded on this machine; the events of the log go nowhere."""
    return parts.run(PREPARED + code, *arguments, scope="user")


def test_a_process_is_started_known_again_and_ended(tmp_path: Path) -> None:
    file, log = tmp_path / "process", tmp_path / "log"
    code = 'start_process "$1" "$2" "what it is for" env -i A=b sleep 300; printf "%s\\n" "$PROCESS"\n'
    first = run_processes(code, str(file), str(log))
    pid = int(first.stdout)
    try:
        assert (
            linux_service._running(file) == pid
            and file.read_text().split("\n")[1] == "what it is for"
            and file.stat().st_mode & 0o777 == 0o600
        )
        assert wait_until(lambda: Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x00300\x00"), (
            "it is told of before it has become the program"
        )
        assert os.getsid(pid) == pid
        assert sorted(path.name for path in Path(f"/proc/{pid}/fd").iterdir()) == ["0", "1", "2"], (
            "it keeps no descriptor of the script, such as its lock"
        )
        second = int(run_processes(code, str(file), str(log)).stdout)
        assert second != pid and linux_service._running(file) == second and linux_service._start(pid) == ""
        pid = second
        assert run_processes('stop_process "$1"; read_process "$1"; printf "[%s]" "$PROCESS"\n', str(file)).stdout == b"[]"
        assert linux_service._start(pid) == "" and linux_service._running(file) == 0
    finally:
        if linux_service._start(pid):
            os.kill(pid, signal.SIGKILL)


def test_the_server_in_the_background_hears_ctrl_c(tmp_path: Path) -> None:
    """What bash starts with & ignores SIGINT and SIGQUIT, and what a notebook's terminal starts would inherit that."""
    environment = tmp_path / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    (tmp_path / "serve.py").write_text("import time\ntime.sleep(300)\n")
    code = (
        parts.step("service", "user")
        + """
        HOME_FOLDER=$1 WORK_FOLDER=$1/work CONFIGURATION_FOLDER=$1/configuration PROCESS_FILE=$1/process PROCESS_LOG=$1/log
        NOTEBOOK_PYTHON=$1/env/bin/python NOTEBOOK_FILE=/none STARTER_FILE=$1/serve.py CERTIFICATE_FILE=/none SERVICE_USER=anna
        process_apply
        printf '%s\\n' "$PROCESS" "${SERVICE_ENVIRONMENT[@]}"
        """
    )
    # As under the bootstrap, which starts the script with & too: bash cannot take back what it began with.
    whole = settings_block({**parts.SETTINGS, "scope": "user"}) + parts.prelude("user") + PREPARED + code
    (tmp_path / "script.sh").write_text(whole)  # too long for an argument
    found = run_processes('trap \'\' INT QUIT\nbash "$1/script.sh" "$1"\n', str(tmp_path))
    pid, *variables = found.stdout.decode().split("\n")[:-1]
    try:
        assert wait_until(
            lambda: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1:3] == [b"-I", bytes(tmp_path / "serve.py")]
        )  # the server itself, of the number that is written down
        status = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        ignored = {number for number in signal.Signals if int(status["SigIgn"], 16) >> (number - 1) & 1}
        assert not ignored & {signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP}
        assert sorted(Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")[:-1]) == sorted(variables)
    finally:
        os.kill(int(pid), signal.SIGKILL)


def test_it_is_started_again_with_the_command_that_it_had(tmp_path: Path) -> None:
    (tmp_path / "serve.py").write_text("import time\ntime.sleep(300)\n")
    code = (
        parts.step("service", "user")
        + """
        XDG_RUNTIME_DIR=$1 HOME_FOLDER=$1 WORK_FOLDER=$1/work CONFIGURATION_FOLDER=$1/configuration PROCESS_FILE=$1/process PROCESS_LOG=$1/log
        NOTEBOOK_PYTHON=$2 NOTEBOOK_FILE=/none STARTER_FILE=$1/serve.py CERTIFICATE_FILE=/none SERVICE_USER=anna RUN_STEP=service
        process_apply
        first=$PROCESS
        if has_current_server; then printf 'current '; fi
        restart_service
        if [[ $PROCESS && $PROCESS != "$first" && $EXIT_CODE == 0 ]]; then printf 'another '; fi
        WORK_FOLDER=$1/other
        exec 3>&1
        { assert_can_restart; } || true
        """
    )
    (tmp_path / "script.sh").write_text(settings_block({**parts.SETTINGS, "scope": "user"}) + parts.prelude("user") + PREPARED + code)
    found = run_processes('bash "$1/script.sh" "$1" "$2"\n', str(tmp_path), sys.executable)
    try:
        said, _, failed = found.stdout.decode().partition("{")
        assert said == "current another " and '"code":"server-other-command"' in failed, (found.stdout, found.stderr)
    finally:
        os.kill(linux_service._running(tmp_path / "process"), signal.SIGKILL)


def test_another_process_of_that_number_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "300"]) as other:
        file = tmp_path / "process"
        for first in (f"{other.pid} 1 some-boot", f"{other.pid}", "", "-1 x", "x"):
            file.write_text(first + "\n")
            assert linux_service._running(file) == 0
            assert run_processes('stop_process "$1"; read_process "$1"; printf "[%s]" "$PROCESS"\n', str(file)).stdout == b"[]"
        assert other.poll() is None
        other.kill()


@pytest.mark.parametrize(("log", "words"), [("", ""), ("one\n", "one\n"), ("1\n2\n3\n4\n", "2\n3\n4\n")])
def test_the_servers_last_words(tmp_path: Path, log: str, words: str) -> None:
    (tmp_path / "log").write_text(log)
    code = "XDG_RUNTIME_DIR=$1 PROCESS_FILE=$1/process PROCESS_LOG=$1/log\nprint_service_log\n"
    assert run_processes(code, str(tmp_path)).stdout.decode().strip("\n") == words.strip("\n")
