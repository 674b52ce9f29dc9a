"""Packages by the real apt and dpkg of this machine, from a repository of our own, in a root file system of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.linux.fixtures import Run, record, run, sandbox
from tests.linux.parts import run as run_parts
from tests.linux.parts import script
from tests.linux.sandbox import Sandbox

__all__ = ["sandbox"]
STEP = """
step packages 'the packages are there'
packages_test() { read_system; compare_system_packages nb-top; }
packages_apply() { install_packages nb-top; }
"""
PACKAGES = {
    "nb-top": "Depends: nb-below (>= 1.0)",
    "nb-below": "Description: x",
    "nb-other": "Depends: nb-below",
    "nb-broken": "Description: x",
    "nb-else": "Description: x",
    "nb-either": "Depends: nb-top | nb-else",
}


def build(folder: Path, name: str, more: str) -> str:
    """A package with one file; what its index says of it."""
    root = folder / name
    (root / "DEBIAN").mkdir(parents=True)
    (root / "etc" / name).mkdir(parents=True)
    (root / "etc" / name / "configuration").write_text("x\n")
    control = f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: nobody <nobody@example.com>\nDescription: {name}\n"
    if more.startswith("Depends"):
        control += more + "\n"
    (root / "DEBIAN" / "control").write_text(control)
    (root / "DEBIAN" / "conffiles").write_text(f"/etc/{name}/configuration\n")
    if name == "nb-broken":
        (root / "DEBIAN" / "postinst").write_text("#!/bin/sh\necho it breaks >&2\nexit 1\n")
        (root / "DEBIAN" / "postinst").chmod(0o755)
    file = folder / f"{name}.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "--build", str(root), str(file)], check=True, capture_output=True)
    shutil.rmtree(root)
    import hashlib

    return f"{control}Filename: ./{file.name}\nSize: {file.stat().st_size}\nSHA256: {hashlib.sha256(file.read_bytes()).hexdigest()}\n"


@pytest.fixture
def host(sandbox: Sandbox, tmp_path: Path) -> Sandbox:
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        pytest.skip("this needs apt and dpkg")
    repository = tmp_path / "repository"
    repository.mkdir()
    index = "\n".join(build(repository, name, more) for name, more in PACKAGES.items())
    (repository / "Packages").write_text(index)
    archive = subprocess.run(["tar", "-C", str(repository), "-c", "."], check=True, capture_output=True).stdout
    sandbox.run("mkdir", "/srv/repository")
    sandbox.run("tar", "-C", "/srv/repository", "-x", input=archive)
    sandbox.run(
        "bash",
        "-c",
        "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/*; chmod -R a+rX /srv/repository; chmod 755 /srv",
    )
    sandbox.write("/etc/apt/sources.list", "deb [trusted=yes] file:/srv/repository ./\n")
    return sandbox


def installed(sandbox: Sandbox) -> set[str]:
    done = sandbox.run("dpkg-query", "--show", "--showformat", "${db:Status-Abbrev} ${Package}\\n")
    return {line.split()[1] for line in done.stdout.decode().splitlines() if line.startswith(("ii", "rc", "iF", "iU"))}


HOOK = """#!/bin/sh
printf '%s ' "suspend=${NEEDRESTART_SUSPEND-}" "mode=${NEEDRESTART_MODE-}" "bugs=${APT_LISTBUGS_FRONTEND-}" >>/var/log/nb-hook
"""


def see_hooks(host: Sandbox) -> None:
    """Where needrestart and apt-listbugs would be called, something notes what they would see."""
    host.write("/usr/local/bin/nb-hook", HOOK)
    host.run("chmod", "755", "/usr/local/bin/nb-hook")
    host.write(
        "/etc/apt/apt.conf.d/99nb",
        'DPkg::Pre-Install-Pkgs { "/usr/local/bin/nb-hook"; };\nDPkg::Post-Invoke { "/usr/local/bin/nb-hook"; };\n',
    )
    host.write("/etc/dpkg/dpkg.cfg.d/nb", "post-invoke=/usr/local/bin/nb-hook\n")


def words(done: Run) -> str:
    return "\n".join(f"{event['event']}: {event.get('text', '')}" for event in done.events)


def test_undo_removes_what_came_and_nothing_else(host: Sandbox) -> None:
    host.run("dpkg", "--unpack", "/srv/repository/nb-else.deb")
    before = installed(host)
    see_hooks(host)
    host.write("/var/lib/dpkg/updates/0001", "")  # of a dpkg that was interrupted
    planned, done = run(host, "test", [STEP]), run(host, "apply", [STEP])
    assert done.outcome == "ok", words(done)
    for warned in planned, done:
        assert [event["values"] for event in warned.of("warning")] == [{"packages": "nb-else"}], words(warned)
    assert host.run("dpkg-query", "--show", "--showformat", "${db:Status-Abbrev}", "nb-else").stdout == b"ii ", "apt did it by the way"
    assert installed(host) - before == {"nb-top", "nb-below"}
    (line,) = record(host)
    assert line["kind"] == "packages" and line["key"].split()[0] == "apt" and set(line["key"].split()[1:]) == {"nb-top", "nb-below"}
    assert {event["program"] for event in done.of("log")} <= {"apt-get", "dpkg"}
    host.run("apt-mark", "hold", "nb-top", "nb-below")
    assert {event for _, event in run(host, "apply", [STEP]).steps} == {"unchanged"}
    host.run("apt-mark", "unhold", "nb-top", "nb-below")
    host.write("/var/lib/dpkg/updates/0001", "")
    assert run(host, "undo", [STEP]).outcome == "ok"
    assert installed(host) == before and not host.exists("/etc/nb-top"), "configuration files too"
    seen = host.read("/var/log/nb-hook").decode().split()
    assert len(seen) > 6 and set(seen) == {"suspend=1", "mode=l", "bugs=none"}, "nobody else's service is started again, and nothing asks"


def test_what_was_there_stays(host: Sandbox) -> None:
    host.run("apt-get", "-q", "update")
    host.run("apt-get", "-qy", "install", "nb-below")
    assert run(host, "apply", [STEP]).outcome == "ok"
    assert [line["key"] for line in record(host)] == ["apt nb-top"]
    assert run(host, "undo", [STEP]).outcome == "ok"
    assert "nb-below" in installed(host) and "nb-top" not in installed(host)


def test_what_an_installation_upgrades_is_a_warning(host: Sandbox) -> None:
    """Undo does not bring back the earlier version."""
    older = """cd /tmp; dpkg-deb --raw-extract /srv/repository/nb-below.deb older; sed -i 's/^Version: .*/Version: 0.9-1/' older/DEBIAN/control
    dpkg-deb --root-owner-group --build older older.deb; dpkg --install older.deb"""
    host.run("bash", "-ec", older)
    done = run(host, "apply", [STEP])
    assert done.outcome == "ok" and [line["key"] for line in record(host)] == ["apt nb-top"], words(done)
    (warned,) = done.of("warning")
    assert (warned["code"], warned["values"]) == ("packages-upgraded", {"packages": "nb-below (0.9-1 to 1.0)"})
    assert run(host, "undo", [STEP]).outcome == "ok" and "nb-below" in installed(host)


def test_what_nothing_needs_stays_on_a_host_that_removes_it(host: Sandbox) -> None:
    """APT::Get::AutomaticRemove: with each package that comes or goes, apt removes those that nothing needs."""
    host.run("apt-get", "-q", "update")
    host.run("apt-get", "-qy", "install", "nb-else")
    host.run("apt-mark", "auto", "nb-else")
    host.write("/etc/apt/apt.conf.d/99nb", 'APT::Get::AutomaticRemove "true";\n')
    before = installed(host)
    done = run(host, "apply", [STEP])
    assert done.outcome == "ok" and "nb-else" in installed(host), words(done)
    done = run(host, "undo", [STEP])
    assert done.outcome == "ok" and done.of("warning") == [] and installed(host) == before, words(done)


def test_what_another_package_needs_meanwhile_stays(host: Sandbox) -> None:
    assert run(host, "apply", [STEP]).outcome == "ok"
    host.run("apt-get", "-qy", "install", "nb-other")
    done = run(host, "undo", [STEP])
    assert done.outcome == "ok", words(done)
    assert {"nb-other", "nb-below"} <= installed(host) and "nb-top" not in installed(host), "what nothing needs goes"
    assert [event["text"] for event in done.of("warning")] == [
        "undo kept the packages nb-below, because other packages that were installed later require some of them: nb-other"
    ]
    host.run("apt-get", "-qy", "purge", "nb-other")
    host.run("apt-get", "-qy", "autoremove", "--purge")
    assert "nb-below" not in installed(host), "the system's own autoremove may take it"


def test_what_others_need_in_one_way_or_another_stays_whole(host: Sandbox) -> None:
    both = STEP.replace("install_packages nb-top", "install_packages nb-top nb-else")
    assert run(host, "apply", [both]).outcome == "ok"
    host.run("apt-get", "-qy", "install", "nb-either")
    done = run(host, "undo", [both])
    assert done.outcome == "ok" and {"nb-top", "nb-else", "nb-either"} <= installed(host), words(done)


def test_configuration_files_that_were_there_before_stay(host: Sandbox) -> None:
    host.run("apt-get", "-q", "update")
    host.run("apt-get", "-qy", "install", "nb-below")
    host.write("/etc/nb-below/configuration", "the owner's\n")
    host.run("apt-get", "-qy", "remove", "nb-below")
    before = installed(host)
    assert "nb-below" in before
    assert run(host, "apply", [STEP]).outcome == "ok"
    (line,) = record(host)
    assert set(line["key"].split()) == {"apt", "nb-top", "nb-below"} and line["before"] == "nb-below"
    host.run("dpkg", "--unpack", "/srv/repository/nb-else.deb")
    before.add("nb-else")
    done = run(host, "undo", [STEP])
    assert done.outcome == "ok" and record(host) == [], words(done)
    assert [event["code"] for event in done.of("warning")] == ["packages-unfinished"]
    assert installed(host) == before and not host.exists("/etc/nb-top")
    assert host.read("/etc/nb-below/configuration") == b"the owner's\n"
    assert host.run("dpkg-query", "--show", "--showformat", "${db:Status-Abbrev}", "nb-below").stdout == b"rc "


def test_what_somebody_removed_needs_no_removing(host: Sandbox) -> None:
    assert run(host, "apply", [STEP]).outcome == "ok"
    host.run("apt-get", "-qy", "purge", "nb-top", "nb-below")
    host.run("dpkg", "--unpack", "/srv/repository/nb-else.deb")
    done = run(host, "undo", [STEP])
    assert done.outcome == "ok" and record(host) == [] and done.of("warning") == [], "apt did not run, and configured nothing"


def test_a_package_that_breaks_is_undone_too(host: Sandbox) -> None:
    before = installed(host)
    broken = STEP.replace("nb-top", "nb-broken")
    done = run(host, "apply", [broken])
    (failed,) = done.of("failed")
    assert failed["text"].startswith("could not install the packages (apt-get exited with code 100): ") and "it breaks" in words(done)
    assert run(host, "undo", [broken]).outcome == "ok"
    assert installed(host) == before


def test_a_name_that_no_source_has(host: Sandbox) -> None:
    done = run(host, "apply", [STEP.replace("nb-top", "nb-absent")])
    (failed,) = done.of("failed")
    assert "Unable to locate package nb-absent" in failed["text"] and "Check the package sources in /etc/apt" in failed["text"]
    assert not host.exists("/var/lib/nbserver/state/record.jsonl")


def test_sources_that_cannot_be_read_are_a_warning(host: Sandbox) -> None:
    host.run("apt-get", "-q", "update")
    host.write("/etc/apt/sources.list.d/gone.list", "deb [trusted=yes] file:/srv/gone ./\n")
    done = run(host, "apply", [STEP])
    assert done.outcome == "ok", words(done)
    (warning,) = done.of("warning")
    assert warning["code"] == "apt-update-failed" and "file:/srv/gone" in warning["text"]


# ---- locks

HOLD = "import fcntl, sys; file = open(sys.argv[1], 'a'); fcntl.lockf(file, fcntl.LOCK_EX); print('held', flush=True); sys.stdin.read()"  # it ends when it is killed
OURS = "Waiting for another package manager to finish"


def run_while_held(host: Sandbox, lock: str, who: str) -> tuple[list[dict[str, str]], bool]:
    """What an apply says while another process holds a lock, as apt does, until `who` says that it waits; and whether it did.

    The other one may wait too: a lock of another test, on another file system, can have the same inode.
    """
    host.write("/tmp/lin1.sh", script([STEP]))
    holder = host.start("/usr/bin/python3", "-c", HOLD, lock)
    assert holder.stdout and holder.stdout.readline() == b"held\n"
    try:
        ours = host.start("bash", "/tmp/lin1.sh", "envelope")
        assert ours.stdin and ours.stdout and ours.stderr
        ours.stdin.write(b"mode apply\nrun held\n")
        ours.stdin.close()
        events: list[dict[str, str]] = []
        waited = False
        for line in ours.stdout:
            events.append(json.loads(line))
            text = events[-1].get("text", "") + events[-1].get("what", "")
            if (text == OURS or text.startswith("Waiting for cache lock: ")) and events[-1].get("program", "nbserver") == who:
                waited = True
                holder.kill()
                holder.wait()
        ours.wait(600)
    finally:
        holder.kill()
        holder.wait()
    return events, waited


@pytest.mark.parametrize(
    ("lock", "who"),
    [
        ("/var/lib/apt/lists/lock", "nbserver"),
        ("/var/cache/apt/archives/lock", "nbserver"),
        ("/var/lib/dpkg/lock-frontend", "apt-get"),
        ("/var/lib/dpkg/lock", "apt-get"),
    ],
)
def test_another_apt_is_awaited(host: Sandbox, lock: str, who: str) -> None:
    """There are no lists of packages yet, as at the first start of a cloud host."""
    events, waited = run_while_held(host, lock, who)
    assert waited, events
    assert events[-1]["outcome"] == "ok" and "nb-top" in installed(host)
    assert [event for event in events if event["event"] == "warning"] == []


def test_a_dpkg_that_runs_is_no_interrupted_one(host: Sandbox) -> None:
    host.write("/var/lib/dpkg/updates/0001", "")
    events, waited = run_while_held(host, "/var/lib/dpkg/lock-frontend", "nbserver")
    assert waited and events[-1]["outcome"] == "ok", events


def pretend(host: Sandbox, code: str) -> None:
    """A simulation by apt-get that does this instead."""
    host.run("mv", "/usr/bin/apt-get", "/usr/bin/apt-get.real")
    host.write("/usr/bin/apt-get", f'#!/bin/sh\nif [ "$1" = --simulate ]; then {code}; fi\nexec /usr/bin/apt-get.real "$@"\n')
    host.run("chmod", "755", "/usr/bin/apt-get")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("echo E: Unmet dependencies; exit 100", "apt-get cannot determine what to install for nb-top: E: Unmet dependencies. Check"),
        ("echo Reading package lists...; exit 0", "apt does not report what it would install for nb-top, so undo could not"),
    ],
)
def test_what_undo_could_not_remove_is_not_installed(host: Sandbox, code: str, words: str) -> None:
    before = installed(host)
    pretend(host, code)
    done = run(host, "apply", [STEP])
    (failed,) = done.of("failed")
    assert words in failed["text"] and done.outcome == "failed"
    assert installed(host) == before and not host.exists("/var/lib/nbserver/state/record.jsonl")


@pytest.mark.parametrize("manager", ["apt", "zypper"])
def test_undo_keeps_the_record_if_the_package_database_cannot_be_read(manager: str) -> None:
    """A damaged database has no package, not even bash."""
    code = f"""
    query_with_{manager}() {{ printf 'error: cannot open the database\\n' >&2; return 2; }}
    restore_packages '{manager} libone libtwo' '' || printf '%s' "$PROBLEM_CODE"
    """
    assert run_parts(code).stdout == b"packages-unreadable"
