"""The bootstrap for SSH: its published hash, and what it does with its input, however that comes and wherever it ends."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nbserver.transports.payload import Payload
from nbserver.transports.ssh.bootstrap import READY, STOP, bootstrap, command, standard_input
from tests import golden
from tests.checkout import CHECKOUT

pytestmark = pytest.mark.skipif(sys.platform != "linux" or not shutil.which("bash"), reason="the bootstrap for Linux needs Linux with bash")

FILE = CHECKOUT / "linux_scripts" / "bootstrap.sh"
SCRIPT = 'printf "%s " "$1"; while IFS= read -r line; do printf "[%s]" "$line"; done; printf "\\n"; exit 2\n'
ENVELOPE = ["mode test", "run 1", "secret a.b c2VjcmV0"]
GOOD = standard_input(SCRIPT, ENVELOPE)
SAID = "envelope " + "".join(f"[{line}]" for line in ENVELOPE)


def words(script: str) -> list[str]:
    """The command's words after sudo's, as a shell reads them."""
    code = script.encode("ascii")
    return ["bash", "-p", "-c", bootstrap(), "nbserver", str(len(code)), hashlib.sha256(code).hexdigest()]


def start(folder: Path, script: str = SCRIPT) -> subprocess.Popen[bytes]:
    """The bootstrap, with its files in `folder`."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(words(script), env={**os.environ, "TMPDIR": str(folder)}, bufsize=0, **pipes)  # type: ignore[call-overload]


def feed(folder: Path, data: bytes, script: str = SCRIPT) -> tuple[int, str, str]:
    """Exit code, output behind its word that it is ready, and complaint."""
    process = start(folder, script)
    out, err = process.communicate(data, timeout=600)
    before, ready, rest = out.partition(READY)
    assert ready and not before
    return process.returncode, rest.decode("ascii"), err.decode("ascii")


# -- what is published


def test_the_published_hash_is_its_own() -> None:
    assert hashlib.sha256(FILE.read_bytes()).hexdigest() in golden.PUBLISHED.read_text("utf-8")


def test_any_shell_hands_it_on_as_it_is(tmp_path: Path) -> None:
    """It stands between single quotes in the command line; fish would also take a backslash before one or before another one."""
    assert "'" not in bootstrap() and "\\\\" not in bootstrap() and bootstrap().isascii()
    for shell in filter(shutil.which, ("sh", "bash", "dash", "zsh", "fish")):
        done = subprocess.run(
            [shell, "-c", command(SCRIPT, sudo=False)],
            input=GOOD,
            capture_output=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
            timeout=600,
            check=False,
        )
        assert (done.returncode, done.stdout) == (2, READY + f"{SAID}\n".encode()), shell


def test_it_is_in_the_command_word_for_word() -> None:
    assert f"bash -p -c '{FILE.read_text()}' nbserver {len(SCRIPT)} " in command(SCRIPT, sudo=True)


def test_a_full_disk_is_passed_over(tmp_path: Path) -> None:
    """Code in a notebook may have filled /dev/shm, and must not keep out whoever wants to end it."""
    full = 'for folder in "$TMPDIR" /dev/shm; do mount -t tmpfs -o size=64k tmpfs "$folder"; head -c 64k /dev/zero >"$folder/fill"; done; exec "$@"'
    asked = [*words(code := SCRIPT.replace("exit 2", "pwd; exit 2"))]
    command_line = ["unshare", "--mount", "bash", "-c", full, "full", *asked]
    done = subprocess.run(
        command_line, input=standard_input(code, ENVELOPE), env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, check=False
    )
    assert done.returncode == 2 and done.stdout.splitlines()[-1].startswith(b"/tmp/tmp."), done.stderr


def test_a_disk_without_space_for_the_data_is_passed_over(tmp_path: Path) -> None:
    """In a container, /dev/shm can be much smaller than the files of one run."""
    small = 'for folder in "$TMPDIR" /dev/shm; do mount -t tmpfs -o size=300k tmpfs "$folder"; done; exec "$@"'
    code, data = SCRIPT.replace("exit 2", "pwd; sha256sum <data; exit 2"), Payload.of(bytes(range(256)) * 4000)
    sent = b"".join([standard_input(code, ENVELOPE, data), *data.blocks()])
    asked = ["unshare", "--mount", "bash", "-c", small, "small", *words(code)]
    done = subprocess.run(asked, input=sent, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, check=False)
    place, digest = done.stdout.splitlines()[-2:]
    assert done.returncode == 2 and place.startswith(b"/tmp/tmp."), done.stderr
    assert digest.split()[0].decode() == hashlib.sha256(b"".join(data.blocks())).hexdigest()


