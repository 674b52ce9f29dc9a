"""Undo leaves people's files: they keep their owner, and nobody gets them with the account's number later."""

from __future__ import annotations

import pytest

from tests.linux.fixtures import record, sandbox
from tests.linux.sandbox import Sandbox
from tests.steps.linux.powers import (
    NOTEBOOKS,
    STEPS,
    apply,
    host,
    refused,
)

__all__ = ["host", "sandbox"]


def test_files_that_stay_keep_their_owner_and_the_account(host: Sandbox) -> None:
    """Nobody gets the number of the account while its files are there; the next apply finds them as they were."""
    assert apply(host).outcome == "ok"
    host.run(
        "setpriv",
        "--reuid=nbserver",
        "--regid=nbserver",
        "--clear-groups",
        "bash",
        "-c",
        f"umask 027; mkdir {NOTEBOOKS}/a; echo 1 >{NOTEBOOKS}/a/b.ipynb",
    )
    done = apply(host, mode="undo")
    assert done.outcome == "ok"
    assert [event["text"] for event in done.of("warning")] == [
        f"{NOTEBOOKS} was kept, because it contains files",
        "/srv/people was kept, because it contains files",
        f"the user nbserver was kept, because files in {NOTEBOOKS} belong to it. Remove these files or change their owner, then run nbserver undo again",
    ]
    host.run("useradd", "--system", "another")
    assert host.access(f"{NOTEBOOKS}/a/b.ipynb") == "nbserver:nbserver 640" and host.access(NOTEBOOKS) == "nbserver:nbserver 750"
    assert [(line["kind"], line["key"]) for line in record(host)] == [
        ("user", "nbserver"),
        ("data_folder", "/srv/people"),
        ("data_folder", NOTEBOOKS),
    ]
    assert not host.exists("/etc/nbserver") and not host.exists("/var/lib/nbserver/work")

    assert apply(host).outcome == "ok"
    assert host.run("setpriv", "--reuid=nbserver", "--regid=nbserver", "--clear-groups", "cat", f"{NOTEBOOKS}/a/b.ipynb").stdout == b"1\n"
    assert apply(host, mode="undo").outcome == "ok"
    host.run("rm", "-r", f"{NOTEBOOKS}/a")
    done = apply(host, mode="undo")
    assert done.outcome == "ok" and done.of("warning") == [] and record(host) == []
    assert not host.exists("/srv/people") and host.run("getent", "passwd", "nbserver", check=False).returncode == 2


def test_a_search_that_fails_has_not_found_that_there_are_no_files(host: Sandbox) -> None:
    """As in a folder that even root may not read (NFS, FUSE): the account stays."""
    host.run("bash", "-ec", f"mkdir -p {NOTEBOOKS}; chown anna:anna {NOTEBOOKS}")
    assert apply(host).outcome == "ok"
    done = apply(host, [*STEPS, "find() { return 1; }"], mode="undo")
    assert "the user nbserver was kept" in done.of("warning")[-1]["text"]
    assert host.run("getent", "passwd", "nbserver").returncode == 0 and ("user", "nbserver") in [
        (line["kind"], line["key"]) for line in record(host)
    ]
    assert apply(host, mode="undo").outcome == "ok", "a search that finds none lets it go"
    assert host.run("getent", "passwd", "nbserver", check=False).returncode == 2


def test_files_in_somebody_elses_folder_keep_their_owners(host: Sandbox) -> None:
    host.run("bash", "-ec", f"mkdir -p {NOTEBOOKS}; echo 1 >{NOTEBOOKS}/anna.txt; chown -R anna:anna {NOTEBOOKS}")
    assert apply(host).outcome == "ok" and host.access(NOTEBOOKS) == "anna:nbserver 775"
    host.run(
        "setpriv", "--reuid=nbserver", "--regid=nbserver", "--clear-groups", "bash", "-c", f"umask 027; echo 1 >{NOTEBOOKS}/ours.ipynb"
    )
    done = apply(host, mode="undo")
    assert done.outcome == "ok" and "the user nbserver was kept" in done.of("warning")[-1]["text"]
    assert (
        host.access(NOTEBOOKS) == "anna:anna 755"
        and host.access(f"{NOTEBOOKS}/ours.ipynb") == "nbserver:nbserver 640"
        and host.access(f"{NOTEBOOKS}/anna.txt") == "anna:anna 644"
    )
    assert [(line["kind"], line["key"]) for line in record(host)] == [("user", "nbserver"), ("files", NOTEBOOKS)]
    assert apply(host).outcome == "ok" and host.access(NOTEBOOKS) == "anna:nbserver 775"
    assert host.run("setpriv", "--reuid=nbserver", "--regid=nbserver", "--clear-groups", "cat", f"{NOTEBOOKS}/ours.ipynb").stdout == b"1\n"
    host.run("chown", "anna:", f"{NOTEBOOKS}/ours.ipynb")
    assert apply(host, mode="undo").outcome == "ok" and record(host) == [] and host.access(NOTEBOOKS) == "anna:anna 755"
    assert host.run("getent", "passwd", "nbserver", check=False).returncode == 2


@pytest.mark.parametrize(
    ("made", "directory", "words"),
    [
        (
            f"mkdir -p -m 750 {NOTEBOOKS}; chown 12345:12345 {NOTEBOOKS}",
            NOTEBOOKS,
            (
                "belongs to 12345, so the service cannot use it",
                f"run chown --recursive --no-dereference --from=12345 nbserver:nbserver {NOTEBOOKS}",
            ),
        ),
        (
            f"mkdir -p {NOTEBOOKS}/a; echo 1 >{NOTEBOOKS}/a/b; chown -R anna:anna {NOTEBOOKS}; chown 12345:12345 {NOTEBOOKS}/a/b",
            NOTEBOOKS,
            (f"{NOTEBOOKS}/a/b belongs to 12345, so the service cannot use it",),
        ),
        (
            "mkdir -p /var/lib/nbserver/notebooks; chown daemon: /var/lib/nbserver/notebooks; chmod 755 /var/lib/nbserver",
            "/var/lib/nbserver/notebooks",
            ("belongs to daemon", "chown"),
        ),
    ],
)
def test_files_of_a_user_that_is_gone_are_not_taken_for_good(host: Sandbox, made: str, directory: str, words: tuple[str, ...]) -> None:
    """As an undo of 0.1.0 left them: the service could not read them, or another user has their number by now."""
    host.run("bash", "-ec", made)
    refused(apply(host, directory=directory), *words, step="notebook")
