"""Rules of a firewall that is gone."""

from __future__ import annotations

import pytest

from tests.linux import parts
from tests.linux.fixtures import record, run, sandbox
from tests.linux.sandbox import Sandbox
from tests.steps.linux.small_steps import host

__all__ = ["host", "sandbox"]


@pytest.mark.parametrize("firewall", ["ufw", "firewalld"])
def test_a_rule_of_a_firewall_that_is_gone_is_undone(host: Sandbox, firewall: str) -> None:
    host.run("bash", "-c", "rm -f /usr/sbin/ufw /usr/bin/firewall-*; mkdir -p /etc/ufw; echo ENABLED=yes >/etc/ufw/ufw.conf")
    opened = f"""
step firewall 'the rule is on the record'
firewall_test() {{ has_record firewall_port '{firewall} 9999 Any' || differs rule rule '' open; }}
firewall_apply() {{ save_before firewall_port '{firewall} 9999 Any' ''; }}
"""
    assert run(host, "apply", [opened]).outcome == "ok" and len(record(host)) == 1
    done = run(host, "undo", [parts.step("firewall")])
    assert done.outcome == "ok" and record(host) == []
    assert [event["text"].partition(",")[0] for event in done.of("warning")] == [f"{firewall} is no longer installed"]
    planned = run(host, "test", [parts.step("firewall")])
    assert planned.outcome == "ok" and planned.of("difference") == [], "and what is not there is not asked for a rule"
