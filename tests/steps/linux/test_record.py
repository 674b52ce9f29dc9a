"""What changes a Linux host records what was there, and undo puts that back: real files and users, in a root of their own."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.linux import parts
from tests.linux.fixtures import record, run
from tests.linux.fixtures import sandbox as empty
from tests.linux.sandbox import Sandbox
from tests.tier import examples

__all__ = ["empty"]
STATE = "/var/lib/nbserver/state"
USER = parts.step("user")


@pytest.fixture
def sandbox(empty: Sandbox) -> Sandbox:
    """With a folder for the text file, which the step that writes it does not make."""
    empty.run("mkdir", "-m", "755", "/etc/nbserver")
    return empty


def small(name: str, test: str, apply: str) -> str:
    return f"step {name} 'the {name} is as it should be'\n{name}_test() {{\n{test}\n}}\n{name}_apply() {{\n{apply}\n}}\n"


FOLDER = small(
    "folder",
    "read_access /opt/nbserver\ncompare_folder /opt/nbserver root:root 755",
    "add_folder /opt/nbserver root:root 755\n: >/opt/nbserver/inside",
)
TEXT = small(
    "text",
    "has_text /etc/nbserver/text.conf 'new\n' || differs text /etc/nbserver/text.conf another new",
    "set_text_file /etc/nbserver/text.conf root:daemon 640 'new\n'",
)
DATA = small(
    "data",
    'read_access "$NB_NOTEBOOK_DIRECTORY"\ncan_service_write "$NB_NOTEBOOK_DIRECTORY" || differs notebooks notebooks none writable',
    'add_data_folder "$NB_NOTEBOOK_DIRECTORY"',
)
FAILING = small("failing", "differs everything everything wrong right", "run_program bash -c 'echo it broke; exit 4'")


def test_a_test_changes_nothing(sandbox: Sandbox) -> None:
    done = run(sandbox, "test", [FOLDER, TEXT])
    assert (done.outcome, done.code) == ("ok", 2)
    assert done.steps == [("folder", "difference"), ("text", "difference")]
    assert [event["is"] for event in done.of("difference")] == [None, "another"]
    for path in ("/var/lib/nbserver", "/opt/nbserver", "/etc/nbserver/text.conf"):
        assert not sandbox.exists(path)


def test_apply_apply_again_undo(sandbox: Sandbox) -> None:
    first = run(sandbox, "apply", [FOLDER, TEXT, USER, DATA], name="first")
    assert (first.outcome, first.code, first.errors) == ("ok", 0, "")
    assert [event for event in first.steps if event[1] == "changed"] == [(name, "changed") for name in ("folder", "text", "user", "data")]
    assert first.events[-1]["changed"] == 4
    assert sandbox.read(f"{STATE}/runs/first/events.jsonl").decode().splitlines() == first.lines
    assert sandbox.access(STATE) == "root:root 700" and sandbox.access("/var/lib/nbserver") == "root:root 755"
    assert sandbox.access("/opt/nbserver") == "root:root 755" and sandbox.access("/etc/nbserver/text.conf") == "root:daemon 640"
    assert sandbox.access("/srv/people/notebooks") == "nbserver:nbserver 750" and sandbox.access("/srv/people") == "root:root 755"
    assert sandbox.run("getent", "passwd", "nbserver").stdout.split(b":")[5:] == [b"/var/lib/nbserver/work", b"/usr/sbin/nologin\n"]
    assert [(line["kind"], line["key"], line["before"]) for line in record(sandbox)] == [
        ("folder", "/opt/nbserver", None),
        ("file", "/etc/nbserver/text.conf", None),
        ("user", "nbserver", None),
        ("data_folder", "/srv/people", None),
        ("data_folder", "/srv/people/notebooks", None),
    ]

    second = run(sandbox, "apply", [FOLDER, TEXT, USER, DATA])
    assert {event for _, event in second.steps} == {"unchanged"} and second.events[-1]["differs"] is False

    undone = run(sandbox, "undo", [FOLDER, TEXT, USER, DATA])
    assert (undone.outcome, undone.code) == ("ok", 0)
    assert [(event["step"], event["kind"]) for event in undone.of("restored")] == [
        ("data", "data_folder"),
        ("data", "data_folder"),
        ("user", "user"),
        ("text", "file"),
        ("folder", "folder"),
    ]
    for path in ("/opt/nbserver", "/etc/nbserver/text.conf", "/srv/people"):
        assert not sandbox.exists(path)
    assert (
        sandbox.run("getent", "passwd", "nbserver", check=False).returncode == 2
        and sandbox.run("getent", "group", "nbserver", check=False).returncode == 2
    )
    assert record(sandbox) == []
    assert run(sandbox, "undo", [FOLDER]).outcome == "ok"


def test_what_was_there_comes_back_with_owner_and_mode(sandbox: Sandbox) -> None:
    sandbox.run("mkdir", "-p", "/opt/nbserver", "/srv/people/notebooks")
    sandbox.run("chmod", "2711", "/opt/nbserver")
    sandbox.run("chown", "daemon:games", "/opt/nbserver", "/srv/people/notebooks")
    sandbox.write("/etc/nbserver/text.conf", b"old\0\xff")
    sandbox.run("chmod", "604", "/etc/nbserver/text.conf")
    steps = [FOLDER, TEXT, USER, DATA]
    assert run(sandbox, "apply", steps).outcome == "ok"
    assert sandbox.access("/srv/people/notebooks") == "daemon:nbserver 775", "who had it keeps it, and the service may write"
    copy = next(line["before"] for line in record(sandbox) if line["kind"] == "file")
    assert sandbox.read(copy) == b"old\0\xff"
    sandbox.run("touch", "/srv/people/notebooks/mine")
    done = run(sandbox, "undo", steps)
    assert done.outcome == "ok"
    assert sandbox.access("/opt/nbserver") == "daemon:games 2711" and sandbox.exists("/opt/nbserver/inside")
    assert sandbox.access("/srv/people/notebooks") == "daemon:games 755" and sandbox.exists("/srv/people/notebooks/mine")
    assert sandbox.read("/etc/nbserver/text.conf") == b"old\0\xff" and sandbox.access("/etc/nbserver/text.conf") == "root:root 604"
    assert not sandbox.exists(f"{STATE}/before")


def test_a_folder_with_somebodys_files_stays(sandbox: Sandbox) -> None:
    assert run(sandbox, "apply", [USER, DATA]).outcome == "ok"
    sandbox.run("touch", "/srv/people/notebooks/mine")
    done = run(sandbox, "undo", [USER, DATA])
    assert done.outcome == "ok" and sandbox.exists("/srv/people/notebooks/mine")
    assert [event["text"] for event in done.of("warning")][:2] == [
        "/srv/people/notebooks was kept, because it contains files",
        "/srv/people was kept, because it contains files",
    ]


def test_a_step_that_fails_says_why_and_where(sandbox: Sandbox) -> None:
    done = run(sandbox, "apply", [FOLDER, FAILING, TEXT])
    assert (done.outcome, done.code) == ("failed", 3)
    (failed,) = done.of("failed")
    line = parts.script([FOLDER, FAILING, TEXT]).splitlines().index("run_program bash -c 'echo it broke; exit 4'") + 1
    assert (failed["step"], failed["text"], failed["at"]) == ("failing", "bash exited with code 4: it broke", f"line {line}")
    assert not sandbox.exists("/etc/nbserver/text.conf") and sandbox.exists("/opt/nbserver")
    assert run(sandbox, "undo", [FOLDER]).outcome == "ok" and not sandbox.exists("/opt/nbserver")


@pytest.mark.parametrize(
    ("apply", "words"),
    [
        ("false", "the script exited with code 1"),
        (': "$no_such_variable"', "the script stopped unexpectedly with exit code 1"),
        ("local x; x=$(false; echo y)", "the script exited with code 1"),
        ("true", 'everything did not change as expected: expected "right", got "wrong"'),
        ("fail no-way 'no way'", "no way"),
        ("no_such_command", "the script exited with code 127"),
        ("exit 0", "the script stopped unexpectedly with exit code 0"),
    ],
)
def test_however_a_step_ends_the_run_says_so(sandbox: Sandbox, apply: str, words: str) -> None:
    done = run(sandbox, "apply", [small("bad", "differs everything everything wrong right", apply), FOLDER])
    assert (done.outcome, done.code) == ("failed", 3)
    assert done.of("failed")[0]["text"].startswith(words)
    assert not sandbox.exists("/opt/nbserver")
    assert run(sandbox, "apply", [FOLDER]).outcome == "ok", "and the lock is free"


def test_what_cannot_be_put_back_is_told_and_stays_in_the_record(sandbox: Sandbox) -> None:
    assert run(sandbox, "apply", [FOLDER, TEXT]).outcome == "ok"
    sandbox.run("rm", "/etc/nbserver/text.conf")
    sandbox.run("mkdir", "/etc/nbserver/text.conf")
    done = run(sandbox, "undo", [FOLDER, TEXT])
    assert (done.outcome, done.code) == ("failed", 3)
    assert [event["what"] for event in done.of("restored")] == ["/opt/nbserver"], "the others are put back all the same"
    assert (
        "could not restore /etc/nbserver/text.conf: could not remove /etc/nbserver/text.conf. Fix this error"
        in done.of("failed")[0]["text"]
    )
    assert [line["key"] for line in record(sandbox)] == ["/etc/nbserver/text.conf"]
    sandbox.run("rmdir", "/etc/nbserver/text.conf")
    assert run(sandbox, "undo", [FOLDER, TEXT]).outcome == "ok" and record(sandbox) == []


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{",
        '{"v":1,"step":"a","kind":"folder","key":"/opt/nbserver","bef',
        '{"v":0,"step":"a","kind":"folder","key":"/x","before":null}',
        '{"v":2',
    ],
)
def test_a_record_that_is_not_whole_is_refused(sandbox: Sandbox, line: str) -> None:
    assert run(sandbox, "apply", [FOLDER]).outcome == "ok"
    good = sandbox.read(f"{STATE}/record.jsonl").decode()
    sandbox.write(f"{STATE}/record.jsonl", good + line + "\n")
    for mode in ("undo", "apply"):
        done = run(sandbox, mode, [FOLDER, TEXT])
        assert done.outcome == "failed" and " is not valid. Restore this file from a backup" in done.of("failed")[0]["text"]
    assert sandbox.exists("/opt/nbserver") and not sandbox.exists("/etc/nbserver/text.conf")


@pytest.mark.parametrize("version", [2, 10])
def test_a_record_of_a_newer_release_is_not_called_damaged(sandbox: Sandbox, version: int) -> None:
    assert run(sandbox, "apply", [FOLDER]).outcome == "ok"
    good = sandbox.read(f"{STATE}/record.jsonl").decode()
    sandbox.write(f"{STATE}/record.jsonl", f'{good}{{"v":{version},"step":"a","kind":"folder","key":"/x","before":{{}}}}\n')
    for mode in ("undo", "apply"):
        failed = run(sandbox, mode, [FOLDER, TEXT]).of("failed")[0]
        assert failed["code"] == "record-newer" and f"has format version {version}: a newer release of nbserver wrote it" in failed["text"]
    assert sandbox.exists("/opt/nbserver") and not sandbox.exists("/etc/nbserver/text.conf")


def test_a_kind_of_another_release_is_told(sandbox: Sandbox) -> None:
    assert run(sandbox, "apply", [FOLDER]).outcome == "ok"
    sandbox.write(
        f"{STATE}/record.jsonl", sandbox.read(f"{STATE}/record.jsonl") + b'{"v":1,"step":"a","kind":"carpet","key":"/x","before":null}\n'
    )
    done = run(sandbox, "undo", [FOLDER])
    assert done.outcome == "failed" and 'this nbserver release cannot undo changes of the kind "carpet"' in done.of("failed")[0]["text"]
    assert not sandbox.exists("/opt/nbserver")


def test_a_write_that_was_cut_off_leaves_the_record_as_it_was(sandbox: Sandbox) -> None:
    assert run(sandbox, "apply", [FOLDER]).outcome == "ok"
    sandbox.write(f"{STATE}/record.jsonl.new", '{"v":1,"st')
    assert run(sandbox, "undo", [FOLDER]).outcome == "ok" and not sandbox.exists("/opt/nbserver")


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        ("mkdir -m 755 /var/lib/nbserver; mkdir -m 755 /var/lib/nbserver/state", "other users have access to it (mode 755)"),
        (
            "mkdir -m 755 /var/lib/nbserver; mkdir -m 700 /var/lib/nbserver/state; chown daemon /var/lib/nbserver/state",
            "because it belongs to daemon",
        ),
        ("mkdir -m 777 /var/lib/nbserver", "other users can write to it (mode 777)"),
        ("mkdir -m 755 /var/lib/nbserver; chown daemon /var/lib/nbserver", "because it belongs to daemon"),
        ("mkdir -m 700 /var/lib/else; ln -s else /var/lib/nbserver", "is a link or is not a folder"),
        (
            "mkdir -m 755 /var/lib/nbserver; mkdir -m 700 /var/lib/else; ln -s ../else /var/lib/nbserver/state",
            "is a link or is not a folder",
        ),
        ("mkdir -m 755 /var/lib/nbserver; touch /var/lib/nbserver/state", "is a link or is not a folder"),
    ],
)
def test_a_state_folder_that_others_could_fill_is_refused(sandbox: Sandbox, prepare: str, words: str) -> None:
    sandbox.run("bash", "-c", prepare)
    for mode in ("apply", "undo"):
        done = run(sandbox, mode, [FOLDER])
        assert done.outcome == "failed" and words in done.of("failed")[0]["text"]
    assert not sandbox.exists("/opt/nbserver")


# ---- text files and keys, whatever is in them

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30)
many = examples(40)


@many
@given(st.lists(st.tuples(texts.filter(bool), texts), min_size=1, max_size=4, unique_by=lambda pair: pair[0]))
def test_a_record_keeps_every_key(values: list[tuple[str, str]]) -> None:
    code = r"""
    folder=$(mktemp -d)
    RECORD_FILE=$folder/record.jsonl RUN_STEP=python
    while (($#)); do save_before file "$1" "$2"; save_before file "$1" other; shift 2; done
    RECORD=()
    read_record
    cat "$RECORD_FILE"
    printf '\0'
    for line in "${RECORD[@]}"; do split_line "$line"; printf '%s\0' "$LINE_STEP" "$LINE_KIND" "$LINE_KEY" "$LINE_BEFORE"; done
    rm -r "$folder"
    """
    done = parts.run(code, *(text for pair in values for text in pair))
    assert done.returncode == 0 and done.stderr == b""
    lines, *found = done.stdout.decode("utf-8").split("\0")[:-1]
    assert found == [text for key, before in values for text in ("python", "file", key, before)]
    assert [(line["key"], line["before"] or "") for line in map(json.loads, lines.splitlines())] == values


@many
@given(texts, texts, st.sampled_from(["@x@", "$&", "&", "s\u00e9cret\n", "'\"`$\\", ""]))
def test_a_text_file_holds_these_bytes_with_the_secret_in_its_place(text: str, other: str, secret: str) -> None:
    code = r"""
    folder=$(mktemp -d)
    SECRETS[x]=$3
    expand_secret "$1" x
    write_whole "$folder/file" root:root 600 "$REPLY"
    cat "$folder/file"
    printf '\0'
    if has_text "$folder/file" "$1" x; then printf 'same '; fi
    if has_text "$folder/file" "$2" x; then printf 'other '; fi
    SECRETS=()
    if has_text "$folder/file" "$1" x; then printf 'around'; fi
    rm -r "$folder"
    """
    if os.geteuid() != 0:
        pytest.skip("this needs root's rights, to give a file to root")
    for given_text in (text, f"{text}@x@{other}", f"@x@{text}@x@{other}@x@"):
        done = parts.run(code, given_text, other, secret)
        written, _, words = done.stdout.decode("utf-8").partition("\0")
        expected = given_text.replace("@x@", secret)
        assert written == expected
        assert "same" in words and "around" in words
        assert ("other" in words) == (other.replace("@x@", secret) == expected)


def test_copies_stay_while_the_record_names_them(tmp_path: Path) -> None:
    """Also in a home whose name is not ASCII, which the record writes otherwise."""
    copy = tmp_path / "jos\u00e9" / "before" / "1"
    copy.parent.mkdir(parents=True)
    copy.touch()
    code = """STATE_FOLDER=$1 RUN_STEP=x write_record() { return 0; }
    save_before file /etc/motd "$STATE_FOLDER/before/1"; remove_file_copies; [[ -e $STATE_FOLDER/before/1 ]] || exit 9
    RECORD=(); remove_file_copies; [[ ! -e $STATE_FOLDER/before ]]"""
    done = parts.run(code.replace(" write_record", "; write_record"), str(copy.parents[1]))
    assert done.returncode == 0, done.stderr
