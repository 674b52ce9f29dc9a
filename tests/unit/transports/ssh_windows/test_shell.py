"""Which shell has answered, and what it is given to run."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.transports.payload import Payload
from nbserver.transports.ssh_windows.bootstrap import whole_input
from nbserver.transports.ssh_windows.shell import command, is_unix, shell_of


@pytest.mark.parametrize(
    ("output", "shell"),
    [
        (b"nbserver in Windows_NT $PSHOME\r\n", "cmd"),
        (b"Bonjour\r\nnbserver in Windows_NT $PSHOME\r\n", "cmd"),
        (b"nbserver\r\nin\r\n%OS%\r\nC:\\Windows\\System32\\WindowsPowerShell\\v1.0\r\n", "powershell"),
        (b"\x82\r\nnbserver\nin\n%OS%\nc:\\program files\\powershell\\7\n", "powershell"),
        (b"nbserver in %OS%\n", None),
        (b"nbserver in %OS% \r\n", None),
        (b"nbserver\r\nin\r\n%OS%\r\n/opt/microsoft/powershell/7\r\n", None),
        (b"echo nbserver in %OS% $PSHOME\r\n", None),
        (b"This service allows sftp connections only.\r\n", None),
        (b"", None),
    ],
)
def test_each_shell_replaces_its_own_variable(output: bytes, shell: str | None) -> None:
    assert shell_of(output) == shell
    assert is_unix(output) == output.startswith(b"nbserver in %OS%")


def test_powershell_passes_standard_input_and_the_exit_code_on() -> None:
    cmd, powershell = command("cmd", "exit 3"), command("powershell", "exit 3")
    encoded = base64.b64encode("exit 3".encode("utf-16-le")).decode()
    assert cmd.startswith(r"%SystemRoot%\System32\WindowsPowerShell\v1.0\powershell ") and cmd.endswith(f" {encoded}")
    assert powershell.startswith(r"$input | & $env:SystemRoot\System32\WindowsPowerShell\v1.0\powershell ")
    assert powershell.endswith(f" {encoded}; exit $LASTEXITCODE")
    assert not set("\"'<>^&") & set(cmd), "nothing that cmd would read in its own way"


@given(
    st.text(st.characters(codec="ascii"), max_size=200),
    st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n")), max_size=4),
    st.binary(max_size=300_000),
)
def test_the_input_is_lines_of_ascii(script: str, envelope: list[str], data: bytes) -> None:
    lines = b"".join(whole_input(script, "0" * 32, envelope, Payload.of(data))).decode("ascii").split("\n")
    first, code, *rest, start, end = lines
    assert (first.split()[0], first.split()[2], start, end) == ("script", "0" * 32, "start", "")
    parts = [base64.b64decode(line).decode("utf-8") for line in rest]
    assert (base64.b64decode(code).decode("ascii"), parts[: len(envelope)]) == (script, envelope)
    assert b"".join(base64.b64decode(part.removeprefix("data ")) for part in parts[len(envelope) :]) == data
