"""What commands for this machine know about its server, wherever they are called."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from nbserver.base.errors import UsageError
from nbserver.inventory import own_server, reader
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.local.places import linux_places
from tests.user_scope import no_systemd  # noqa: F401

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this machine itself is set up on Linux only")

DEFAULT = Path("nbserver.toml")
FLEET = '[hosts.lin1]\nsystem = "linux"\naddress = "lin1.example.com"\nuser = "root"\nnotebook.password = { env = "X" }\n'


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An ordinary user in a folder without an inventory."""
    found, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    found.mkdir()
    elsewhere.mkdir()
    monkeypatch.setenv("HOME", str(found))
    monkeypatch.chdir(elsewhere)
    return found


def configured(home: Path, **server: object) -> None:
    path = own_server.configuration("user", "linux")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"ServerApp": {"port": 23999, "root_dir": str(home / "notebooks"), **server}}), encoding="utf-8")


def test_the_configuration_is_where_the_script_writes_it() -> None:
    for scope in ("user", "machine"):
        assert own_server.configuration(scope, "linux") == linux_places(LocalLinuxHost.model_validate({"scope": scope})).notebook


def test_port_and_folder_of_the_server_that_is_set_up_stay(home: Path) -> None:
    configured(home)
    found = reader.load_for(DEFAULT, ["local"]).local.notebook
    assert (found.port, found.directory) == (23999, "~/notebooks")
    configured(home, root_dir="/srv/notes")
    assert reader.load_for(DEFAULT, ["local"]).local.notebook.directory == "/srv/notes"
    given = reader.load_for(DEFAULT, ["local"], given={"port": 24000, "directory": "/srv/more"}).local.notebook
    assert (given.port, given.directory) == (24000, "/srv/more")


@pytest.mark.parametrize(
    "text", ["", "[]", "[" * 100_000, "{", '{"ServerApp": {"port": "x", "root_dir": 3}}', '{"ServerApp": {"port": 80, "root_dir": ""}}']
)
def test_a_configuration_that_is_not_valid_counts_as_none(home: Path, text: str) -> None:
    configured(home)
    own_server.configuration("user", "linux").write_text(text, encoding="utf-8")
    assert reader.load_for(DEFAULT, ["local"]).local.notebook.port == 9999


def test_an_inventory_with_this_machine_decides_alone(home: Path) -> None:
    configured(home)
    DEFAULT.write_text("[hosts.local]\n", encoding="utf-8")
    assert reader.load_for(DEFAULT, ["local"]).local.notebook.port == 9999, "a key that was removed has its default again"
    assert reader.load_for(DEFAULT, ["local"], given={"port": 9999}).local.notebook.port == 9999
    with pytest.raises(UsageError, match=r"--port cannot be combined with an inventory that has \[hosts.local\]"):
        reader.load_for(DEFAULT, ["local"], given={"port": 24000})


def test_an_inventory_of_other_hosts_does_not(home: Path) -> None:
    configured(home)
    DEFAULT.write_text(FLEET, encoding="utf-8")
    found = reader.load_for(DEFAULT, ["local"])
    assert found.local.notebook.port == 23999 and found.path.parent == home / ".local" / "state"
    assert reader.load_for(DEFAULT.absolute(), ["local"]).path == DEFAULT.absolute(), "an inventory that is named counts"


def test_the_inventory_of_the_server_is_found_from_elsewhere(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = tmp_path / "site.toml"
    site.write_text("[hosts.local]\nnotebook.port = 8888\n", encoding="utf-8")
    own_server.remember("user", site)
    found = reader.load_for(DEFAULT, ["local"])
    assert (found.path, found.local.notebook.port) == (site, 8888)
    site.unlink()
    configured(home)
    assert reader.load_for(DEFAULT, ["local"]).local.notebook.port == 23999
    assert f"was set up from {site}, which no longer exists" in " ".join(capsys.readouterr().err.split())
    own_server.remember("user", None)
    assert own_server.inventory_of("user") is None and not list((home / ".local" / "state").iterdir())


@pytest.mark.parametrize(
    "text", ["", "[]", "[" * 100_000, '{"inventories": []}', '{"inventories": {"user": "nbserver.toml"}}', '{"inventories": {"user": 1}}']
)
def test_a_file_that_is_not_valid_counts_as_missing(home: Path, text: str) -> None:
    path = own_server.state_folder("linux") / own_server.FILE_NAME
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    assert own_server.inventory_of("user") is None


@pytest.mark.parametrize(("given", "words"), [({"port": 80}, 'requires scope = "machine"'), ({"directory": "a\nb"}, "notebook.directory")])
def test_an_option_that_does_not_fit_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        reader.load_for(DEFAULT, ["local"], given=given)
