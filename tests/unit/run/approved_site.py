"""A site whose runs need approval: a rendered folder, two approvers, and ways to break a file. A run stops before it contacts a host."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from nbserver.approval import policy
from nbserver.base.errors import ApprovalError
from nbserver.commands import render as rendering
from nbserver.inventory import reader
from nbserver.run import host_job
from nbserver.run.operation import operate
from nbserver.run.options import Options
from nbserver.view.plain_lines import PlainLines
from tests import approvals
from tests.approvals import ANNA, BEN

INVENTORY = """
[defaults]
system = "windows"
user = "admin"
password = { env = "NONE" }
notebook.password = { prompt = true }
[hosts.win1]
address = "192.0.2.1"
[hosts.win2]
address = "192.0.2.2"
"""


class Contacted(Exception):
    """A host was contacted."""


class Site:
    """A rendered folder, the keys of two people, and a file that allows both."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.approved, self.signers = folder, folder / "approved", folder / "allowed_signers"
        self.anna, self.ben = (approvals.key(folder / name) for name in ("anna", "ben"))
        self.signers.write_text(approvals.line(ANNA, self.anna) + approvals.line(BEN, self.ben))
        self.inventory(INVENTORY)
        hosts = reader.load(folder / "nbserver.toml").hosts
        rendering.write(rendering.files(list(hosts.values())), self.approved)

    def inventory(self, text: str) -> None:
        (self.folder / "nbserver.toml").write_text(text)

    def run(self, mode: Any = "apply", *hosts: str, **given: Any) -> None:
        loaded = reader.load(self.folder / "nbserver.toml")
        options = Options(**{"approved": self.approved, "signers": self.signers} | given)
        operate(mode, loaded, loaded.select(hosts or ["win1"]), options, None, PlainLines(lambda line: None))

    def accepted(self, mode: Any = "apply", *hosts: str, **given: Any) -> bool:
        """Whether the run begins."""
        with pytest.raises(Contacted):
            self.run(mode, *hosts, **given)
        return True

    def refused(self, mode: Any = "apply", *hosts: str, **given: Any) -> str:
        with pytest.raises(ApprovalError) as raised:
            self.run(mode, *hosts, **given)
        said = str(raised.value)
        assert raised.value.exit_code == 5 and said.isprintable() and not (self.folder / "nbserver-runs").exists()
        return said.replace(str(self.folder), "")

    def sign(self, key: Path, by: str, **given: Any) -> Path:
        return approvals.sign(self.approved, key, by, **given)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Site(tmp_path_factory.mktemp("site")).folder


@pytest.fixture
def site(rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    def prepare(*given: Any) -> Any:
        raise Contacted

    monkeypatch.setattr(host_job, "prepare_all", prepare)
    monkeypatch.setattr(policy, "site_file", lambda: tmp_path / "etc" / "site.toml")
    monkeypatch.delenv(policy.VARIABLE, raising=False)
    shutil.copytree(rendered, tmp_path, dirs_exist_ok=True)
    found = object.__new__(Site)
    found.folder, found.approved, found.signers = tmp_path, tmp_path / "approved", tmp_path / "allowed_signers"
    found.anna, found.ben = tmp_path / "anna", tmp_path / "ben"
    return found


def huge(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(100_000_000)


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link(path: Path) -> None:
    path.rename(path.parents[1] / "kept")
    path.symlink_to(path.parents[1] / "kept")