# -- its input


def test_the_script_runs_with_its_envelope(tmp_path: Path) -> None:
    assert feed(tmp_path, GOOD) == (2, f"{SAID}\n", "")
    assert not list(tmp_path.iterdir())


def test_what_comes_before_the_script_is_skipped(tmp_path: Path) -> None:
    """A password that nobody asked for is never taken for the script, and never said again."""
    assert feed(tmp_path, b"Canary-Sudo\n" + GOOD) == (2, f"{SAID}\n", "")


OTHER: Mapping[str, tuple[bytes, str]] = {
    "one byte is different": (GOOD.replace(b"exit 2", b"exit 3"), "the SHA-256 of the script is [0-9a-f]{64}, expected [0-9a-f]{64}"),
    "one byte is missing": (GOOD.replace(b"exit 2", b"exit2"), "the SHA-256 of the script is [0-9a-f]{64}, expected [0-9a-f]{64}"),
    "a byte is zero": (GOOD.replace(b"exit 2", b"exit\x002"), "the SHA-256 of the script is [0-9a-f]{64}, expected [0-9a-f]{64}"),
    "it ends in the script": (GOOD[:50], rf"the input ended after \d+ of {len(SCRIPT)} bytes of the script"),
    "it ends in the envelope": (GOOD.replace(b"nbserver start\n", b""), "the input ended before the end of the envelope"),
    "it ends in the last line": (GOOD[:-1], "the input ended before the end of the envelope"),
    "there is no script": (b"mode apply\n", "the input does not begin with a script"),
    "there is no input": (b"", "the input does not begin with a script"),
}


@pytest.mark.parametrize("name", OTHER)
def test_other_input_starts_nothing(tmp_path: Path, name: str) -> None:
    data, complaint = OTHER[name]
    code, out, err = feed(tmp_path, data)
    assert (code, out) == (1, "") and re.fullmatch(complaint, err.strip(), re.MULTILINE)
    assert not list(tmp_path.iterdir()), "nothing was written"


@pytest.mark.parametrize("arguments", [[], ["12"], ["0", "a" * 64], ["12", "A" * 64], ["99999999", "a" * 64], ["$(id)", "a" * 64]], ids=str)
def test_other_arguments_are_refused(arguments: Sequence[str]) -> None:
    done = subprocess.run(["bash", "-p", "-c", bootstrap(), "nbserver", *arguments], input=GOOD, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (1, b"") and done.stderr.startswith(b"usage: ")


def test_input_that_ends_at_any_byte_starts_nothing(tmp_path: Path) -> None:
    """Only the last byte starts the script; then it runs, with its whole envelope."""

    def ran(size: int) -> bool:
        folder = tmp_path / str(size)
        folder.mkdir()
        code, out, _ = feed(folder, GOOD[:size])
        assert (code, out) in ((1, ""), (2, f"{SAID}\n")) and not list(folder.iterdir())
        return code == 2

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ran, range(len(GOOD) + 1))) == [False] * len(GOOD) + [True]


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_input_that_dribbles_is_read_to_the_byte(tmp_path: Path, size: int) -> None:
    """The envelope is not touched by the reading of the script, however the bytes come."""
    script = f"# {'x' * 9000}\n{SCRIPT}" if size > 1 else SCRIPT
    data = standard_input(script, ENVELOPE)
    process = start(tmp_path, script)
    assert process.stdin
    for at in range(0, len(data), size):
        process.stdin.write(data[at : at + size])
        process.stdin.flush()
        time.sleep(0.001)
    out, err = process.communicate(timeout=600)
    assert (process.returncode, out, err) == (2, READY + f"{SAID}\n".encode(), b"")


# -- what runs it, and where


