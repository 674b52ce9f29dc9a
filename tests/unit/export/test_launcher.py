"""The launchers: short, published, and followed by nothing but the packed script."""

from __future__ import annotations

import hashlib
import re

import pytest

from nbserver.base.errors import UsageError
from nbserver.export import launcher
from nbserver.render.script import Script
from tests.unit.export.unpacked import unpacked

CODE = "'a'\n# the second line\n"
HASH = hashlib.sha256(CODE.encode()).hexdigest()


def script(extension: str) -> Script:
    return Script("a", (CODE,), {}, (), HASH, "", extension)


@pytest.mark.parametrize("extension", ["ps1", "sh"])
def test_it_is_short(extension: str) -> None:
    text = launcher.launcher(extension)
    assert text.count("\n") <= 50 and max(map(len, text.splitlines())) <= 120
    assert launcher.launcher_sha256(extension) == hashlib.sha256(text.encode("ascii")).hexdigest()


def test_the_script_follows_unchanged() -> None:
    for found, extension in ((launcher.windows(script("ps1"), mode="apply"), "ps1"), (launcher.linux(script("sh"), mode="apply"), "sh")):
        text = found.decode("ascii")
        assert text.startswith(launcher.launcher(extension)) and HASH in text
        assert unpacked(text) == CODE.encode()


def test_the_same_script_is_packed_into_the_same_bytes() -> None:
    assert launcher.packed(b"a" * 1000) == launcher.packed(b"a" * 1000)


def test_what_an_admin_names_stays_data() -> None:
    text = launcher.linux(script("sh"), mode="apply", hash_command="echo 'a'\nid").decode()
    assert re.search(rf"^launch apply {HASH} \$'echo \\047a\\047\\012id' <<'END'$", text, re.MULTILINE)
    text = launcher.windows(script("ps1"), mode="test", hash_file=r"C:\it's\hash", log="%ProgramData%\\a").decode()
    assert f"Start-Packed 'test' '{HASH}' 'C:\\it''s\\hash' '%ProgramData%\\a' @'\n" in text


@pytest.mark.parametrize("path", ["C:\\\u00e9", "C:\\a\nb", "C:\\\u2019"])
def test_a_path_that_the_file_cannot_have_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="ASCII"):
        launcher.windows(script("ps1"), mode="apply", hash_file=path)
