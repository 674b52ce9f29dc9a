"""Programs that the scripts run: when they start, and which exit code is reported."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from nbserver.render.bash import settings_block
from tests.linux.parts import SETTINGS, prelude, require_bash, run


def test_a_program_starts_after_it_is_noted(tmp_path: Path) -> None:
    """Bash loses the exit code of a process that exits before bash has registered it, so the program waits until then."""
    noted = "note_program() { sleep 0.3; if [[ -e $1 ]]; then printf 'too early\\n'; fi; }"
    done = run(f'{noted.replace("$1", str(tmp_path / "x"))}\nrun_program --accept 0 mkdir -- "$1"', str(tmp_path / "x"))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"") and (tmp_path / "x").exists()


def test_the_exit_code_of_a_program_that_exits_at_once() -> None:
    loop = "for ((i = 0; i < 100; i++)); do run_program --accept '0 3' bash -c 'exit 3'; printf '%s ' \"$EXIT_CODE\"; done"
    assert run(loop).stdout.split() == [b"3"] * 100


def test_a_program_has_no_descriptor_of_the_script() -> None:
    done = run("exec 6</dev/null 8>/dev/null 9>/dev/null; RUN_STEP=x; run_program ls /proc/self/fd")
    # 3 is the folder that ls reads
    assert [json.loads(line)["text"] for line in done.stdout.splitlines()] == ["0", "1", "2", "3"]


def test_nothing_starts_after_the_script_was_killed(tmp_path: Path) -> None:
    marker = tmp_path / "x"
    code = 'note_program() { kill -KILL "$$"; }\nrun_program mkdir -- "$1"'
    script = tmp_path / "script.sh"
    script.write_text(f"{settings_block(SETTINGS)}{prelude()}exec 3>&1\n{code}", encoding="ascii")
    # The output ends when the child that would become the program has exited, too.
    done = subprocess.run([require_bash(), str(script), str(marker)], capture_output=True, check=False, timeout=60)
    assert done.returncode == -9 and not marker.exists()
