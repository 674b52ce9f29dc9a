"""The notebook step: a password hash that is there stays."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.linux import parts

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this machine itself is set up on Linux only")


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
