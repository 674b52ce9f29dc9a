"""The logins for the package index and the proxy: which runs send them, in which form, and that no log shows them."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbserver.base.errors import InventoryError
from nbserver.base.modes import Mode
from nbserver.inventory import reader
from nbserver.render.render import render_all
from nbserver.run import host_job
from nbserver.run.options import Options
from nbserver.run.secret_mask import SecretMask

HOSTS = """
[hosts.win1]
system = "windows"
address = "win1.example.com"
[hosts.lin1]
system = "linux"
address = "lin1.example.com"
user = "anna"
"""
LOGINS = """
[defaults]
notebook.password = { env = "NOTEBOOK" }
packages.index_url = "https://packages.example.com/simple/"
packages.index_user = "c i"
packages.index_password = { env = "INDEX" }
downloads.proxy = "http://proxy.example.com:3128"
downloads.proxy_user = "hosts"
downloads.proxy_password = { env = "PROXY" }
"""


@pytest.mark.parametrize("name", ["win1", "lin1"])
@pytest.mark.parametrize(("mode", "sends"), [("apply", True), ("check", True), ("test", False), ("undo", False), ("status", False)])
def test_only_runs_that_download_send_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, mode: Mode, sends: bool) -> None:
    (tmp_path / "nbserver.toml").write_text(LOGINS + HOSTS, "utf-8")
    monkeypatch.setenv("NOTEBOOK", "correct horse battery")
    if sends:
        monkeypatch.setenv("INDEX", "p@ss:w/rd")
        monkeypatch.setenv("PROXY", "hunter2hunter2")
    host = reader.load(tmp_path / "nbserver.toml").hosts[name]
    [(script, _)] = render_all([host])
    assert "hunter2" not in script.text and "index_user" not in script.text
    job = host_job.prepare_all([host], {name: script}, mode, Options(), None)[name]
    expected = {"packages.index_login": "c%20i:p%40ss%3Aw%2Frd", "downloads.proxy_login": "hosts:hunter2hunter2"} if sends else {}
    assert job.sent == expected
    assert "hunter2" not in repr(job)
    if sends:
        mask = SecretMask()
        mask.add(*job.secrets)
        for text in ("p@ss:w/rd", "p%40ss%3Aw%2Frd", "hunter2hunter2"):
            assert text not in mask.text(f"see {text} there")


def test_a_host_with_a_mirror_gets_no_login_for_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = 'downloads.source = "mirror"\ndownloads.mirror = "https://mirror.example.com"\n'
    (tmp_path / "nbserver.toml").write_text(LOGINS + mirror + HOSTS, "utf-8")
    monkeypatch.setenv("NOTEBOOK", "correct horse battery")
    monkeypatch.setenv("PROXY", "hunter2hunter2")
    host = reader.load(tmp_path / "nbserver.toml").hosts["lin1"]
    [(script, _)] = render_all([host])
    assert set(host_job.prepare_all([host], {"lin1": script}, "apply", Options(), None)["lin1"].sent) == {"downloads.proxy_login"}


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ('packages.index_user = "ci"', "index_user and index_password must be set together"),
        ('packages.index_user = "ci"\npackages.index_password = { env = "X" }', "packages.index_user requires packages.index_url"),
        (
            'packages.index_url = "http://example.com/"\npackages.index_user = "ci"\npackages.index_password = { env = "X" }',
            "packages.index_user requires an https:// URL in packages.index_url",
        ),
        ('downloads.source = "mirror"', 'downloads.source = "mirror" requires downloads.mirror'),
        ('downloads.proxy_user = "ci"', "proxy_user and proxy_password must be set together"),
        ('downloads.proxy_user = "ci"\ndownloads.proxy_password = { env = "X" }', "downloads.proxy_user requires downloads.proxy"),
    ],
)
@pytest.mark.parametrize("host", HOSTS.split("[hosts.")[1:])
def test_what_does_not_fit_is_refused(tmp_path: Path, host: str, lines: str, reason: str) -> None:
    path = tmp_path / "nbserver.toml"
    path.write_text(f'[hosts.{host}notebook.password = {{ env = "X" }}\n{lines}\n', "utf-8")
    with pytest.raises(InventoryError) as error:
        reader.load(path)
    assert reason in str(error.value)
