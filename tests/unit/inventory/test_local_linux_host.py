"""What an inventory may say about this machine, where it is a Linux one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from nbserver.base.errors import InventoryError, UsageError
from nbserver.catalog.linux_lock import load as load_lock
from nbserver.inventory import local_linux_host, own_server, reader
from nbserver.inventory.hosts import Inventory
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.render.linux_host import render
from tests.user_scope import no_systemd  # noqa: F401

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this machine itself is set up on Linux only")

OTHER = '[hosts.lin1]\nsystem = "linux"\naddress = "lin1.example.com"\nuser = "root"\nnotebook.password = { env = "X" }\n'


def load(folder: Path, text: str, *patterns: str) -> Inventory:
    path = folder / "nbserver.toml"
    path.write_text(text, encoding="utf-8")
    return reader.load_for(path, patterns or ["local"])


def test_local_needs_no_inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    found = reader.load_for(Path("nbserver.toml"), ["local"])
    assert found.select(["local"]) == [LocalLinuxHost()] and found.path.parent == tmp_path / "home" / ".local" / "state"
    with pytest.raises(InventoryError):
        reader.load_for(Path("nbserver.toml"), ["local", "lin1"])
    with pytest.raises(InventoryError):
        reader.load_for(Path("other.toml"), ["local"])


def test_local_needs_no_access_to_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed, stat = {Path("nbserver.toml"), tmp_path / "closed" / "nbserver.toml"}, Path.stat

    def refused(path: Path, **options: bool) -> os.stat_result:
        if path not in closed:  # other threads of this process ask too
            return stat(path, **options)
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setenv("HOME", str(tmp_path))
    own_server.remember("user", tmp_path / "closed" / "nbserver.toml")
    monkeypatch.setattr(local_linux_host, "own_scope", lambda: "user")
    monkeypatch.setattr(Path, "stat", refused)
    with pytest.raises(InventoryError, match="the file does not exist"):  # it may exist: other settings are no way out
        reader.load_for(Path("nbserver.toml"), ["local"])
    own_server.remember("user", None)
    assert reader.load_for(Path("nbserver.toml"), ["local"]).select(["local"]) == [LocalLinuxHost()]


def test_its_own_table_counts_and_no_other(tmp_path: Path) -> None:
    text = f'[defaults]\nnotebook.port = 7777\n{OTHER}[hosts.local]\nnotebook.directory = "~/a b"\nnotebook.ip = "*"\n'
    found = load(tmp_path, text, "local", "lin1")
    local = found.select(["LOCAL"])[0]
    assert (local.notebook.port, local.notebook.directory, local.notebook.ip, local.notebook.password) == (9999, "~/a b", "*", None)
    assert [host.name for host in found.select(["lin1", "local"])] == ["local", "lin1"]


def test_no_glob_means_this_machine(tmp_path: Path) -> None:
    found = load(tmp_path, OTHER + "[hosts.local]\n", "*")
    assert [host.name for host in found.select(["*"])] == ["lin1"]
    with pytest.raises(InventoryError, match="no host or group matches"):
        found.select(["loc*"])
    with pytest.raises(InventoryError, match="is not the name of a host"):
        load(tmp_path, OTHER + '[groups.lab]\nhosts = ["local"]\n')


def test_an_inventory_may_hold_local_alone(tmp_path: Path) -> None:
    assert load(tmp_path, "[hosts.local]\nnotebook.port = 8888\n").local.notebook.port == 8888
    assert load(tmp_path, '[hosts.local]\nscope = "user"\n').local == LocalLinuxHost(), "also where it says what counts anyway"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("port = 22", 2, "[hosts.local] port: unknown key"),
        ("notebook.port = 80", 1, 'a port below 1024 requires scope = "machine"'),
        (
            'scope = "machine"\nnotebook.interface = "lab"\npackages.source = "distribution"',
            1,
            'interface = "lab" requires packages.source = "wheels"',
        ),
        ('packages.source = "distribution"', 1, 'requires scope = "machine"'),
        ('scope = "machine"\nnotebook.directory = "~/x"', 1, "must be an absolute path"),
        ('notebook.directory = "~/../x"', 2, "must not contain . or .."),
        ('notebook.directory = "~"', 2, "must be an absolute path"),
        ('notebook.password = "geheim"', 2, "notebook.password"),
        ('scope = "user"\nservice.memory_max = "1G"', 1, 'service.memory_max: requires scope = "machine"'),
    ],
)
def test_what_does_not_fit(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(InventoryError) as error:
        load(tmp_path, f"[hosts.local]\n{text}\n")
    assert words in str(error.value) and f"nbserver.toml:{line}:" in str(error.value) and "geheim" not in str(error.value)


def test_machine_scope_has_the_machines_folder(tmp_path: Path) -> None:
    assert load(tmp_path, '[hosts.local]\nscope = "machine"\n').local.notebook.directory == "/var/lib/nbserver/notebooks"


@pytest.mark.parametrize(
    ("user", "systemd", "scope"), [(0, True, "machine"), (0, False, "user"), (1000, True, "user"), (1000, False, "user")]
)
def test_roots_default_is_the_machine_where_systemd_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: int, systemd: bool, scope: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: user)
    monkeypatch.setattr(local_linux_host, "SYSTEMD", tmp_path if systemd else tmp_path / "none")
    folder = "/var/lib/nbserver/notebooks" if scope == "machine" else "~/notebooks"
    for found in (LocalLinuxHost(), load(tmp_path, "[hosts.local]\nnotebook.port = 8888\n").local, load(tmp_path, OTHER, "local").local):
        assert (found.scope, found.notebook.directory) == (scope, folder)
        assert f"NB_SCOPE='{scope}'" in render(found, load_lock()).text
    named = load(tmp_path, '[hosts.local]\nscope = "user"\n').local
    assert (named.scope, named.notebook.directory) == ("user", "~/notebooks")
    assert load(tmp_path, '[hosts.local]\nscope = "machine"\n').local.scope == "machine"


def test_what_fits_user_scope_only_tells_root_which_scope_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(local_linux_host, "SYSTEMD", tmp_path)
    with pytest.raises(InventoryError, match=r"the default for root"):
        load(tmp_path, '[hosts.local]\nnotebook.directory = "~/x"\n')


def test_another_system_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="nbserver cannot set up this machine, because it runs neither Linux nor Windows"):
        reader.load_for(Path("nbserver.toml"), ["local"])
