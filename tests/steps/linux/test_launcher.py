"""The launcher on Linux, started as the agent of Azure starts it: a file as root, and parameters in the environment."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from nbserver.export import launcher
from nbserver.render.script import Script
from tests.unit.export.test_azure import exported, run_command

SECRET = "argon2:$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA it's"
# Says what it was given, and in which places another process could see the secret.
CODE = """\
printf '%s\\n' "$*" "$(</dev/stdin)" "$(stat -c '%a %U' .)"
tr '\\0' '\\n' </proc/$$/environ | grep -c argon2 || true
pwd
exit "${CODE:-0}"
"""


def script(code: str = CODE, sha256: str = "") -> Script:
    return Script("a", (code,), {}, (), sha256 or hashlib.sha256(code.encode()).hexdigest(), "", "sh")


def run(folder: Path, launched: bytes, **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs the file as run-command-handler-linux does (internal/exec/exec.go): its path is the text of `bash -c`."""
    file = folder / "script.sh"
    file.write_bytes(launched)
    file.chmod(0o500)
    environment = {"PATH": os.environ["PATH"], **variables}
    return subprocess.run(
        ["/bin/bash", "-c", str(file)], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def parameters(found: Mapping[str, object], **values: str) -> dict[str, str]:
    """The parameters of a Run Command with the values that a deployment gives to the template."""
    given = [*found["parameters"], *found["protectedParameters"]]  # type: ignore[misc]
    return {one["name"]: values[one["value"].removeprefix("[parameters('").removesuffix("')]")] for one in given}


def test_it_passes_mode_run_and_secret_as_the_envelope(tmp_path: Path) -> None:
    given = {"NBSERVER_MODE": "apply", "NBSERVER_RUN": "r-1", "NBSERVER_PASSWORD_HASH": f"{SECRET}\r\n"}  # as from a file
    done = run(tmp_path, launcher.linux(script(), mode="test"), **given)
    mode, *envelope, access, seen, folder = done.stdout.splitlines()
    assert (done.returncode, done.stderr, mode, access, seen) == (0, "", "envelope", "700 root", "0")
    assert envelope == ["mode apply", "run r-1", f"secret notebook.password_hash {_base64(SECRET)}"]
    assert not Path(folder).exists() and folder.startswith("/dev/shm/"), "nothing is left"


def test_a_full_disk_is_passed_over(tmp_path: Path) -> None:
    """Code in a notebook may have filled /dev/shm."""
    file = tmp_path / "script.sh"
    file.write_bytes(launcher.linux(script(), mode="test"))
    full = 'mount -t tmpfs -o size=64k tmpfs /dev/shm; head -c 64k /dev/zero >/dev/shm/fill || true; exec bash "$1"'
    done = subprocess.run(["unshare", "--mount", "bash", "-c", full, "full", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout.splitlines()[-1].startswith("/var/tmp/"), done.stderr


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_by_default_it_does_what_the_file_says(tmp_path: Path) -> None:
    command = f"printf %s {json.dumps(SECRET).replace('$', chr(92) + '$')}"
    done = run(tmp_path, launcher.linux(script(), mode="test", hash_command=command))
    assert done.stdout.splitlines()[1:2] == ["mode test"] and "secret" not in done.stdout, "only apply needs the hash"
    done = run(tmp_path, launcher.linux(script(), mode="apply", hash_command=command))
    assert done.stdout.splitlines()[1:3] == ["mode apply", f"secret notebook.password_hash {_base64(SECRET)}"]


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (102, 0), (2, 1), (3, 3), (1, 3)])
def test_the_exit_code_is_one_that_tools_understand(tmp_path: Path, code: int, expected: int) -> None:
    assert run(tmp_path, launcher.linux(script(), mode="test"), CODE=str(code)).returncode == expected


def test_another_script_does_not_run(tmp_path: Path) -> None:
    done = run(tmp_path, launcher.linux(script(sha256="0" * 64), mode="test"))
    assert (done.returncode, done.stdout) == (3, "") and f"expected {'0' * 64}" in done.stderr
    cut = launcher.linux(script(), mode="test").replace(b"\nEND\n", b"\n")[:-20]
    done = run(tmp_path, cut)
    assert (done.returncode, done.stdout) == (3, "") and "could not be unpacked" in done.stderr


def test_without_the_hash_nothing_is_applied(tmp_path: Path) -> None:
    done = run(tmp_path, launcher.linux(script(), mode="apply", hash_command="exit 7"))
    assert (done.returncode, done.stdout) == (3, "") and "the command that prints the password hash failed" in done.stderr


def test_a_template_runs_the_script_that_it_names(tmp_path: Path) -> None:
    """What the agent does with the template: the script in its file, the parameters in the environment."""
    template, _, rendered = exported("linux")
    command = run_command(template)
    variables = parameters(command, mode="check", run="azure-1", notebookPasswordHash=SECRET)
    done = run(tmp_path, command["source"]["script"].encode("ascii"), **variables)
    started = json.loads(done.stdout.splitlines()[0])
    assert (started["event"], started["mode"], started["run"]) == ("started", "check", "azure-1")
    assert started["script_sha256"] == rendered.sha256 == template["outputs"]["scriptSha256"]["value"]
    assert SECRET not in done.stdout + done.stderr