@pytest.mark.parametrize("shell", ["csh", "tcsh"])
def test_csh_runs_no_line_of_it(tmp_path: Path, shell: str) -> None:
    """csh takes each line for a command. One of them would print the ready line, and another one would create files."""
    if not shutil.which(shell):
        pytest.skip(f"needs {shell} (Debian package tcsh)")
    done = subprocess.run(
        [shell, "-c", command(SCRIPT, sudo=True)], input=GOOD, capture_output=True, cwd=tmp_path, timeout=600, check=False
    )
    assert (done.returncode, done.stdout) == (97, b"") and not list(tmp_path.iterdir())


def test_a_shell_that_shows_its_commands_does_not_print_the_ready_line() -> None:
    assert READY.decode().strip() not in bootstrap()


@pytest.mark.parametrize("shell", [shell for shell in ("dash", "zsh") if shutil.which(shell)])
def test_only_bash_is_ready(shell: str) -> None:
    """As a host's `bash` that is something else."""
    done = subprocess.run([shell, "-c", bootstrap(), "nbserver", "9", "a" * 64], input=GOOD, capture_output=True, timeout=600, check=False)
    assert READY not in done.stdout and done.returncode != 0


def test_programs_must_start_before_it_is_ready(tmp_path: Path) -> None:
    done = subprocess.run(
        [shutil.which("bash") or "", *words(SCRIPT)[1:]], input=GOOD, capture_output=True, env={"PATH": str(tmp_path)}, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"") and b"bash cannot start sha256sum" in done.stderr


