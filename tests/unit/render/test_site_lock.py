"""A site lock in the scripts of all kinds of hosts, and the audit of these scripts."""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from nbserver.approval import audit
from nbserver.approval.reference import Reference
from nbserver.base.errors import ApprovalError, InventoryError
from nbserver.catalog.site_lock import NEEDED
from nbserver.commands import render
from nbserver.inventory import reader
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.inventory.local_windows_host import LocalWindowsHost
from tests.rendered_folders import put

HASH = "0" * 64
LINES = "".join(f"{name}==1.0 --hash=sha256:{HASH}\n" for name in (*NEEDED, "pandas"))
CONDITION = f"tomli==2.0 ; python_version < '3.11' and sys_platform == 'linux' --hash=sha256:{HASH}\n"
INVENTORY = """
[defaults]
notebook.password = { prompt = true }
packages.lock = "locks/site.txt"

[hosts.win1]
system = "windows"
address = "win1.example.com"

[hosts.lin1]
system = "linux"
address = "lin1.example.com"
user = "anna"
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "locks").mkdir()
    (tmp_path / "locks" / "site.txt").write_text(LINES + CONDITION, "utf-8")
    (tmp_path / "nbserver.toml").write_text(INVENTORY, "utf-8")
    return tmp_path


def rendered(site: Path) -> Path:
    return put(render.files(list(reader.load(site / "nbserver.toml").hosts.values())), site / "rendered")


def test_the_lines_are_in_the_scripts_and_the_audit_wants_the_lock(site: Path) -> None:
    folder = rendered(site)
    for name in ("win1.ps1", "lin1.sh"):
        text = (folder / name).read_text("ascii")
        assert f"    'pandas==1.0 --hash=sha256:{HASH}'\n" in text
        assert ("tomli" in text.partition("# ==== body")[0]) == (name == "lin1.sh")
    with pytest.raises(ApprovalError, match=r"given with --lock\. If the inventory sets packages.lock, add --lock FILE"):
        audit.audit(folder, Reference.load())
    for given in (site / "locks" / "site.txt", site / "locks"):
        report = "\n".join(audit.audit(folder, Reference.load((), [given])))
        assert report.count("packages from the lock site.txt of the site, sha256") == 2


def test_another_lock_does_not_pass_the_audit(site: Path) -> None:
    folder = rendered(site)
    (site / "locks" / "site.txt").write_text(LINES + CONDITION.replace("tomli==2.0", "tomli==2.1"), "utf-8")
    with pytest.raises(ApprovalError, match=r"script for lin1: catalog_sha256 matches neither"):
        audit.audit(folder, Reference.load((), [site / "locks" / "site.txt"]))


def test_the_command_takes_locks(site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from nbserver.cli.program import main

    monkeypatch.setattr("sys.argv", ["nbserver", "audit", str(rendered(site)), "--lock", str(site / "locks")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "site.txt of the site" in capsys.readouterr().out


def test_this_machine_takes_a_lock_too(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = {"lock": str(site / "locks" / "site.txt")}
    linux = LocalLinuxHost.model_validate({"scope": "user", "packages": packages})
    monkeypatch.setattr(sysconfig, "get_platform", lambda: "win-amd64")
    monkeypatch.setattr(sysconfig, "get_python_version", lambda: "3.99")
    monkeypatch.setattr(sys, "base_prefix", "C:\\Python399")
    windows = LocalWindowsHost.model_validate({"packages": packages})
    for host, name in ((linux, "local.sh"), (windows, "local.ps1")):
        files = render.files([host])
        assert b"'pandas==1.0 --hash" in files[name]
        put(files, site / "local")
        assert "site.txt of the site" in "\n".join(audit.audit(site / "local", Reference.load((), [site / "locks"])))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('packages.lock = "absent.txt"', "packages.lock: the file does not exist"),
        ('packages.source = "distribution"', 'lock cannot be combined with source = "distribution"'),
    ],
)
def test_what_does_not_fit_is_refused_with_its_line(site: Path, line: str, reason: str) -> None:
    path = site / "nbserver.toml"
    path.write_text(INVENTORY + line + "\n", "utf-8")
    with pytest.raises(InventoryError) as error:
        reader.load(path)
    assert reason in str(error.value)
    assert "nbserver.toml:" in str(error.value)
