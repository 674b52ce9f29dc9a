"""The units of both scopes, as a real systemd reads them."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.linux import parts
from tests.tier import examples

SYSTEMD = Path("/usr/lib/systemd/systemd")
NOBODY = 65534
# What is a user's name is for their directory to say: a domain and a backslash in winbind's, spaces in others.
NAMES = (
    st.text(
        st.characters(min_codepoint=0x20, blacklist_characters=":/\x7f", blacklist_categories=("Cc", "Cs", "Zl", "Zp")),
        min_size=1,
        max_size=40,
    )
    .map(str.strip)
    .filter(bool)
)


@pytest.fixture(scope="module")
def units() -> Iterator[Path]:
    """A folder of units that a systemd without rights can read: it does not look at units as root."""
    if not SYSTEMD.exists() or not shutil.which("setpriv"):
        pytest.skip("to read a unit back needs systemd (the Debian package) and setpriv")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "run").mkdir(mode=0o700)
        (folder / "default.target").write_text("[Unit]\nWants=nbserver.service\n")
        if not os.geteuid():
            os.chown(folder / "run", NOBODY, NOBODY)
            folder.chmod(0o755)
        yield folder


def user_unit(user: str, home: str) -> str:
    code = (
        parts.step("service", "user")
        + """
        SERVICE_USER=$1 HOME_FOLDER=$2 WORK_FOLDER=$2/work CONFIGURATION_FOLDER=$2/configuration
        NOTEBOOK_PYTHON=$2/env/bin/python NOTEBOOK_FILE=$2/configuration/file STARTER_FILE=$2/configuration/serve.py CERTIFICATE_FILE=/none
        unit_text
        printf '%s' "$REPLY"
        """
    )
    done = parts.run(code, user, home, scope="user")
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def read_back(units: Path, text: str) -> tuple[str, dict[str, str]]:
    """(its command, its variables) as systemd has them after it read the unit. It may have no complaint."""
    (units / "nbserver.service").write_text(text, encoding="utf-8")
    (units / "nbserver.service").chmod(0o644)
    less = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"] if not os.geteuid() else []
    variables = {"HOME": "/nonexistent", "XDG_RUNTIME_DIR": str(units / "run"), "SYSTEMD_UNIT_PATH": str(units), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([*less, str(SYSTEMD), "--user", "--test"], env=variables, capture_output=True, text=True, check=False)
    assert "nbserver.service:" in done.stdout, done.stderr
    assert not re.search(r"nbserver\.service:\d+:", done.stderr), done.stderr
    part = done.stdout.partition("-> Unit nbserver.service:")[2].partition("-> Unit ")[0]
    (command,) = re.findall(r"^\t+Command Line: (.*)$", part, re.MULTILINE)
    return command, dict(line.split("=", 1) for line in re.findall(r"^\t+Environment: (.*)$", part, re.MULTILINE))


@examples(20)
@given(user=NAMES, home=st.just("/home/CORP/peter"))
@example(user="CORP\\peter", home="/home/j\u00e9r\u00f4me b\u00e4r")
@example(user='100% "peter"', home="/home/a;b&c (d) *,#=")
@example(user="o'neil $HOME %h\\n", home="/home/\u65e5\u672c")
def test_systemd_reads_every_variable_whoever_the_user_is(units: Path, user: str, home: str) -> None:
    command, variables = read_back(units, user_unit(user, home))
    words = [f"{home}/env/bin/python", "-I", f"{home}/configuration/serve.py", f"{home}/configuration/file", f"{home}/work"]
    assert shlex.split(command) == words
    assert variables["USER"] == user and variables["HOME"] == home
    assert len(variables) == 5


def machine_unit(code: str) -> str:
    files = "NOTEBOOK_PYTHON=/opt/nbserver/env/bin/python NOTEBOOK_FILE=/none STARTER_FILE=/none CERTIFICATE_FILE=/none\n"
    done = parts.run(f"{parts.step('service')}{files}{code}\nunit_text\nprintf '%s' \"$REPLY\"\n")
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_the_machines_unit_has_the_limits_of_the_settings() -> None:
    lines = machine_unit("").splitlines()
    assert {"MemoryMax=90%", "TasksMax=15%", "OOMPolicy=continue"} <= set(lines) and not any(line.startswith("CPUQuota") for line in lines)
    lines = machine_unit("NB_SERVICE_MEMORY_MAX=2G NB_SERVICE_TASKS_MAX=512 NB_SERVICE_CPU_QUOTA=150%").splitlines()
    assert {"MemoryMax=2G", "TasksMax=512", "CPUQuota=150%"} <= set(lines)
    assert {"InaccessiblePaths=-/run/dbus", "TemporaryFileSystem=/dev/shm:mode=1777,nosuid,nodev"} <= set(lines), "nothing leaves the unit"
    assert any(line.startswith('RequiresMountsFor="/') for line in lines), "the disk of the notebooks is there first"


def test_a_host_without_user_namespaces_gets_a_unit_that_starts() -> None:
    assert "PrivateUsers=yes" in machine_unit("can_have_own_users() { return 0; }").splitlines()
    assert "PrivateUsers" not in machine_unit("can_have_own_users() { return 1; }")


@pytest.mark.parametrize(("port", "rating"), [(9999, 13), (443, 17)])
def test_the_machines_unit_is_shut_but_for_what_programs_ask_of_the_kernel(tmp_path: Path, port: int, rating: int) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("rating a unit needs systemd-analyze")
    (tmp_path / "nbserver.service").write_text(machine_unit(f"NB_NOTEBOOK_PORT={port}"))
    done = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=true",
            "--no-pager",
            f"--threshold={rating}",
            "--json=short",
            str(tmp_path / "nbserver.service"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    is_set = {row["json_field"]: row["set"] for row in json.loads(done.stdout)}
    # free, psutil and joblib read /proc/meminfo, /proc/stat and /proc/cpuinfo; others' processes are not for them.
    assert (is_set["ProcSubset"], is_set["ProtectProc"]) == (False, True)
    assert is_set["PrivateUsers"] is (port == 9999), "a capability of such a unit does not count for a port of the host"


def test_a_unit_that_runs_is_recorded_before_it_is_stopped(tmp_path: Path) -> None:
    """Else undo would not start it again."""
    (tmp_path / "nbserver.service").write_text("[Unit]\n")
    code = (
        parts.step("service")
        + """
        STATE=active UNIT_FOLDER=$1 RUN_STEP=service
        is_unit() { return 0; }
        read_unit() { UNIT=([UnitFileState]=enabled [ActiveState]=$STATE); }
        run_program() { if [[ $* == *' stop '* ]]; then STATE=inactive; fi; }
        copy_aside() { REPLY=copy; }
        write_record() { return 0; }
        write_whole() { return 0; }
        unit_text() { REPLY=; }
        service_apply
        printf '%s\\n' "${RECORD[@]}" >&2
        """
    )
    done = parts.run(code, str(tmp_path))
    assert json.loads(done.stderr)["before"] == "enabled active copy"


def test_a_unit_that_others_could_change_is_reported(tmp_path: Path) -> None:
    """It says what the system runs, and as whom."""
    unit = tmp_path / "nbserver.service"
    unit.write_text("[Unit]\n")
    code = """
        UNIT_FOLDER=$1
        unit_text() { REPLY=$'[Unit]\\n'; }
        read_unit() { UNIT=([UnitFileState]=enabled [ActiveState]=active); }
        for mode in 644 666; do chmod $mode "$1/nbserver.service"; DIFFERENCES=(); compare_unit; printf '%s\\n' "${DIFFERENCES[*]:3}"; done
        """
    done = parts.run(code, str(tmp_path), scope="user")
    number = f"{os.geteuid()}:{os.getegid()}"
    assert done.stdout.decode().splitlines() == ["", f"{number} 666 {number} 644"], done.stderr
