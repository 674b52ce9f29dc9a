"""Which inventory the server of this machine belongs to."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nbserver.inventory import own_server, reader
from nbserver.run import own_servers
from nbserver.run.result import Result
from tests.user_scope import no_systemd  # noqa: F401

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this machine itself is set up on Linux only")


def test_the_last_inventory_counts_and_a_change_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    first, second = (tmp_path / name for name in ("first.toml", "second.toml"))
    for path in (first, second):
        path.write_text("[hosts.local]\n", encoding="utf-8")
    ok = {"local": Result("local", outcome="ok")}
    one, other = (reader.load_for(path, ["local"]) for path in (first, second))
    own_servers.before("apply", one, [one.local])
    own_servers.after("apply", one, [one.local], ok)
    own_servers.before("apply", one, [one.local])
    assert own_server.inventory_of("user") == first and not capsys.readouterr().err
    own_servers.before("test", other, [other.local])
    own_servers.after("test", other, [other.local], ok)
    assert f"was set up from {first}" in " ".join(capsys.readouterr().err.split()) and own_server.inventory_of("user") == first
    own_servers.after("apply", other, [other.local], {"local": Result("local", outcome="failed")})
    assert own_server.inventory_of("user") == first
    own_servers.after("apply", other, [other.local], ok)
    assert own_server.inventory_of("user") == second
    own_servers.after("undo", other, [other.local], ok)
    assert own_server.inventory_of("user") is None
