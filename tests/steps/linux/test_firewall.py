"""Rules of a firewall that is gone, and of firewalld whose default zone changes."""

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


# What firewalld does with rules of zones: a rule that a zone does not have is removed with a warning and exit code 0.
FIREWALLD = """#!/bin/bash
zone=$(</var/firewall/default) kind=now
for word; do
    case $word in
        --state) exit 0 ;;
        --get-default-zone) printf '%s\\n' "$zone"; exit 0 ;;
        --zone=*) zone=${word#*=} ;;
        --permanent) kind=permanent ;;
    esac
done
[[ $zone == public || $zone == internal ]] || { echo "Error: INVALID_ZONE: $zone" >&2; exit 112; }
rules=/var/firewall/$zone.$kind
touch "$rules"
for word; do
    case $word in
        --query-*) grep -qxF -- "${word#--query-}" "$rules"; exit ;;
        --add-*) printf '%s\\n' "${word#--add-}" >>"$rules" ;;
        --remove-*)
            grep -qxF -- "${word#--remove-}" "$rules" || echo 'Warning: NOT_ENABLED' >&2
            grep -vxF -- "${word#--remove-}" "$rules" >"$rules.new"
            mv "$rules.new" "$rules"
            ;;
    esac
done
exit 0
"""


def test_a_rule_leaves_the_zone_that_got_it(host: Sandbox) -> None:
    """Even if another zone is the default by now."""
    host.run("bash", "-c", "rm -f /etc/ufw/ufw.conf /usr/sbin/ufw; mkdir -p /var/firewall; echo public >/var/firewall/default")
    host.write("/usr/bin/firewall-cmd", FIREWALLD)
    host.run("chmod", "755", "/usr/bin/firewall-cmd")

    def rules() -> str:
        return host.run("bash", "-c", "cd /var/firewall; grep -H . public.* internal.* 2>/dev/null || true").stdout.decode()

    step = parts.step("firewall")
    assert run(host, "apply", [step]).outcome == "ok"
    assert rules().split() == ["public.now:port=9999/tcp", "public.permanent:port=9999/tcp"]
    assert [line["key"] for line in record(host)] == ["firewalld 9999 Any public"]
    host.run("bash", "-c", "echo internal >/var/firewall/default")
    assert run(host, "test", [step]).of("difference") != []
    assert run(host, "apply", [step]).outcome == "ok"
    assert rules().split() == ["internal.now:port=9999/tcp", "internal.permanent:port=9999/tcp"]
    assert run(host, "test", [step]).of("difference") == []
    host.run("bash", "-c", "echo public >/var/firewall/default")
    done = run(host, "undo", [step])
    assert done.outcome == "ok" and record(host) == [] and rules() == ""
    for half in ("public.permanent", "public.now"):
        host.run("bash", "-c", f"rm /var/firewall/public.*; echo port=9999/tcp >/var/firewall/{half}")
        assert run(host, "apply", [step]).outcome == "ok" and len(set(rules().split())) == 2
        assert run(host, "undo", [step]).outcome == "ok" and set(rules().split()) == {f"{half}:port=9999/tcp"}, "half of it was there"


# What ufw does with rules: it keeps one for a port and an address, so a new one replaces one with another action.
UFW = """#!/bin/bash
rules=/var/firewall/ufw
if [[ $* == 'show added' ]]; then echo 'Added user rules (see '"'ufw status'"' for running firewall):'; cat $rules; exit; fi
printf '%s\\n' "$*" >>/var/firewall/calls
action=$1
if [[ $1 == delete ]]; then shift; fi
words=${*:2} words=${words%% comment *}
sed -i -E "\\,^ufw [a-z]+ (log |log-all )?${words//./[.]}( comment .*)?$,d" $rules
if [[ $action != delete ]]; then printf 'ufw %s\\n' "$*" >>$rules; fi
"""


@pytest.mark.parametrize(
    ("rule", "addresses", "refused"),
    [
        ("deny 9999/tcp", ["Any"], True),
        ("limit 9999/tcp comment 'slow'", ["Any"], True),
        ("allow log 9999/tcp", ["Any"], True),
        ("reject log-all 9999/tcp", ["Any"], True),
        ("deny 9999", ["Any"], True),
        ("deny from 192.0.2.0/24 to any port 9999 proto tcp", ["198.51.100.0/24", "192.0.2.0/24"], True),
        ("deny from 192.0.2.0/24 to any port 9999", ["192.0.2.0/24"], True),
        ("deny 9999/tcp", ["192.0.2.0/24"], True),
        ("limit 9999/tcp", ["192.0.2.0/24"], False),
        ("deny 99", ["Any"], False),
        ("deny 9999/udp", ["Any"], False),
        ("deny from 192.0.2.0/24 to any port 9999 proto udp", ["192.0.2.0/24"], False),
        ("allow 9999", ["Any"], False),
        ("deny from 192.0.2.0/24 to any port 9999 proto tcp", ["Any"], False),
    ],
)
def test_a_rule_that_denies_the_port_is_refused(host: Sandbox, rule: str, addresses: list[str], refused: bool) -> None:
    """ufw would replace it, and undo could not restore it, or it comes first."""
    host.run("bash", "-c", "mkdir -p /etc/ufw /var/firewall; echo ENABLED=yes >/etc/ufw/ufw.conf; touch /var/firewall/calls")
    host.write("/usr/sbin/ufw", UFW)
    host.run("chmod", "755", "/usr/sbin/ufw")
    host.write("/var/firewall/ufw", f"ufw {rule}\n")
    step, settings = parts.step("firewall"), {"firewall": {"remote_addresses": addresses}}
    for mode in ("test", "apply"):
        done = run(host, mode, [step], **settings)
        assert [event["values"]["rule"] for event in done.of("failed")] == [f"ufw {rule}"] * refused, done.events
    if refused:
        assert host.read("/var/firewall/calls") == b"" and not host.exists("/var/lib/nbserver/state/record.jsonl")
    else:
        assert done.outcome == "ok" and run(host, "undo", [step], **settings).outcome == "ok"
    assert host.read("/var/firewall/ufw").decode() == f"ufw {rule}\n"
