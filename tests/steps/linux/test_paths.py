"""Root changes what a path of the settings or of the record names, and nothing that somebody else put in its place.

/etc/powers stands for /etc/sudoers.d and the like: whoever can write there has root.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.linux import parts
from tests.linux.fixtures import record, sandbox
from tests.linux.sandbox import Sandbox
from tests.steps.linux.powers import (
    FILES,
    NOTEBOOK,
    NOTEBOOKS,
    POWERS,
    PREFLIGHT,
    STATE,
    USER,
    apply,
    changed,
    host,
    powers,
    refused,
)

__all__ = ["host", "sandbox"]


# ---- links


LINKS = {
    "the folder itself": (f"mkdir /srv/people; ln -s {POWERS} {NOTEBOOKS}", NOTEBOOKS),
    "one in the middle": ("ln -s /etc /srv/people", "/srv/people/powers"),
    "one that leads nowhere yet": (f"mkdir /srv/people; ln -s {POWERS}/new {NOTEBOOKS}", NOTEBOOKS),
    "one above what is not there yet": (f"ln -s {POWERS} /srv/people", NOTEBOOKS),
}


def test_a_link_is_refused_before_anything_is_done(host: Sandbox) -> None:
    before = powers(host)
    for made, directory in LINKS.values():
        host.run("bash", "-ec", f"rm -rf /srv/*; {made}")
        for mode in ("test", "apply"):
            refused(
                apply(host, directory=directory, mode=mode),
                "notebook.directory",
                "is a link",
                "Replace the link with a folder or a bind mount",
            )
        assert powers(host) == before and host.run("getent", "passwd", "nbserver", check=False).returncode == 2


def test_a_link_that_comes_between_test_and_apply_is_refused(host: Sandbox) -> None:
    before = powers(host)
    for made, directory in LINKS.values():
        host.run("bash", "-ec", "rm -rf /srv/* /run/quick")
        done = apply(host, [*PREFLIGHT, USER, FILES, changed("quick", made), NOTEBOOK], directory)
        refused(done, "is a link", step="notebook")
        assert powers(host) == before


def test_a_link_that_comes_before_a_folder_is_opened_is_refused(host: Sandbox) -> None:
    """Between the look for links and the opening: the kernel says which folder was opened."""
    folder = "step folder 'a folder'\nfolder_test() { differs folder folder '' there; }\n"
    folder += "folder_apply() { check_links() { return 0; }; set_access /srv/moved/powers daemon:daemon 777; }\n"
    host.run("ln", "-s", "/etc", "/srv/moved")
    before = powers(host)
    refused(apply(host, [folder]), f"/srv/moved/powers contains a link and resolves to {POWERS}", step="folder")
    assert powers(host) == before


@pytest.mark.parametrize("place", ["/opt/nbserver", "/etc/nbserver", "/var/lib/nbserver/work"])
def test_a_link_in_a_place_of_nbservers_own_is_refused(host: Sandbox, place: str) -> None:
    folder = f"step folder 'a folder'\nfolder_test() {{ differs folder folder '' there; }}\nfolder_apply() {{ add_folder {place} daemon:daemon 777; }}\n"
    host.run("bash", "-ec", f"mkdir -p {place.rpartition('/')[0]}; ln -s {POWERS} {place}")
    before = powers(host)
    refused(apply(host), place, "is a link")
    refused(apply(host, [folder]), place, "is a link", step="folder")
    assert powers(host) == before


@pytest.mark.parametrize(
    ("made", "owner"),
    [
        ("mkdir -p {0}; chown daemon:games {0}", "daemon:games 755"),
        ("mkdir -p {0}; chown root:games {0}; chmod 2750 {0}", "root:games 2750"),
    ],
)
def test_undo_changes_nothing_behind_a_link(host: Sandbox, made: str, owner: str) -> None:
    host.run("bash", "-ec", made.format(NOTEBOOKS))
    assert apply(host).outcome == "ok" and host.access(NOTEBOOKS) in ("daemon:nbserver 775", "root:nbserver 2770")
    host.run("bash", "-ec", f"mv {NOTEBOOKS} /srv/moved; ln -s {POWERS} {NOTEBOOKS}")
    before = powers(host)
    done = apply(host, mode="undo")
    refused(done, f"could not restore {NOTEBOOKS}: ", "is a link", step="notebook")
    assert powers(host) == before
    assert [line["key"] for line in record(host)] == ["nbserver", NOTEBOOKS], (
        "all else is put back; whoever has files there keeps the account"
    )
    host.run("bash", "-ec", f"rm {NOTEBOOKS}; mv /srv/moved {NOTEBOOKS}")
    assert apply(host, mode="undo").outcome == "ok" and host.access(NOTEBOOKS) == owner and record(host) == []


@pytest.mark.parametrize("place", ["/srv/people", "/var/lib/nbserver/work", "/etc/nbserver"])
def test_undo_removes_nothing_behind_a_link(host: Sandbox, place: str) -> None:
    assert apply(host).outcome == "ok"
    host.run(
        "bash",
        "-ec",
        f"mv {place} /srv/moved; mkdir {POWERS}/notebooks; echo x >{POWERS}/jupyter_config.json; echo x >{POWERS}/nbserver.lock; ln -s {POWERS} {place}",
    )
    before = powers(host)
    done = apply(host, mode="undo")
    assert done.outcome == "failed" and "is a link" in done.of("failed")[0]["text"]
    assert powers(host) == before and host.exists(f"{POWERS}/notebooks")


def test_a_file_that_waits_for_its_name_is_no_way_out(host: Sandbox) -> None:
    """A folder that was there before may hold links where this script writes a file before it gets its name."""
    host.run(
        "bash",
        "-ec",
        f"mkdir -m 777 /etc/nbserver; for name in jupyter_config.json key.pem certificate.pem; do ln -s {POWERS}/sudoers /etc/nbserver/$name.new; done",
    )
    before = powers(host)
    assert apply(host, [*PREFLIGHT, USER, parts.step("certificate"), FILES, NOTEBOOK]).outcome == "ok"
    assert powers(host) == before and host.access("/etc/nbserver/key.pem") == "root:nbserver 640"


def test_what_a_kernel_put_into_its_folder_is_removed_without_leaving_it(host: Sandbox) -> None:
    assert apply(host).outcome == "ok"
    host.run(
        "bash",
        "-ec",
        f"cd /var/lib/nbserver/work; ln -s {POWERS} powers; ln -s {POWERS}/sudoers nbserver.lock; mkdir deep; ln -s / deep/root; chown --no-dereference nbserver powers deep",
    )
    before = powers(host)
    assert apply(host, mode="undo").outcome == "ok"
    assert powers(host) == before and not host.exists("/var/lib/nbserver/work")


def test_a_disk_that_is_mounted_in_a_folder_is_not_emptied(host: Sandbox) -> None:
    assert apply(host).outcome == "ok"
    disk = "/var/lib/nbserver/work/disk"
    host.run("bash", "-ec", f"mkdir {disk}; mount -t tmpfs tmpfs {disk}; echo theirs >{disk}/file")
    done = apply(host, mode="undo")
    refused(done, "could not remove some files in /var/lib/nbserver/work", step="notebook")
    assert host.read(f"{disk}/file") == b"theirs\n"
    host.run("umount", disk)
    assert apply(host, mode="undo").outcome == "ok" and not host.exists("/var/lib/nbserver/work")


# ---- folders that are the system's, or that somebody else can exchange


SYSTEM = """
/etc/nb/books /usr/local/notebooks /boot/notebooks /proc/1/notebooks /sys/kernel /dev/shm/notebooks /run/notebooks /bin/notebooks /lib64/x /lib/x /sbin/x
/var/lib /var/lib/dpkg /var/log/notebooks /var/spool/cron /var/cache/notebooks /tmp/notebooks /var/tmp/notebooks /var/run/x
/opt/nbserver/notebooks /etc/nbserver /var/lib/nbserver /var/lib/nbserver/state /var/lib/nbserver/state/runs /var/lib/nbserver/work /var/lib/nbserver/work/x
/srv /opt /etc / /srv/../etc/powers /srv/x/.. /srv//people /srv/x/ srv/x /srv/./x /root
""".split()
PEOPLES = [
    "/srv/notebooks",
    "/home/notebooks",
    "/root/notebooks",
    "/var/lib/nbserver/notebooks",
    "/var/lib/nbserver/x/y",
    "/var/lib/not-there/yet",
    "/opt/nbserver-data",
    "/libs/x",
    "/data/a b",
    "/mnt/usr/lib",
]


def test_which_folders_are_the_systems() -> None:
    done = parts.run('for path in "$@"; do if is_data_folder "$path"; then printf "%s\\n" "$path"; fi; done', *SYSTEM, *PEOPLES)
    assert done.stdout.decode().splitlines() == PEOPLES


def test_a_folder_of_the_system_is_refused(host: Sandbox) -> None:
    look = "stat -c '%n %U:%G %a' /etc /srv /home/anna /root /var/lib /var/log"
    before = host.run("bash", "-c", look).stdout
    for directory in ("/home/anna", "/var/log", "/etc/powers"):
        refused(
            apply(host, directory=directory),
            f"notebook.directory is {directory}, which is",
            "Set notebook.directory to another folder, such as /srv/notebooks",
        )
    assert host.run("bash", "-c", look).stdout == before


EXCHANGE = {
    "everybody may": (f"mkdir -p {NOTEBOOKS}; chmod 777 /srv/people", NOTEBOOKS, ("/srv/people", "every user", "chmod o-w /srv/people")),
    "a group may": (
        f"mkdir -p {NOTEBOOKS}; chown root:games /srv/people; chmod 775 /srv/people",
        NOTEBOOKS,
        ("/srv/people", "the group games", "chmod g-w /srv/people"),
    ),
    "the group of one user is also that of another": (
        "useradd --gid anna clara; mkdir /home/anna/notebooks; chown anna: /home/anna/notebooks; chmod 775 /home/anna",
        "/home/anna/notebooks",
        ("/home/anna", "the group anna", "chmod g-w /home/anna"),
    ),
    "another user may": (f"mkdir -p {NOTEBOOKS}; chown anna /srv/people; chown daemon {NOTEBOOKS}", NOTEBOOKS, ("/srv/people", "anna")),
    "somebody may further up": ("mkdir -p /srv/a/b/c; chown anna /srv/a", "/srv/a/b/c", ("/srv/a", "anna")),
    "another user has what is in a sticky folder": (
        "mkdir -p /srv/people; chmod 1777 /srv/people; mkdir -p /srv/people/theirs/notebooks; chown anna /srv/people/theirs",
        "/srv/people/theirs/notebooks",
        ("anna",),
    ),
    "what is not there would be in anybody's folder": (
        "mkdir -m 777 /srv/people; chmod 777 /srv/people",
        NOTEBOOKS,
        ("/srv/people", "every user"),
    ),
    "somebody may whose name begins as the service's": (
        f"echo 'nbserver x:x:4444:54321::/:/bin/false' >>/etc/passwd; mkdir -p {NOTEBOOKS}; chown 4444 /srv/people",
        NOTEBOOKS,
        ("/srv/people belongs to nbserver x",),
    ),
    "a home folder lets everybody": (
        "mkdir /home/anna/notebooks; chown anna: /home/anna/notebooks; chmod 777 /home/anna",
        "/home/anna/notebooks",
        ("/home/anna", "every user"),
    ),
}


def test_a_folder_that_somebody_else_can_exchange_is_refused(host: Sandbox) -> None:
    look = "find /srv /home -exec stat -c '%n %U:%G %a' {} +"
    for made, directory, words in EXCHANGE.values():
        host.run("bash", "-ec", f"rm -rf /srv/* /home/anna/*; chmod 755 /home/anna; {made}")
        before = host.run("bash", "-c", look).stdout
        refused(apply(host, directory=directory, mode="test"), *words)
        assert host.run("bash", "-c", look).stdout == before


FINE = {
    "a person's own": ("mkdir /home/anna/notebooks; chown anna:anna /home/anna/notebooks", "/home/anna/notebooks", "anna:nbserver 775"),
    "a person's own, with a group of their own": (
        "chmod 775 /home/anna; mkdir -p /home/anna/a/b; chmod 775 /home/anna/a; chown --recursive anna:anna /home/anna",
        "/home/anna/a/b",
        "anna:nbserver 775",
    ),
    "a new one in a person's own": ("true", "/home/anna/a/b", "anna:nbserver 770"),
    "root's, in a folder where everybody has their own": (
        "mkdir -p /srv/people; chmod 1777 /srv/people; mkdir /srv/people/notebooks",
        NOTEBOOKS,
        "root:nbserver 775",
    ),
    "a new one where everybody has their own": ("mkdir -p /srv/people; chmod 1777 /srv/people", NOTEBOOKS, "nbserver:nbserver 750"),
}


def test_a_folder_that_nobody_else_can_exchange_is_used_and_put_back(host: Sandbox) -> None:
    look = "find /srv /home -exec stat -c '%n %U:%G %a' {} +"
    for made, directory, access in FINE.values():
        host.run("bash", "-ec", f"rm -rf /srv/* /home/anna/*; chmod 755 /home/anna; {made}")
        before = host.run("bash", "-c", look).stdout
        assert apply(host, directory=directory).outcome == "ok", directory
        assert host.access(directory) == access
        assert apply(host, directory=directory, mode="test").code == 0
        assert apply(host, directory=directory, mode="undo").outcome == "ok"
        assert host.run("bash", "-c", look).stdout == before and record(host) == []


def test_a_group_of_ones_own_is_not_ones_own_where_an_access_list_lets_others_in(tmp_path: Path) -> None:
    ask = 'if is_own_group "$1"; then printf "own "; else printf "shared "; fi\n'
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o775)
    if folder.owner() != folder.group():
        pytest.skip("this user has no group of their own")
    assert parts.run(ask + "ls() { printf 'drwxrwxr-x+ 2 x x\\n'; }\n" + ask, str(folder)).stdout == b"own shared "


# ---- the record


def test_undo_leaves_alone_what_the_record_should_not_name(host: Sandbox) -> None:
    assert apply(host).outcome == "ok"
    copy = f"{STATE}/before/x"
    host.run("bash", "-c", f"mkdir -p {STATE}/before; echo theirs >{copy}; printf '1 1 1\\n' >{POWERS}/process")
    foreign = [
        ("folder", POWERS, None),
        ("folder", f"/opt/nbserver/../../{POWERS}", None),
        ("folder", "/var/lib/nbserver/state", None),
        ("folder", "/opt/nbserver-other", None),
        ("data_folder", f"{POWERS}/notebooks", None),
        ("access", POWERS, "1:1 777"),
        ("access", "/home/anna", "1:1 777"),
        ("access", "/root", "1:1 777"),
        ("file", f"{POWERS}/sudoers", None),
        ("file", f"{POWERS}/sudoers", copy),
        ("file", "/etc/nbserver/x", f"{POWERS}/sudoers"),
        ("unit", "../../powers/sudoers", None),
        ("process", f"{POWERS}/process", None),
        ("user", "anna", None),
        ("files", POWERS, None),
        ("first_page", f"{POWERS}/Welcome.ipynb", None),
        ("first_page", f"{NOTEBOOKS}/other.ipynb", None),
    ]
    lines = [
        json.dumps({"v": 1, "step": "notebook", "kind": kind, "key": key, "before": before}, separators=(",", ":"))
        for kind, key, before in foreign
    ]
    own = host.read(f"{STATE}/record.jsonl").decode()
    host.write(f"{STATE}/record.jsonl", own + "\n".join(lines) + "\n")
    host.run("mkdir", f"{POWERS}/notebooks", "/opt/nbserver-other")
    before = powers(host)
    done = apply(host, mode="undo")
    assert done.outcome == "failed" and len(done.of("failed")) == len(foreign), done.of("failed")
    assert {event["text"].partition(": ")[2] for event in done.of("failed")} >= {
        '/var/lib/nbserver/state/record.jsonl, the list of what undo restores, contains a "folder" line that nbserver did not write. Find out who added this line, remove it, then try again. Fix this error, then run nbserver undo again'
    }
    assert (
        powers(host) == before
        and host.access("/home/anna") == "anna:anna 755"
        and host.exists("/opt/nbserver-other")
        and host.exists(f"{POWERS}/notebooks")
    )
    assert host.run("getent", "passwd", "anna").returncode == 0
    assert not host.exists("/etc/nbserver") and [
        line["kind"] for line in map(json.loads, host.read(f"{STATE}/record.jsonl").splitlines())
    ] == [kind for kind, _, _ in foreign], "what is ours is put back"


def test_a_notebook_folder_that_moved_is_put_back(host: Sandbox) -> None:
    """No setting names it any more; it is put back if it passes the same checks."""
    host.run("bash", "-ec", f"mkdir -p {NOTEBOOKS} /srv/other; chown daemon:games {NOTEBOOKS}")
    assert apply(host).outcome == "ok" and apply(host, directory="/srv/new/notebooks").outcome == "ok"
    assert apply(host, directory="/srv/other").outcome == "ok"
    done = apply(host, directory="/srv/other", mode="undo")
    assert done.outcome == "ok" and record(host) == []
    assert host.access(NOTEBOOKS) == "daemon:games 755" and host.access("/srv/other") == "root:root 755" and not host.exists("/srv/new")
