"""A folder for notebooks that has an access control list (acl(5)): the mode does not say what the service may do."""

from __future__ import annotations

import pytest

from tests.linux.fixtures import record, sandbox
from tests.linux.sandbox import Sandbox
from tests.steps.linux.powers import NOTEBOOKS, apply, host, refused

__all__ = ["host", "sandbox"]
# What setfacl does: for the owner, anna, the group, the mask, and others, and perhaps for the service.
SET = """
import os, pwd, struct, sys
folder, *further = sys.argv[1:]
entries = [(1, 7, -1), (2, 7, pwd.getpwnam("anna").pw_uid), *((2, 7, pwd.getpwnam(name).pw_uid) for name in further)]
entries += [(4, 5, -1), (16, 7 if further else 5, -1), (32, 0, -1)]
os.setxattr(folder, "system.posix_acl_access", struct.pack("<I", 2) + b"".join(struct.pack("<HHI", tag, may, who & 0xFFFFFFFF) for tag, may, who in entries))
"""

# As /usr/bin/test of Ubuntu 25.10 and 26.04 (uutils 0.2 to 0.9) does it: the kernel is not asked, so an access list does not count.
TEST_BY_MODE = """#!/usr/bin/python3
import os, sys

def may(option, path):
    about = os.stat(path)
    shift = 6 if about.st_uid == os.geteuid() else 3 if about.st_gid == os.getegid() else 0
    return about.st_mode >> shift & {"-r": 4, "-w": 2, "-x": 1}[option]

words = [word for word in sys.argv[1:] if word != "-a"]
sys.exit(not all(map(may, words[::2], words[1::2])))
"""


def set_list(host: Sandbox, *names: str) -> None:
    done = host.run("/usr/bin/python3", "-c", SET, NOTEBOOKS, *names, check=False)
    if done.returncode:
        pytest.skip(f"access lists need a file system that has them: {done.stderr.decode()}")


def test_a_list_that_does_not_let_the_service_write_is_not_changed(host: Sandbox) -> None:
    """chmod would give the group nothing, and anna more than she has."""
    host.run("mkdir", "-p", NOTEBOOKS)
    set_list(host)
    assert host.access(NOTEBOOKS) == "root:root 750"
    refused(
        apply(host),
        f"the access control list of {NOTEBOOKS} does not let the service write to this folder. "
        f"Run setfacl --modify user:nbserver:rwx {NOTEBOOKS}, then run nbserver apply again",
        step="notebook",
    )
    assert host.access(NOTEBOOKS) == "root:root 750"
    set_list(host, "nbserver")
    assert apply(host).outcome == "ok" and host.access(NOTEBOOKS) == "root:root 770"
    for mode in ("test", "apply"):
        assert ("notebook", "unchanged") in apply(host, mode=mode).steps
    host.run("setpriv", "--reuid=nbserver", "--regid=nbserver", "--clear-groups", "touch", f"{NOTEBOOKS}/a.ipynb")
    assert [line for line in record(host) if line["kind"] in ("access", "data_folder")] == []
    assert apply(host, mode="undo").outcome == "ok" and host.access(NOTEBOOKS) == "root:root 770"


def test_a_list_counts_where_the_program_test_compares_only_the_mode(host: Sandbox) -> None:
    host.write("/usr/bin/test", TEST_BY_MODE)
    host.run("mkdir", "-p", NOTEBOOKS)
    set_list(host)
    assert "the access control list" in apply(host).of("failed")[0]["text"]
    set_list(host, "nbserver")
    assert (
        host.run("setpriv", "--reuid=nbserver", "--regid=nbserver", "--clear-groups", "test", "-w", NOTEBOOKS, check=False).returncode == 1
    )
    assert apply(host).outcome == "ok" and host.access(NOTEBOOKS) == "root:root 770"
    assert ("notebook", "unchanged") in apply(host, mode="test").steps
