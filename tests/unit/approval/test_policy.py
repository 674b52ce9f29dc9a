"""The rules of a site: its own file always counts, further ones can only be stricter, and a doubtful one is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbserver.approval import policy
from tests import approvals
from tests.approvals import ANNA, BEN
from tests.unit.run.approved_site import Site, fifo, huge, link, rendered, site

__all__ = ["rendered", "site"]


def rules(site: Site, text: str) -> None:
    site_file = policy.site_file()
    site_file.parent.mkdir(exist_ok=True)
    site_file.write_text(text)


POSIX_ROOT = pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="this needs root: only administrators may write a site file")


@POSIX_ROOT
def test_a_site_can_require_an_approval(site: Site) -> None:
    rules(site, 'require_approval = true\nallowed_signers = "../allowed_signers"\n')
    nothing = {"approved": None, "signers": None}
    for mode in ("test", "apply", "undo", "request"):
        assert "/etc/site.toml: this site file requires an approval for every run. Add --approved FOLDER" in site.refused(mode, **nothing)
    manifest = {"approved": site.approved / "manifest.json", "signers": None}
    assert "nobody has approved" in site.refused(**manifest)
    site.sign(site.anna, ANNA)
    assert site.accepted(**manifest) and site.accepted(signers=None)


@POSIX_ROOT
def test_a_further_file_can_only_be_stricter(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    rules(site, 'require_approval = true\nallowed_signers = "../allowed_signers"\napprovals = 2\n')
    further = site.folder / "further.toml"
    further.write_text("require_approval = false\napprovals = 1\n")
    monkeypatch.setenv(policy.VARIABLE, str(further))
    site.sign(site.anna, ANNA)
    assert "requires an approval" in site.refused(approved=None, signers=None, site=further)
    assert "2 approvals by different people" in site.refused(site=further, approvals=1)
    site.sign(site.ben, BEN)
    assert site.accepted(site=further, approvals=1)
    fewer = site.folder / "fewer"
    fewer.write_text(approvals.line(ANNA, site.anna))
    assert "this folder has 1: anna@example.com" in site.refused(signers=fewer)
    more = site.folder / "more"
    more.write_text(approvals.line("anna*", site.anna) + approvals.line("ben*", site.ben))
    assert site.accepted(signers=more)
    site.sign(approvals.key(site.folder / "eve"), "eve@example.com")
    further.write_text("approvals = 3\n")
    assert "3 approvals by different people" in site.refused()


def test_the_variable_alone_counts_too(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    (site.folder / "further.toml").write_text("require_approval = true\n")
    monkeypatch.setenv(policy.VARIABLE, str(site.folder / "further.toml"))
    assert "requires an approval" in site.refused(approved=None, signers=None)
    assert "a signed approval is required, but no allowed signers file is set" in site.refused(signers=None)
    monkeypatch.setenv(policy.VARIABLE, str(site.folder / "none.toml"))
    assert "none.toml: could not read the file" in site.refused(approved=None, signers=None)


@POSIX_ROOT
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("require_approval = 1\n", "site.toml:1: the site file is not valid: require_approval: expected"),
        ("\nrequired = true\n", "site.toml:2: the site file is not valid: unknown key"),
        ("approvals = 0\n", "site.toml:1: the site file is not valid: approvals: "),
        ("require_approval = \n", "site.toml:1: "),
        ("\0", "site.toml:1: "),
    ],
)
def test_a_site_file_with_a_fault_is_refused(site: Site, text: str, said: str) -> None:
    rules(site, text)
    assert said in site.refused(approved=None, signers=None)


@POSIX_ROOT
@pytest.mark.parametrize("change", [lambda path: path.chmod(0o664), lambda path: path.chmod(0o646), lambda path: os.chown(path, 1234, 0)])
@pytest.mark.parametrize("of_folder", [False, True])
def test_only_administrators_may_write_the_site_file(site: Site, change: Callable[[Path], Any], of_folder: bool) -> None:
    rules(site, "require_approval = false\n")
    path = policy.site_file()
    os.chown(path, 0, 1234)
    os.chown(path.parent, 0, 1234)
    assert site.accepted(approved=None, signers=None)
    change(path.parent if of_folder else path)
    assert "only administrators may write to this file and its folder, but " in site.refused(approved=None, signers=None)


@POSIX_ROOT
@pytest.mark.parametrize(("change", "said"), [(fifo, "regular file"), (link, "found a link"), (huge, "larger than 100000 bytes")])
def test_the_site_file_is_a_plain_file(site: Site, change: Callable[[Path], None], said: str) -> None:
    rules(site, "require_approval = true\n")
    change(policy.site_file())
    assert said in site.refused(approved=None, signers=None)
