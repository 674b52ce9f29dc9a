"""What an SSH host that does not start the script is said to have done."""

from __future__ import annotations

import pytest

from nbserver.inventory.linux_host import LinuxHost
from nbserver.transports.ssh.errors import not_started

HOST = LinuxHost.model_validate(
    {"name": "l1", "system": "linux", "address": "l1", "user": "anna", "connect_timeout": 7, "notebook": {"password": {"env": "N"}}}
)


@pytest.mark.parametrize(
    ("code", "words", "expected"),
    [
        (None, "", "l1: the host's shell did not start the script: no output within 7 s."),
        (None, "motd", "l1: the host's shell did not start the script: motd."),
        (7, "", "l1: the host's shell did not start the script: exit code 7, no error output."),
        (127, "bash: not found", "l1: bash is not installed on the host: bash: not found."),
    ],
)
def test_a_host_that_does_not_start_the_script(code: int | None, words: str, expected: str) -> None:
    assert str(not_started(HOST, code, words, sudo=False)).startswith(expected)
