"""A user without a name, as in a container that runs with --user 12345."""

from __future__ import annotations

import getpass
import os

import asyncssh
import pytest

from nbserver.base.user_name import name_user, user_name


@pytest.mark.skipif(os.name != "posix", reason="Windows users have a name")
def test_a_user_without_a_name_has_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "x")  # so that it is restored at the end
        monkeypatch.delenv(name)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    assert user_name() == str(os.getuid())
    with pytest.raises((ValueError, OSError), match=r"Unknown local username|No username set"):  # OSError since Python 3.13
        asyncssh.SSHClientConnectionOptions(config=None)
    name_user()
    asyncssh.SSHClientConnectionOptions(config=None)
    assert getpass.getuser() == user_name()
