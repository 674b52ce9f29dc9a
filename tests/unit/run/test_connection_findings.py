"""What a check says of the connection: each requirement up to the first failure, under the name that the error is about."""

from __future__ import annotations

from typing import Any

import pytest

from nbserver.base.message import message
from nbserver.inventory.hosts import AnyHost
from nbserver.inventory.linux_host import LinuxHost
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.inventory.ssh_server import SshServer
from nbserver.inventory.windows_host import WindowsHost
from nbserver.run import connection_findings, error_kind
from nbserver.run.finding import Finding
from nbserver.run.result import Result

BASTION = SshServer("bastion", "192.0.2.1", "anna")
LEAST: dict[str, Any] = {"notebook": {"password": {"env": "X"}}}
LINUX = LinuxHost.model_validate({**LEAST, "name": "lin1", "system": "linux", "address": "192.0.2.7", "user": "anna"})
WINDOWS = WindowsHost.model_validate(
    {**LEAST, "name": "win1", "system": "windows", "address": "localhost", "user": "WIN1\\anna", "password": {"env": "X"}}
)

WINDOWS_SSH = WINDOWS.model_copy(update={"transport": "ssh", "port": 22})
HOPS = LINUX.model_copy(update={"hops": (BASTION,)})
WINDOWS_HOPS = WINDOWS.model_copy(update={"hops": (BASTION,)})


def found(host: AnyHost, code: str = "", outcome: str = "unreachable", **values: Any) -> list[tuple[str, str]]:
    result = Result(host.name, outcome=outcome if code else "ok")
    if code:
        result.because(message(code, "{host}: it failed. Try something else", host=host.name, **values))
    return [(finding.name, finding.state) for finding in connection_findings.findings(host, result)]


def test_everything_about_a_connection_is_ok_if_the_script_ran() -> None:
    assert found(LINUX) == [("port", "ok"), ("host_key", "ok"), ("logon", "ok"), ("sudo", "ok")]
    assert found(WINDOWS) == [("name", "ok"), ("port", "ok"), ("tls", "ok"), ("logon", "ok")]
    assert found(WINDOWS_SSH) == [("name", "ok"), ("port", "ok"), ("host_key", "ok"), ("logon", "ok")]
    assert found(HOPS) == [("jump", "ok"), ("port", "ok"), ("host_key", "ok"), ("logon", "ok"), ("sudo", "ok")]
    assert found(LocalLinuxHost()) == []


@pytest.mark.parametrize(
    ("host", "code", "name"),
    [
        (WINDOWS, "name-not-resolved", "name"),
        (LINUX, "ssh-nothing-listening", "port"),
        (LINUX, "host-key-changed", "host_key"),
        (WINDOWS, "tls-needed", "tls"),
        (WINDOWS, "user-rejected", "logon"),
        (LINUX, "sudo-not-allowed", "sudo"),
        (HOPS, "jump-target-refused", "port"),
        (WINDOWS_HOPS, "jump-not-reached", "jump"),
        (WINDOWS_HOPS, "winrm-no-answer", "port"),
        (WINDOWS.model_copy(update={"proxy": "http://proxy.example.com"}), "proxy-not-connected", "port"),
    ],
)
def test_the_first_failure_ends_what_is_known(host: AnyHost, code: str, name: str) -> None:
    whole = [known for known, _ in found(host)]
    before = whole[: whole.index(name)]
    assert found(host, code) == [*((known, "ok") for known in before), (name, "failed"), ("other_requirements", "unknown")]


def test_an_error_behind_the_logon_has_its_own_name() -> None:
    assert found(WINDOWS, "envelope-size-too-small", "failed")[-2:] == [("session", "failed"), ("other_requirements", "unknown")]
    assert found(LINUX, "bash-missing", "failed")[-2:] == [("script", "failed"), ("other_requirements", "unknown")]
    restricted = message("restricted-language", "PowerShell runs in {mode} mode", mode="ConstrainedLanguage")
    result = Result("win1")
    result.because(message("script-failed", "{name}, script: {reason}", name="win1", reason=restricted))
    failed = connection_findings.findings(WINDOWS, result)[-2]
    assert (failed.name, failed.state) == ("language_mode", "failed")


@pytest.mark.parametrize("code", ["host-too-slow", "connection-lost", "ssh-no-answer"])
def test_a_script_that_takes_too_long_says_nothing_about_the_port(code: str) -> None:
    """Also a host on which the session does not open."""
    assert found(LINUX, code, "failed") == [*found(LINUX), ("script", "failed"), ("other_requirements", "unknown")]
    assert found(LINUX, code)[0] == ("port", "failed"), "before the logon, it does"


def test_a_finding_has_what_was_found_and_what_to_do() -> None:
    result = Result("lin1", outcome="unreachable")
    result.because(message("ssh-no-answer", "lin1: 192.0.2.7:22 did not answer. Check that the host is up"))
    failed = connection_findings.findings(LINUX, result)[0]
    assert (failed.text, failed.todo) == ("192.0.2.7:22 did not answer", "Check that the host is up")


def test_what_the_script_found_is_not_repeated_for_the_connection() -> None:
    result = Result("lin1", findings=[Finding("disk_space", "failed", "too little")])
    result.because(
        message(
            "requirements-not-met",
            "{name}: the host is not ready for nbserver apply; requirements not met: {requirements}",
            name="lin1",
            requirements="disk_space",
        )
    )
    assert [state for _, state in found(LINUX)] == [finding.state for finding in connection_findings.findings(LINUX, result)]


def test_every_code_that_has_a_name_is_the_code_of_an_error() -> None:
    assert connection_findings._BY_CODE.keys() - {"restricted-language"} <= error_kind.BY_CODE.keys()
    assert connection_findings._BY_KIND.keys() <= set(error_kind.KINDS)
