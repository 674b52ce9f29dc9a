"""What a person sees of a check, at several widths."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from nbserver.run.finding import Finding
from nbserver.run.result import Result
from nbserver.view.findings import Findings

OK = Finding("port", "ok", "TCP port 22 answers")
LOW = Finding(
    "disk_space", "failed", "the disk that contains /opt has 812 MB of free space, but 2000 MB is required", "Free some disk space"
)
CLOCK = Finding("clock", "warning", "the clocks differ", "Correct the wrong clock")


def shown(*results: Result, columns: int = 80, verbose: bool = False, quiet: bool = False) -> str:
    lines: list[str] = []
    view = Findings(lines.append, verbose, quiet, columns)
    view.begin("check", {result.host: () for result in results})
    for result in results:
        view.host_ended(result)
    view.end()
    view.summary("check", {result.host: result for result in results}, Path("runs"))
    return click.unstyle("\n".join(lines))


ONE = Result("lin1", outcome="failed", findings=[OK, LOW, CLOCK])
TWO = Result("lin2", outcome="ok", findings=[OK])
THREE = Result("lin3", outcome="stopped", error="lin3: stopped before it began")


def test_one_host_has_a_line_for_each_requirement() -> None:
    assert (
        shown(ONE)
        == """\
lin1: 1 failed, 1 warning, 1 ok
  ok       port        TCP port 22 answers
  failed   disk_space  the disk that contains /opt has 812 MB of free space, but
                       2000 MB is required
                       Free some disk space
  warning  clock       the clocks differ
                       Correct the wrong clock

The host is not ready for nbserver apply
Scripts, events, and logs are in runs"""
    )


def test_of_several_hosts_only_what_is_not_ok_is_shown() -> None:
    text = shown(ONE, TWO, THREE)
    assert "TCP port 22" not in text and "disk_space" in text and "\nlin2: 1 ok\n" in text
    assert "lin3: stopped\n  lin3: stopped before it began" in text and "1 of 3 hosts are ready" in text
    assert "\nFailed: disk_space (1)\n" in text
    assert "TCP port 22" in shown(ONE, TWO, verbose=True)


@pytest.mark.parametrize("quiet", [False, True])
def test_a_check_that_broke_off_says_why(quiet: bool) -> None:
    """The findings so far are no reason."""
    cut = Result(
        "lin4", outcome="failed", findings=[OK], error="lin4: the connection was lost", detail={"code": "connection-lost", "values": {}}
    )
    for text in (shown(cut, quiet=quiet), shown(cut, TWO, quiet=quiet)):
        assert text.startswith("lin4: failed, 1 ok\n") and "  lin4: the connection was lost\n" in text + "\n"
    unmet = {"code": "requirements-not-met", "values": {}}
    assert "lin5: the host is not ready" not in shown(
        Result(
            "lin5", findings=[LOW], error="lin5: the host is not ready for nbserver apply; requirements not met: disk_space", detail=unmet
        )
    )
    lost = Finding("port", "failed", "refused", "Start it", {"code": "refused", "values": {}})
    assert shown(Result("lin6", findings=[lost], error="lin6: refused. Start it", detail=dict(lost.detail))).count("refused") == 1


def test_quiet_is_what_failed() -> None:
    text = shown(ONE, TWO, quiet=True)
    assert "disk_space" in text and "clock" not in text and "lin2" not in text and "ready" not in text


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    assert max(map(len, shown(ONE, columns=columns).splitlines())) <= columns


def test_many_unreachable_hosts_have_one_reason() -> None:
    def refused(number: int) -> Result:
        said = f"web{number}: 192.0.2.{number}:22 refused the connection. Start sshd"
        detail = {"code": "connection-refused", "values": {"address": f"192.0.2.{number}"}}
        found = Finding("port", "failed", f"192.0.2.{number}:22 refused the connection", "Start sshd", detail)
        return Result(f"web{number}", outcome="unreachable", error=said, detail=detail, findings=[found])

    text = shown(*map(refused, range(1, 6)), TWO)
    assert "web3: 1 failed" in text and "web4: 1 failed" not in text
    assert "\n5 hosts for the same reason: web1, web2, web3, web4, web5\n    web1: 192.0.2.1:22 refused the connection" in text
    assert "1 of 6 hosts are ready" in text and "Failed: port (5)" in text
    assert "for the same reason" not in shown(*map(refused, range(1, 4)))
    assert "web4: 1 failed" in shown(*map(refused, range(1, 6)), verbose=True)
