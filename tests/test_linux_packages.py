"""Packages by the real apt and dpkg of this machine, from a repository of our own, in a root file system of its own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.linux.fixtures import Run, record, run, sandbox
from tests.linux.sandbox import Sandbox

__all__ = ["sandbox"]
STEP = """
step packages 'the packages are there'
packages_test() { read_system; read_packages nb-top; [[ ${PACKAGES[nb-top]} ]] || difference nb-top '' installed; }
packages_apply() { install_packages nb-top; }
"""
PACKAGES = {
    "nb-top": "Depends: nb-below",
    "nb-below": "Description: x",
    "nb-other": "Depends: nb-below",
    "nb-broken": "Description: x",
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
    sandbox.run("bash", "-c", "rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/*; chmod -R a+rX /srv/repository; chmod 755 /srv")
    sandbox.write("/etc/apt/sources.list", "deb [trusted=yes] file:/srv/repository ./\n")
    return sandbox


def installed(sandbox: Sandbox) -> set[str]:
    done = sandbox.run("dpkg-query", "--show", "--showformat", "${db:Status-Abbrev} ${Package}\\n")
    return {line.split()[1] for line in done.stdout.decode().splitlines() if line.startswith(("ii", "rc", "iF", "iU"))}


def words(done: Run) -> str:
    return "\n".join(f"{event['event']}: {event.get('text', '')}" for event in done.events)


def test_undo_removes_what_came_and_nothing_else(host: Sandbox) -> None:
    before = installed(host)
    done = run(host, "apply", [STEP])
    assert done.outcome == "ok", words(done)
    assert installed(host) - before == {"nb-top", "nb-below"}
    (line,) = record(host)
    assert line["kind"] == "packages" and line["key"].split()[0] == "apt" and set(line["key"].split()[1:]) == {"nb-top", "nb-below"}
    assert {event["program"] for event in done.of("log")} == {"apt-get"}
    assert {event for _, event in run(host, "apply", [STEP]).steps} == {"unchanged"}
    assert run(host, "undo", [STEP]).outcome == "ok"
    assert installed(host) == before and not host.exists("/etc/nb-top"), "configuration files too"


def test_what_was_there_stays(host: Sandbox) -> None:
    host.run("apt-get", "-q", "update")
    host.run("apt-get", "-qy", "install", "nb-below")
    assert run(host, "apply", [STEP]).outcome == "ok"
    assert [line["key"] for line in record(host)] == ["apt nb-top"]
    assert run(host, "undo", [STEP]).outcome == "ok"
    assert "nb-below" in installed(host) and "nb-top" not in installed(host)


def test_what_another_package_needs_meanwhile_stays(host: Sandbox) -> None:
    assert run(host, "apply", [STEP]).outcome == "ok"
    host.run("apt-get", "-qy", "install", "nb-other")
    done = run(host, "undo", [STEP])
    assert done.outcome == "ok", words(done)
    assert {"nb-other", "nb-below"} <= installed(host)
    assert "because nb-other came later and needs some of them" in done.of("warning")[0]["text"]
    host.run("apt-get", "-qy", "purge", "nb-other")
    host.run("apt-get", "-qy", "autoremove", "--purge")
    assert not {"nb-top", "nb-below"} & installed(host)


def test_what_somebody_removed_needs_no_removing(host: Sandbox) -> None:
    assert run(host, "apply", [STEP]).outcome == "ok"
    host.run("apt-get", "-qy", "purge", "nb-top", "nb-below")
    assert run(host, "undo", [STEP]).outcome == "ok" and record(host) == []


def test_a_package_that_breaks_is_undone_too(host: Sandbox) -> None:
    before = installed(host)
    broken = STEP.replace("nb-top", "nb-broken")
    done = run(host, "apply", [broken])
    (failed,) = done.of("failed")
    assert failed["text"].startswith("apt-get ended with code 100. ") and "it breaks" in words(done)
    assert run(host, "undo", [broken]).outcome == "ok"
    assert installed(host) == before


def test_a_name_that_no_source_has(host: Sandbox) -> None:
    done = run(host, "apply", [STEP.replace("nb-top", "nb-absent")])
    (failed,) = done.of("failed")
    assert "Unable to locate package nb-absent" in failed["text"] and "The sources of packages are in /etc/apt" in failed["text"]
    assert not host.exists("/var/lib/nbserver/state/record.jsonl")


def test_sources_that_cannot_be_read_are_a_warning(host: Sandbox) -> None:
    host.run("apt-get", "-q", "update")
    host.write("/etc/apt/sources.list.d/gone.list", "deb [trusted=yes] file:/srv/gone ./\n")
    done = run(host, "apply", [STEP])
    assert done.outcome == "ok", words(done)
    assert "apt-get update failed" in done.of("warning")[0]["text"]
