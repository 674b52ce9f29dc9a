"""The first page on a Linux host: written once, renewed while nobody has changed it, and otherwise left alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nbserver.render.bash import first_page_block
from nbserver.render.first_page import first_page
from tests.linux import parts
from tests.linux.fixtures import record, run, sandbox
from tests.linux.sandbox import Sandbox
from tests.steps.linux.small_steps import SECRETS, STEPS, host

__all__ = ["host", "sandbox"]
FOLDER = "/srv/people/notebooks"
PAGE = f"{FOLDER}/Welcome.ipynb"
ENGLISH, FRENCH, NONE = ([first_page_block(language), *STEPS] for language in ("en", "fr", None))


def states(host: Sandbox) -> list[str]:
    return [line["before"] for line in record(host) if line["kind"] == "first_page"]


def apply(host: Sandbox, steps: list[str]) -> list[tuple[str, str]]:
    done = run(host, "apply", steps, secrets=SECRETS)
    assert done.outcome == "ok" and done.errors == "", done.lines[-3:]
    return done.steps


def test_it_is_written_renewed_and_removed_while_nobody_has_changed_it(host: Sandbox) -> None:
    apply(host, NONE)
    assert host.run("find", FOLDER).stdout.decode().split() == [FOLDER]
    assert run(host, "test", ENGLISH).of("difference")[0]["what"] == PAGE
    apply(host, ENGLISH)
    assert host.read(PAGE).decode() == first_page("en") and host.access(PAGE) == "nbserver:nbserver 640"
    assert run(host, "test", ENGLISH).of("difference") == [] and len(states(host)) == 1
    apply(host, FRENCH)
    assert json.loads(host.read(PAGE))["cells"][0]["source"][0] == "# Bienvenue\n"
    assert ("notebook", "unchanged") in apply(host, NONE), "without a language, what is there stays"
    assert run(host, "undo", FRENCH).outcome == "ok"
    assert host.run("ls", "/srv").stdout == b""


def test_a_folder_in_a_closed_home_works_too(host: Sandbox) -> None:
    """The unit has the folder mounted; the user of the server cannot reach it by its path. What cannot be written restarts no server."""
    host.run(
        "bash",
        "-c",
        "useradd --create-home anna && chmod 700 /home/anna && mkdir -p /etc/systemd/system && touch /etc/systemd/system/nbserver.service",
    )
    folder = "/home/anna/notebooks"
    settings: dict[str, Any] = {"secrets": SECRETS, "notebook": {**parts.SETTINGS["notebook"], "directory": folder}}
    python = "read_server_python() { REPLY=/usr/bin/python3; }"
    assert run(host, "apply", [*ENGLISH, "PAGE_FAILED=1; write_first_page() { return 1; }"], **settings).outcome == "ok"
    times = host.run("stat", "--format=%y", "/etc/nbserver/jupyter_config.json", "/etc/nbserver/serve.py").stdout
    done = run(host, "apply", ENGLISH, **settings)
    assert "first-page-not-written" not in str(done.events) and host.read(f"{folder}/Welcome.ipynb").decode() == first_page("en")
    assert host.run("stat", "--format=%y", "/etc/nbserver/jupyter_config.json", "/etc/nbserver/serve.py").stdout == times
    assert run(host, "apply", ENGLISH, **settings).events[-1]["changed"] == 0
    assert [event["path"] for event in run(host, "list", [*ENGLISH, python], **settings).of("file")] == ["Welcome.ipynb"]
    assert run(host, "undo", ENGLISH, **settings).outcome == "ok" and not host.exists(folder)


@pytest.mark.parametrize("change", [f"echo >>{PAGE}", f"rm {PAGE}", f"rm {PAGE}; ln -s /etc/passwd {PAGE}", f"rm {PAGE}; mkfifo {PAGE}"])
def test_what_somebody_changed_or_removed_stays_so(host: Sandbox, change: str) -> None:
    apply(host, ENGLISH)
    host.run("bash", "-c", change)
    before = host.run("ls", FOLDER).stdout, host.run("cat", "/etc/passwd").stdout
    assert run(host, "test", FRENCH).of("difference") == []
    assert ("notebook", "unchanged") in apply(host, FRENCH)
    assert (host.run("ls", FOLDER).stdout, host.run("cat", "/etc/passwd").stdout) == before
    assert run(host, "undo", FRENCH).outcome == "ok"
    left = host.run("ls", FOLDER, check=False).stdout
    assert left == (b"" if change == f"rm {PAGE}" else b"Welcome.ipynb\n")


def test_the_page_of_somebody_else_is_never_replaced(host: Sandbox) -> None:
    host.run("mkdir", "-p", FOLDER)
    host.write(PAGE, "mine")
    apply(host, ENGLISH)
    assert host.read(PAGE) == b"mine" and states(host) == []
    run(host, "undo", ENGLISH)
    assert host.read(PAGE) == b"mine"


@pytest.mark.parametrize(("steps", "language", "others"), [(ENGLISH, "en", FRENCH), (FRENCH, "fr", ENGLISH)])
def test_an_interrupted_run_is_finished_by_the_next(host: Sandbox, steps: list[str], language: str, others: list[str]) -> None:
    """Killed between the two records: before there is a new file, before it has its name, and afterwards."""
    kill = "kill -KILL $$; exit"
    apply(host, NONE if steps is ENGLISH else others)
    for point, is_there in (
        (f"write_first_page() {{ {kill}; }}", False),
        (f'for_page() {{ if [[ $2 == mv ]]; then {kill}; fi; (instead_of_subshell "$@"); }}', True),
    ):
        cut = run(host, "apply", [*steps, point], secrets=SECRETS)
        assert cut.events[-1]["event"] != "finished" and len(states(host)) == 1 and " " in states(host)[0]
        assert host.exists(f"{PAGE}.new") is is_there
    apply(host, steps)
    assert host.read(PAGE).decode() == first_page(language)
    assert len(states(host)) == 1 and " " not in states(host)[0]
    assert host.run("ls", FOLDER).stdout == b"Welcome.ipynb\n"
    end = f'eval "plain_$(declare -f write_first_page)"; write_first_page() {{ plain_write_first_page "$1"; {kill}; }}'
    assert run(host, "apply", [*others, end], secrets=SECRETS).events[-1]["event"] != "finished"
    assert host.read(PAGE).decode() != first_page(language) and " " in states(host)[0]
    assert run(host, "undo", steps).outcome == "ok" and not host.exists("/srv/people")


def test_what_is_in_the_way_of_the_page_does_not_stop_the_run(host: Sandbox) -> None:
    apply(host, NONE)
    host.run("mkdir", "-p", f"{PAGE}.new/x")
    done = run(host, "apply", ENGLISH, secrets=SECRETS)
    (warning,) = (event for event in done.of("warning") if event["code"] == "first-page-not-written")
    assert done.outcome == "ok" and warning["values"]["path"] == PAGE, done.lines
    host.run("rm", "-r", f"{PAGE}.new")
    apply(host, ENGLISH)
    assert host.read(PAGE).decode() == first_page("en")
