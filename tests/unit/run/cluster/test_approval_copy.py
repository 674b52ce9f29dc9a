"""A worker checks the approval of a run again, by the rules of the workstation and by those of its own site."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nbserver.approval import policy
from nbserver.base.errors import ApprovalError
from nbserver.base.modes import Mode
from nbserver.inventory import reader
from nbserver.render.render import render_all
from nbserver.run import approved
from nbserver.run.cluster.approval_copy import ApprovalCopy, copy_of
from nbserver.run.host_call import HostCall
from nbserver.run.host_job import HostJob
from nbserver.run.options import Options
from nbserver.run.secret_mask import SecretMask
from nbserver.transports.transport import LogonSecrets
from tests.approvals import ANNA
from tests.unit.run.approved_site import Site, rendered, site

__all__ = ["rendered", "site"]


def call_of(site: Site, mode: Mode = "apply", **changed: Any) -> HostCall:
    host = reader.load(site.folder / "nbserver.toml").hosts["win1"]
    ((script, _),) = render_all([host])
    return HostCall(HostJob(host, replace(script, **changed), LogonSecrets()), mode, "run-1", "me", SecretMask())


def copied(site: Site, call: HostCall, **given: Any) -> ApprovalCopy:
    """The copy, as it arrives on the worker: the files of the workstation are not there."""
    options = Options(**{"approved": site.approved, "signers": site.signers} | given)
    scripts = {"win1": call.job.script}
    found = copy_of(approved.require(call.mode, [call.job.host], scripts, options), options)
    site.approved.rename(site.folder / "gone")
    site.signers.unlink()
    arrived: ApprovalCopy = pickle.loads(pickle.dumps(found))
    return arrived


def refused(copy: ApprovalCopy, call: HostCall) -> str:
    with pytest.raises(ApprovalError) as caught:
        copy.require(call)
    return caught.value.code


def test_a_signed_approval_counts_on_the_worker_for_the_same_script_and_mode_only(site: Site) -> None:
    site.sign(site.anna, ANNA, modes=["apply"])
    call = call_of(site)
    copy = copied(site, call)
    copy.require(call)
    assert refused(copy, replace(call, mode="undo")) == "approval-refused"
    assert refused(copy, call_of(site, sha256="0" * 64)) == "worker-got-other-script"
    assert refused(replace(copy, signers=()), call) == "no-allowed-signers"
    assert refused(replace(copy, approvals=2), call) == "too-few-approvals"


def test_the_site_of_a_worker_can_be_stricter(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    call = call_of(site)
    ApprovalCopy().require(call)
    rules = tmp_path / "worker-site.toml"
    rules.write_text("require_approval = true\n")
    monkeypatch.setenv(policy.VARIABLE, str(rules))
    assert refused(ApprovalCopy(), call) == "approval-required"