@pytest.mark.parametrize("folder", ["gone", "file", "", "read-only"])
def test_a_temporary_folder_that_cannot_be_used_is_not_used(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    where = {"": "", "read-only": "/proc"}.get(folder, str(tmp_path / folder))
    script = 'printf "%s %s\\n" "${TMPDIR-none}" "$PWD"; exit 2\n'
    done = subprocess.run(
        words(script), input=standard_input(script, ENVELOPE), capture_output=True, env={**os.environ, "TMPDIR": where}, check=False
    )
    assert done.returncode == 2 and done.stdout.removeprefix(READY).startswith(b"none /dev/shm/tmp."), done


# -- somebody else may write where TMPDIR points to, and is quick

OTHER_SCRIPT = 'printf "the script of somebody else\\n"; exit 4'
QUICK: Mapping[str, tuple[str, str, tuple[int, str, str]]] = {
    "another folder takes its place before it is used": (
        "mktemp",
        'folder=$(MKTEMP "$@"); chmod 777 "$folder"; printf "%s\\n" "$folder"',
        (1, "", "another user changed the new folder in TMPDIR. Set TMPDIR to a folder where only you can write"),
    ),
    "a folder of root's takes its place, with files in it": (
        "mktemp",
        'folder=$(MKTEMP "$@"); : >"$folder/output"; printf "%s\\n" "$folder"',
        (1, "", "another user changed the new folder in TMPDIR. Set TMPDIR to a folder where only you can write"),
    ),
    "another folder takes its place when the script is in it": (
        "setsid",
        'for folder in "$TMPDIR"/tmp.*; do mv "$folder" "$folder.gone"; mkdir "$folder"; printf %s OTHER >"$folder/nbserver.sh"; done; exec SETSID "$@"',
        (2, f"{SAID}\n", ""),
    ),
}


@pytest.mark.parametrize("name", QUICK)
def test_only_the_script_that_was_compared_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    program, code, expected = QUICK[name]
    folder, stand_in = tmp_path / "tmp", tmp_path / "bin" / program
    folder.mkdir()
    stand_in.parent.mkdir()
    for word in ("mktemp", "setsid"):
        code = code.replace(word.upper(), str(shutil.which(word)))
    stand_in.write_text("#!/bin/bash\n" + code.replace("OTHER", shlex.quote(OTHER_SCRIPT)) + "\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    code_, out, err = feed(folder, GOOD)
    assert (code_, out, err.strip()) == expected


# -- the run

WAITS = """\
trap 'printf "stopped\\n"; exit 3' TERM
[[ $1 == envelope ]]
while IFS= read -r line; do :; done
printf '%s %s %s\\n' "$PWD/${0##*/}" "$(stat -c %a "${0%/*}")" "$(cut -d" " -f6 /proc/$$/stat)"
printf 'no line end'
until [[ -e GO ]]; do sleep 0.05; done
printf ' and its rest\\n'
: >DONE
exit 102
"""


class Waiting:
    """The bootstrap with a script that waits for a file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.go, self.done = folder, folder / "go", folder / "done"
        (folder / "tmp").mkdir()
        script = WAITS.replace("GO", str(self.go)).replace("DONE", str(self.done))
        self.process = start(folder / "tmp", script)
        assert self.process.stdin and self.process.stdout
        self.stdin, self.stdout = self.process.stdin, self.process.stdout
        self.stdin.write(standard_input(script, ENVELOPE))
        self.stdin.flush()
        assert self.stdout.readline() == READY
        file, self.mode, self.session = self.stdout.readline().decode().split()
        self.file = Path(file)

    def files(self) -> list[Path]:
        return list((self.folder / "tmp").iterdir())


def until(folder: Path, true: object) -> bool:
    ends = time.monotonic() + 120
    while time.monotonic() < ends:
        if true():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


def test_output_comes_as_it_is_written_to_the_byte(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path)
    assert os.read(waiting.stdout.fileno(), 100) == b"no line end"
    waiting.go.touch()
    assert waiting.stdout.read() == b" and its rest\n" and waiting.process.wait(600) == 102
    assert not waiting.files()


def test_its_files_are_for_its_user_only_and_the_envelope_is_in_none(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path)
    assert waiting.mode == "700" and waiting.file.parent.parent == tmp_path / "tmp"
    assert {path.name for path in waiting.file.parent.iterdir()} == {"nbserver.sh", "data", "output", "errors"}
    assert not any(ENVELOPE[-1].encode() in path.read_bytes() for path in waiting.file.parent.iterdir())
    waiting.go.touch()
    assert waiting.process.wait(600) == 102


def test_the_script_is_in_a_session_of_its_own(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path)
    assert int(waiting.session) not in (os.getsid(0), os.getsid(waiting.process.pid))
    waiting.go.touch()
    assert waiting.process.wait(600) == 102


def test_it_goes_on_without_anybody_who_listens(tmp_path: Path) -> None:
    """As when the connection is lost: both ends are closed. The folder is removed all the same."""
    waiting = Waiting(tmp_path)
    waiting.stdin.close()
    waiting.stdout.close()
    waiting.process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert waiting.file.exists()
    waiting.go.touch()
    assert until(tmp_path, waiting.done.exists) and until(tmp_path, lambda: not waiting.files())
    assert waiting.process.wait(600) == 102


def test_the_script_goes_on_when_the_bootstrap_is_killed(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path)
    waiting.process.kill()
    waiting.process.wait(600)
    waiting.go.touch()
    assert until(tmp_path, waiting.done.exists)


@pytest.mark.parametrize("pause", [0.0, 0.2], ids=["at once", "in two parts"])
def test_stop_is_sigterm_for_the_script(tmp_path: Path, pause: float) -> None:
    """On a busy host, the bootstrap's time for a line may be over in the middle of it."""
    waiting = Waiting(tmp_path)
    waiting.stdin.write(b"something else\n" + STOP[:7])
    waiting.stdin.flush()
    time.sleep(pause)
    waiting.stdin.write(STOP[7:])
    waiting.stdin.flush()
    assert waiting.stdout.read() == b"no line endstopped\n" and waiting.process.wait(600) == 3
    assert not waiting.files() and not waiting.done.exists()


def test_complaints_come_at_the_end_and_apart(tmp_path: Path) -> None:
    script = 'printf "oops\\n" >&2\nprintf "out\\n"\nunheard_of_command\n'
    code, out, err = feed(tmp_path, standard_input(script, ENVELOPE), script)
    assert (code, out) == (127, "out\n") and err.startswith("oops\n") and "unheard_of_command" in err


def test_much_output_comes_whole(tmp_path: Path) -> None:
    script = "seq 200000\n"
    code, out, _ = feed(tmp_path, standard_input(script, ENVELOPE), script)
    assert code == 0 and out == "".join(f"{n}\n" for n in range(1, 200001))
