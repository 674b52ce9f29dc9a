"""What `nbserver apply` prints after its summary."""

from __future__ import annotations

import pytest

from nbserver.commands.addresses import MOST, show_addresses
from nbserver.inventory.linux_host import LinuxHost
from nbserver.run.result import Result


def host(name: str, **notebook: object) -> LinuxHost:
    settings = {"password": {"env": "N"}, **notebook}
    return LinuxHost.model_validate({"name": name, "system": "linux", "address": f"{name}.example.com", "user": "u", "notebook": settings})


def result(outcome: str, fingerprint: str = "") -> Result:
    return Result("a", outcome, fingerprint=fingerprint)


def test_each_server_that_is_set_up_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    """The next command does not name a host that failed."""
    hosts = [host("a"), host("longer", port=8443), host("c", public_url="https://notebooks.example.com")]
    show_addresses(hosts, {"a": result("ok", "SHA256:aa"), "longer": result("failed"), "c": result("ok", "SHA256:cc")}, ["web*", "db"])
    assert capsys.readouterr().out == (
        "\na  https://a.example.com:9999  SHA256:aa\nc  https://notebooks.example.com  SHA256:cc\nNext: nbserver verify a c\n"
    )


@pytest.mark.parametrize(("windows", "quoted"), [(False, "'web*' '!web9' db"), (True, '"web*" "!web9" db')])
def test_patterns_are_quoted_for_the_shells_of_the_system(capsys: pytest.CaptureFixture[str], windows: bool, quoted: str) -> None:
    """The prompt of Windows takes an apostrophe for a part of the name."""
    show_addresses([host("web1")], {"web1": result("ok")}, ["web*", "!web9", "db"], windows=windows)
    assert capsys.readouterr().out.splitlines()[-1] == f"Next: nbserver verify {quoted}"


def test_nothing_is_printed_if_no_server_is_set_up(capsys: pytest.CaptureFixture[str]) -> None:
    show_addresses([host("a")], {"a": result("failed")}, ["a"])
    assert capsys.readouterr().out == ""


def test_a_long_list_is_cut_off(capsys: pytest.CaptureFixture[str]) -> None:
    hosts = [host(f"h{number}") for number in range(MOST + 3)]
    show_addresses(hosts, {host.name: result("ok") for host in hosts}, ["all"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[MOST] == f"h{MOST - 1}  https://h{MOST - 1}.example.com:9999" and lines[MOST + 1 :] == [
        "and 3 more servers",
        "Next: nbserver verify all",
    ]
