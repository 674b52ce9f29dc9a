"""The whole life of Linux hosts, by the real command line over SSH: plan, apply, verify, apply again, reboot, undo.

Three stories, each told once a run of the tests: Debian 12 with wheels behind ufw, the openSUSE-like host with wheels as a
user of sudo, and Debian 12 with the distribution's own packages behind firewalld. Each test looks at a part of them.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import browser, lesson
from tests.boxes.linux.lab import NETWORK
from tests.boxes.linux.snapshot import differences
from tests.boxes.mirror import Mirror
from tests.linux import three_stories
from tests.linux.story import Story, good, outcome
from tests.linux.three_stories import Fresh
from tests.site import steps

STEPS = ["preflight", "python", "packages", "openssl", "user", "certificate", "notebook", "service", "firewall", "check", "cleanup"]
UNCHANGED = {"outcome": "ok", "changed": 0, "reboot": False, "steps": dict.fromkeys(STEPS, "unchanged")}
# What firewalld makes of its default zone when a rule is added, and keeps when it is taken away.
ZONE = re.compile(r"files: etc/firewalld/zones/public\.xml(\.old)?: absent -> ")


@pytest.fixture(scope="module")
def debian(debian_host: Fresh, linux_mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    yield from three_stories.debian(debian_host, linux_mirror, tmp_path_factory.mktemp("debian"))


@pytest.fixture(scope="module")
def suse(suse_host: Fresh, linux_mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    yield from three_stories.suse(suse_host, linux_mirror, tmp_path_factory.mktemp("suse"))


@pytest.fixture(scope="module")
def distribution(debian_host: Fresh, linux_mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    yield from three_stories.distribution(debian_host, linux_mirror, tmp_path_factory.mktemp("distribution"))


@pytest.fixture
def story(request: pytest.FixtureRequest) -> Story:
    """One of the stories, by its name."""
    told: Story = request.getfixturevalue(request.param)
    return told


each = pytest.mark.parametrize("story", ["debian", "suse", "distribution"], indirect=True)


@pytest.mark.parametrize("story", ["debian", "distribution"], indirect=True)
def test_configuration_that_others_left_opens_nothing(story: Story) -> None:
    assert story.seen["without a password"] == "403 403"
    (warning,) = (event["text"] for event in story.events["plan"] if (event["step"], event["event"]) == ("preflight", "warning"))
    assert "/etc/jupyter/jupyter_server_config.py, " in warning and "/usr/local/etc/jupyter/jupyter_notebook_config.json" in warning


# -- all three


CHANGING = {
    "debian": ["packages", "user", "certificate", "notebook", "service", "firewall", "check"],
    "suse": ["python", "packages", "openssl", "user", "certificate", "notebook", "service", "check"],
    "distribution": ["packages", "user", "certificate", "notebook", "service", "firewall", "check"],
}


@pytest.mark.parametrize(("story", "changing"), CHANGING.items(), ids=CHANGING, indirect=["story"])
def test_plan_tells_every_changing_step_and_changes_nothing(story: Story, changing: list[str]) -> None:
    assert story.done["plan"].returncode == 4, story.done["plan"].stdout + story.done["plan"].stderr
    assert list(dict.fromkeys(steps(story.events["plan"], "difference"))) == changing
    assert differences(story.snapshots["before"], story.snapshots["planned"]) == []


@each
def test_apply_ends_as_it_should_be(story: Story) -> None:
    assert good(story.done["apply"])
    events = story.events["apply"]
    assert set(steps(events, "changed")) | set(steps(events, "unchanged")) == set(STEPS)
    # The port may answer before the check comes to it.
    assert {"packages", "user", "certificate", "notebook", "service"} <= set(steps(events, "changed"))
    assert (events[-1]["event"], events[-1]["outcome"], events[-1]["reboot"]) == ("finished", "ok", False)


@each
def test_events_count_up_without_a_gap(story: Story) -> None:
    for name, events in story.events.items():
        assert [event["n"] for event in events] == list(range(1, len(events) + 1)), name


@each
def test_verify_draws_with_numpy_and_matplotlib(story: Story) -> None:
    assert good(story.done["verify"])
    found = outcome(story.done["verify"])
    assert found["versions"]["numpy"] and found["versions"]["matplotlib"] and found["versions"]["python"] == "3.11.2"
    picture = story.site.folder / "pictures" / "lin1.png"
    from PIL import Image

    with Image.open(picture) as image:
        assert image.size == tuple(found["png_size"])
        assert len(image.convert("RGB").getcolors(maxcolors=1 << 24) or []) > 100
    keep = os.environ.get("NBSERVER_TEST_PICTURES")
    if keep:
        Path(keep).mkdir(parents=True, exist_ok=True)
        (Path(keep) / f"{story.site.folder.name}.png").write_bytes(picture.read_bytes())


@pytest.mark.skipif(bool(browser.missing()), reason=browser.missing())
@pytest.mark.parametrize("story", ["debian", "suse"], indirect=True)
def test_a_cell_of_the_hosts_notebook_draws_in_chromium(story: Story) -> None:
    assert good(story.done["browser"])
    seen = json.loads(story.done["browser"].stdout)
    assert min(*seen["size"], *seen["shown"]) > 100
    assert seen["security"] == [] and seen["protocol"] in ("TLS 1.2", "TLS 1.3")
    assert seen["requested"] == [story.url], "nothing comes from elsewhere"


@each
def test_a_second_apply_changes_nothing_and_says_so(story: Story) -> None:
    assert good(story.done["again"])
    assert outcome(story.done["again"]) == UNCHANGED
    foreign = [event for event in story.events["again"] if event["event"] == "warning" and "that it did not install" in event["text"]]
    said = [event["event"] for event in story.events["again"] if event["event"] != "log" and event not in foreign]
    assert said == ["started", *["unchanged"] * len(STEPS), "finished"]


@each
def test_the_status_is_that_of_the_server_and_of_the_last_run(story: Story) -> None:
    assert good(story.done["status"])
    found = outcome(story.done["status"])["status"]
    service, last = found["service"], found["last"]
    assert (service["state"], service["by"], service["start"]) == ("running", "systemd", "automatic")
    assert set(found["versions"]) >= {"python", "openssl", "notebook", "numpy", "matplotlib", "tornado", "pyzmq"}
    assert found["certificate"]["fingerprint"] == outcome(story.done["verify"])["fingerprint"]
    assert 300 < found["days_left"] < 400 and found["differences"] == 0 and found["record"]
    assert (last["mode"], last["outcome"]) == ("apply", "ok")
    assert found["script_is_current"] and last["script_sha256"] == found["script_sha256"] == story.events["status"][0]["script_sha256"]
    assert last["run"] in story.done["again"].stdout and service["since"] < last["started"]


@pytest.mark.parametrize("story", ["debian"], indirect=True)
def test_notebooks_go_there_and_back_and_belong_to_the_service(story: Story) -> None:
    lesson.require(story.lesson)
    assert story.lesson["owners"] == {story.lesson["service"]}


@each
def test_the_server_is_back_after_a_reboot(story: Story) -> None:
    assert good(story.done["verify after reboot"]) and good(story.done["plan after reboot"])


@each
def test_undo_puts_back_what_was_there(story: Story) -> None:
    assert good(story.done["undo"])
    assert steps(story.events["undo"], "restored")
    assert [line for line in story.lost() if not ZONE.match(line)] == []
    # A zone that firewalld wrote down says what its own default says.
    zone = story.host.root / "etc/firewalld/zones/public.xml"
    if zone.exists():
        default = (story.host.root / "usr/lib/firewalld/zones/public.xml").read_text()
        assert zone.read_text().split() == default.split()


@each
def test_no_command_line_had_a_secret(story: Story) -> None:
    lines = b"\n".join(story.command_lines)
    assert b"/nbserver.sh" in lines, "the script's own was seen"
    assert story.lines_with_secrets == {name: [] for name in story.site.secrets}
    assert b"argon2id" not in lines


@each
def test_the_passwords_are_nowhere_and_the_hash_in_one_file(story: Story) -> None:
    found = {name: [path.name for path in paths] for name, paths in story.secret_files.items()}
    assert found == {**{name: [] for name in story.site.secrets}, "hash": ["jupyter_config.json"]}


# -- Debian, wheels, ufw


def test_the_host_ran_the_script_that_was_rendered(debian: Story) -> None:
    manifest = json.loads((debian.site.folder / "rendered" / "manifest.json").read_text(encoding="utf-8"))
    assert debian.events["apply"][0]["script_sha256"] == manifest["hosts"]["lin1"]["sha256"]


def test_by_hand_the_script_tells_the_same(debian: Story) -> None:
    *before, code = debian.seen["by hand before"].splitlines()
    assert code == "2" and json.loads(before[-1])["differs"] is True
    *after, code = debian.seen["by hand"].splitlines()
    assert code == "0" and json.loads(after[-1])["differs"] is False


def test_the_unit_is_hardened(debian: Story) -> None:
    assert debian.seen["security"].splitlines()[-1] == "0", debian.seen["security"]
    assert debian.seen["security moved"].splitlines()[-1] == "0", debian.seen["security moved"]


def test_kernels_see_the_machines_memory_and_nobodys_processes(debian: Story) -> None:
    *lines, code = debian.seen["kernel's files"].splitlines()
    assert code == "0" and lines[0].startswith("MemTotal:") and any(line.startswith("cpu0 ") for line in lines)
    assert debian.seen["others' processes"] == "1\n"
    assert "/run/dbus/system_bus_socket" in debian.seen["ways out"] and len(debian.seen["ways out"].splitlines()) == 2, "not even a file"


def test_only_root_and_the_service_get_at_its_files(debian: Story) -> None:
    assert debian.seen["access"].splitlines()[:-1] == [
        "root:root 755 /opt/nbserver",
        "root:root 755 .",
        "root:root 700 state",
        "nbserver:nbserver 700 work",
        "nbserver:nbserver 750 notebooks",
        "root:nbserver 750 /etc/nbserver",
        "root:root 600 /etc/nbserver/certificate.cnf",
        "root:nbserver 640 /etc/nbserver/certificate.pem",
        "root:nbserver 640 /etc/nbserver/jupyter_config.json",
        "root:nbserver 640 /etc/nbserver/key.pem",
        "root:nbserver 640 /etc/nbserver/migrated",
        "root:nbserver 640 /etc/nbserver/serve.py",
    ]


def test_ufw_lets_the_port_in_and_nothing_else(debian: Story) -> None:
    assert debian.seen["ufw"].splitlines()[1:-1] == ["ufw allow 22/tcp", "ufw allow 9999/tcp comment 'nbserver'"]


def test_other_settings_replace_ours_and_start_the_server_again(debian: Story) -> None:
    assert good(debian.done["moved"])
    changed = [step for step, word in outcome(debian.done["moved"])["steps"].items() if word == "changed"]
    assert [step for step in changed if step != "check"] == ["notebook", "service", "firewall"]
    kept = [event for event in debian.events["moved"] if event.get("code") == "earlier-notebook-folder"]
    assert [event["values"] for event in kept] == [{"path": "/var/lib/nbserver/notebooks"}], "which is not empty, so cleanup keeps it"
    rule = "ufw allow from {} to any port 443 proto tcp comment 'nbserver'"
    rules = [rule.format(address) for address in (f"{NETWORK}.0/24", "2001:db8::/32")]
    assert debian.seen["ufw moved"].splitlines()[1:-1] == ["ufw allow 22/tcp", *rules]
    assert good(debian.done["verify moved"]), "with the new password, on a port below 1024, in a folder below /home"
    assert outcome(debian.done["moved again"]) == UNCHANGED


def test_a_rotation_evicts_who_knew_everything(debian: Story) -> None:
    """The former password, cookie, key, and a startup file: none of them is worth anything. `verify moved` has the new password."""
    assert good(debian.done["rotated"])
    changed = [step for step, word in outcome(debian.done["rotated"])["steps"].items() if word == "changed"]
    assert changed == ["certificate", "notebook", "service", "check"]
    assert debian.seen["former user"] == "200 403 403"
    key, _ = debian.seen["before rotation"].splitlines()
    aside, new_key, _ = debian.seen["after rotation"].splitlines()
    assert aside.endswith("/work/ipython/profile_default/startup/00.py") and new_key != key


def test_undo_again_has_nothing_to_do(debian: Story) -> None:
    assert good(debian.done["undo again"])
    assert steps(debian.events["undo again"], "restored") == []


# -- the openSUSE-like host


def test_a_package_with_another_hash_is_not_installed(suse: Story) -> None:
    done, events = suse.done["tampered"], suse.events["tampered"]
    assert done.returncode == 3 and steps(events, "failed") == ["packages"], done.stdout
    (failed,) = (event["text"] for event in events if event["event"] == "failed")
    assert "numpy" in failed and "hash" in failed.lower()
    assert "nbserver.lock" not in suse.seen["environment"] and "enabled" not in suse.seen["environment"]


def test_zypper_brought_python_and_undo_took_it_away(suse: Story) -> None:
    assert {"python311", "openssl"} <= set(suse.seen["rpm"].split())
    assert steps(suse.events["undo"], "restored").count("python") == 1


def test_without_a_firewall_a_note_says_so(suse: Story) -> None:
    notes = [event["text"] for event in suse.events["plan"] if (event["step"], event["event"]) == ("firewall", "log")]
    assert len(notes) == 1 and "9999" in notes[0]


# -- Debian, its own packages, firewalld


def test_notebook_6_of_the_distribution_is_set_up(distribution: Story) -> None:
    versions = outcome(distribution.done["verify"])["versions"]
    assert versions["notebook"] == "6.4.12" and versions["numpy"].startswith("1.24.")


def test_firewalld_lets_the_addresses_in_now_and_later(distribution: Story) -> None:
    for name in ("now", "permanent"):
        rules = distribution.seen[f"firewalld {name}"].splitlines()[:-1]
        assert sorted(rules) == [
            f'rule family="ipv4" source address="{NETWORK}.0/24" port port="9999" protocol="tcp" accept',
            'rule family="ipv6" source address="2001:db8::/32" port port="9999" protocol="tcp" accept',
        ]


def test_a_stopped_server_stays_stopped_until_a_restart(debian: Story) -> None:
    assert outcome(debian.done["stopped"])["steps"] == {"service": "changed"}
    assert debian.seen["units while stopped"].split()[:2] == ["disabled", "inactive"] and debian.seen["answer while stopped"] == "none"
    differing = {event["code"] for event in debian.events["plan while stopped"] if event["event"] == "difference"}
    assert differing == {"unit-not-enabled", "unit-not-active", "port-certificate"}
    assert outcome(debian.done["status while stopped"])["status"]["service"]["state"] == "stopped"
    assert outcome(debian.done["restarted"])["steps"] == {"service": "changed", "check": "changed"}
    assert debian.events["restarted"][-1]["fingerprint"] == debian.events["apply"][-1]["fingerprint"]
    assert debian.seen["units after restart"].split()[:2] == ["enabled", "active"] and good(debian.done["plan after restart"])


def test_another_password_logs_everybody_out_and_another_certificate_nobody(debian: Story) -> None:
    assert debian.seen["who may list kernels"] == "200 403 403 200 200"
    assert outcome(debian.done["password set again"])["steps"] == {"notebook": "unchanged"}
    assert debian.events["certificate rotated"][-1]["fingerprint"] != debian.events["apply"][-1]["fingerprint"]
    assert good(debian.done["verify rotated certificate"]) and good(debian.done["plan after rotation"])


def test_host_and_workstation_have_the_same_runs(debian: Story) -> None:
    done = debian.done["evidence"]
    (said,) = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, said["findings"], said["running"]) == (0, [], []), done.stdout + done.stderr
    assert said["matching"] == said["runs"] > 8
