"""When a file was last changed: the text of the unit has it, so the same file must always have the same time."""

from __future__ import annotations

import os
from pathlib import Path

from tests.linux import parts

# As that of Ubuntu 25.10 and 26.04 (uutils before 0.10): a time becomes a floating-point number before it is printed.
STAT = """#!/usr/bin/python3
import os, re, subprocess, sys

form, files = next(word for word in sys.argv if word.startswith("--format=")), sys.argv[sys.argv.index("--") + 1 :]
for file in files:
    about = os.stat(file)
    whole, _, rest = repr(about.st_mtime_ns // 10**9 + about.st_mtime_ns % 10**9 / 1e9).partition(".")
    shown = re.sub("%[.]([0-9])Y", lambda found: f"{whole}.{rest:0<9}"[: len(whole) + 1 + int(found[1])], form)
    subprocess.run(["/usr/bin/stat", "--dereference", shown, "--", file], check=True)
"""
ASK = 'if [[ $2 ]]; then PATH=$2:$PATH; fi\nread_access "$1"\nprintf "%s\\n" "${ACCESS[$1]} ${MODIFIED[$1]}"\n'


def test_another_stat_shows_the_same_time(tmp_path: Path) -> None:
    """After an upgrade of the system, the server would be restarted otherwise. What is rounded up to a whole millisecond still is."""
    file, programs = tmp_path / "file", tmp_path / "programs"
    programs.mkdir()
    (programs / "stat").write_text(STAT)
    (programs / "stat").chmod(0o755)
    file.touch(mode=0o640)
    for nanoseconds in (123456789, 987654321, 0, 4000000, 998999000):
        os.utime(file, ns=(0, 1755300000 * 10**9 + nanoseconds))
        shown = [parts.run(ASK, str(file), folder).stdout for folder in ("", str(programs))]
        assert shown[0] == shown[1] and b" 640 1755300000." in shown[0], (nanoseconds, shown)
