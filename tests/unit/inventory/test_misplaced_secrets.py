"""A secret where nobody expects one: no message repeats it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.inventory.test_reader import GOOD, SECRET, refusal

# A secret where nobody expects one: as a value of any kind, as a key, as a path, and in text that is no TOML.
MISPLACED = [
    *(
        f'{key} = "{SECRET}"'
        for key in (
            "system",
            "auth",
            "transport",
            "tls",
            "windows",
            "architecture",
            "reboot",
            "ca_file",
            "catalog",
            "proxy",
            "fingerprint",
            "port",
            "password",
        )
    ),
    *(
        f'{key} = "{SECRET}"'
        for key in (
            "notebook.ip",
            "notebook.password",
            "notebook.session",
            "notebook.public_url",
            "python.version",
            "python.kind",
            "packages.installer",
        )
    ),
    *(f'{key} = "{SECRET}"' for key in ("certificate.key", "firewall.remote_addresses", "skip", "path.entries")),
    *(f'{key} = "{SECRET * 30}"' for key in ("ca_file", "catalog", "packages.lock")),  # too long for the name of a file
    f'skip = ["{SECRET}"]',
    f'firewall.remote_addresses = ["{SECRET}"]',
    f"certificate.key = {{ {SECRET} = true }}",
    f'password = {{ {SECRET} = "x" }}',
    f"{SECRET} = true",
    f'"{SECRET} x" = 1',
    f"notebook.{SECRET} = 1",
    f'password.{SECRET} = "A"',
    f"{SECRET}.address = 1",
    f"[hosts.win1.{SECRET}]\nx = 1",
    f"[{SECRET}]\nx = 1",
    f"[hosts]\n{SECRET} = 1",
    f'[hosts."{SECRET} !"]\nsystem = "windows"',
    f"[groups.lab]\nhosts = ['{SECRET}']",
    f"[groups.lab]\nhosts = '{SECRET}'",
    f"{SECRET} = 1\n{SECRET} = 2",
    f"tls = {SECRET}",
    f'"{SECRET}',
    f"{SECRET}",
    f'user = "{SECRET}" {SECRET}',
    f"[{SECRET}.a]\n[{SECRET}.a]",
    f"x.{SECRET} = 1\n[hosts.win1.x.{SECRET}]",
]


@pytest.mark.parametrize("text", MISPLACED)
def test_a_secret_in_an_unlikely_place_is_not_repeated(tmp_path: Path, text: str) -> None:
    refusal(tmp_path, GOOD + text + "\n")


def test_a_number_that_is_a_secret_is_not_repeated(tmp_path: Path) -> None:
    assert "271828" not in refusal(tmp_path, GOOD + "port = 271828\nnotebook.session = 271828\n")
