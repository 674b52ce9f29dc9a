"""Each thing that can go wrong on the way has words of its own. The common ones happen for real in stories/test_failures_on_the_way.py."""

from __future__ import annotations

import pytest
import requests
from pypsrp.exceptions import WinRMTransportError, WSManFaultError
from winrm import exceptions as pywinrm

from nbserver.base.errors import ConnectError, HostError
from nbserver.inventory import reader
from nbserver.transports.wsman.errors import explain
from tests.checkout import CHECKOUT

HOST = reader.load(CHECKOUT / "nbserver.sample.toml").hosts["win1"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (WinRMTransportError("http", 413, ""), "MaxEnvelopeSizekb is too small"),
        (WinRMTransportError("http", 404, ""), "answered, but is not a WinRM listener"),
        (WinRMTransportError("http", 503, ""), "temporarily unavailable (HTTP status 503)"),
        (WSManFaultError(5, "host", "Access is denied.", "", "", ""), "denied WinRM access"),
        (WSManFaultError(2150858843, "host", "shell not found", "", "", ""), "the shell on the host no longer exists"),
        (WSManFaultError(2150859173, "host", "a maximum number of 5 concurrent shells", "", "", ""), "too many open shells"),
        (WSManFaultError(2150859174, "host", "a maximum number of 15 concurrent operations", "", "", ""), "too many open shells"),
        (WSManFaultError(2150859180, "host", "not accept any remote shell requests", "", "", ""), "does not allow remote shells"),
        (WSManFaultError(1, "host", "unheard of", "", "", ""), "WSMan fault 1"),
        (pywinrm.InvalidCredentialsError("rejected"), "rejected the user"),
        (pywinrm.WinRMTransportError("http", 413, ""), "MaxEnvelopeSizekb is too small"),
        (pywinrm.WSManFaultError(500, "", "", "Access is denied.", wsman_fault_code=5), "denied WinRM access"),
        (pywinrm.WSManFaultError(500, "", "", "unheard of", wsman_fault_code=1), "WSMan fault 1"),
        (pywinrm.WinRMOperationTimeoutError(), "took too long"),
        (PermissionError("Access denied: Server did not respond with NTLM challenge token"), "does not offer NTLM"),
        (requests.exceptions.ConnectTimeout("timed out"), "did not answer"),
        (requests.exceptions.ReadTimeout("Read timed out."), "did not answer"),
        (ConnectionResetError(104, "Connection reset by peer"), "was lost"),
        (WSManFaultError("no number", "host", "x", "", "", ""), "failed with a protocol error (WSManFaultError"),  # type: ignore[arg-type]
        (pywinrm.WSManFaultError(500, "", "", "x", wsman_fault_code="no number"), "failed with a protocol error"),  # type: ignore[arg-type]
        (
            WSManFaultError(1, "host", "unheard\x1b[2J\u202e of\nwin2: all is well", "", "", ""),
            "unheard\ufffd[2J\ufffd of / win2: all is well",
        ),
        (RecursionError("deep"), "failed with a protocol error (RecursionError"),
        (ValueError("unexpected"), "failed with a protocol error (ValueError"),
    ],
)
def test_words(error: Exception, words: str) -> None:
    told = explain(error, HOST)
    assert words in str(told) and str(told).startswith("win1: ") and told.exit_code == 3
    assert told.todo, "what to do next"


def test_no_character_of_a_password_is_shown() -> None:
    """Basic authentication is in Latin-1, which has no euro sign. The text of the exception has the character, and where it is."""
    told = explain(UnicodeEncodeError("latin-1", "correct\u20achorse", 7, 8, "ordinal not in range(256)"), HOST)
    assert str(told).startswith("win1: user or password contains a character that cannot be sent with auth = ")
    assert "20ac" not in str(told) and "\u20ac" not in str(told) and "7" not in str(told)


def test_what_was_told_already_stays_as_it_is() -> None:
    told = ConnectError("nothing-listens", "nothing listens there", host="win1")
    assert explain(told, HOST) is told and isinstance(told, HostError)


@pytest.mark.parametrize(
    ("transport", "advice"), [("psrp", "Set user and password in the inventory, or correct auth"), ("winrm", "Log in with an account")]
)
def test_the_current_user_is_not_sent_to_settings_that_cannot_be_set(transport: str, advice: str) -> None:
    host = HOST.model_copy(update={"user": None, "password": None, "transport": transport, "auth": "kerberos"})
    told = explain(pywinrm.InvalidCredentialsError("rejected"), host)
    assert "rejected the credentials of the current user (auth: kerberos)" in str(told) and advice in str(told)
