"""A Windows host as a new user sets it up: each command of docs/first-windows-host.md, in its order, at a terminal.

And those of docs/tutorial.md for a host that exists.
"""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from nbserver.base import folding
from tests.boxes.mirror import Mirror
from tests.boxes.windows import WindowsBox
from tests.checkout import CHECKOUT
from tests.ports import free_port
from tests.site import Site
from tests.stories.newcomer import Newcomer

PAGE, TUTORIAL = ((CHECKOUT / "docs" / name).read_text("utf-8") for name in ("first-windows-host.md", "tutorial.md"))
PASSWORD, NOTEBOOK = "Canary-Windows-Tr0ub4dor", "correct horse battery"
ANSWERS = {"notebook.password": NOTEBOOK, "same password": NOTEBOOK, "password for": PASSWORD}
LESSON = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}\n'
DIFFERS = {"plan": 4}  # the exit code that the page names; all others are 0


def blocks(begins: str, page: str = PAGE) -> list[str]:
    """The indented blocks of a page that begin with a word."""
    found = re.findall(r"(?m)(?:^    .*\n|^\n(?=    ))+", page)
    return [text for text in (re.sub("(?m)^    ", "", block).strip("\n") for block in found) if text.startswith(begins)]


@pytest.mark.second_tier("installs a Windows host")
def test_a_new_user_sets_up_a_windows_host_as_the_page_says(windows_host: WindowsBox, mirror: Mirror, tmp_path: Path) -> None:
    mirror.behave()
    service = windows_host.endpoint(auth=["negotiate"], https=True, port=5986, password=PASSWORD)
    with service as endpoint:
        assert endpoint.certificate
        site = Site(tmp_path, endpoint, mirror, port=free_port(), windows_password=PASSWORD, notebook_password="")
        mirror.write_catalog(tmp_path / "site-catalog.toml", openssl="msi", whole_python=True)
        person = Newcomer(site)
        inventory = tmp_path / "nbserver.toml"
        inventory.unlink()
        theirs = {"win1.example.com": "127.0.0.1", r"WIN1\anna": endpoint.user, "SHA256:0011...": endpoint.certificate.fingerprint}

        def of_this_host(text: str) -> str:
            for placeholder, value in theirs.items():
                text = text.replace(placeholder, value)
            return text

        def ready() -> None:
            """What a site of these tests needs besides: of the table [hosts.win1], which is the last."""
            with inventory.open("a") as file:
                file.write(f'catalog = "site-catalog.toml"\npackages.index_url = "{mirror.index_url}"\nnotebook.port = {site.port}\n')

        def types(command: str) -> None:
            given = [of_this_host(word) for word in shlex.split(command)[1:]]
            if given[0] == "audit":
                given += ["--catalog", "site-catalog.toml"]  # that of `ready`
            code, said = person.types(*given, answers=answers if given == ["init"] else ANSWERS)
            assert code == DIFFERS.get(given[0], 0), said

        answers = {
            "System of the first": "windows",
            "System of the next": "",
            "Name of the host": "win1",
            "Address of win1": "127.0.0.1",
            "Administrator who": endpoint.user,
            "Connect to win1": "yes",
            "same fingerprint": "yes",
        }
        remoting, asked, *commands = [line for block in blocks("nbserver ") for line in block.splitlines()]
        types(remoting)
        assert (tmp_path / "enable-remoting.ps1").read_bytes().count(b"-RemoteAddress")
        types(asked)
        by_answers = inventory.read_text("utf-8")
        inventory.unlink()
        types(commands.pop(0))
        assert inventory.read_text("utf-8") == by_answers, "the page says: the same file"
        assert "  nbserver check win1  # checks the connection and the host; changes nothing\r\n" in person.seen[-1][1], (
            "a command and its comment fit in a line"
        )
        (result,) = blocks("[hosts.win1]")
        assert tomllib.loads(by_answers) == tomllib.loads(of_this_host(result))

        ready()
        undo = commands.pop()
        for command in commands:
            types(command)
        assert blocks("nbserver init --windows", TUTORIAL)[0].splitlines()[0] in PAGE, "the tutorial's command is the same"
        assert [command.split()[1] for command in (*commands, undo)] == ["render", "audit", "check", "plan", "apply", "verify", "undo"]
        assert (tmp_path / "rendered/win1.ps1").exists() and list(tmp_path.glob("*.png")) and (tmp_path / "nbserver.salt").exists()
        code, said = person.types("plan", "win1", answers=ANSWERS)
        assert code == 0, said
        types("nbserver status win1")
        (tmp_path / "lessons").mkdir()
        (tmp_path / "lessons" / "sine.ipynb").write_text(LESSON)
        (copies,) = blocks("nbserver notebooks ", TUTORIAL)
        for command in copies.splitlines():
            types(command)
        (pulled,) = (tmp_path / "work").rglob("sine.ipynb")
        assert pulled.read_text() == LESSON
        (run,) = (path.name for path in site.runs() if '"apply"' in (path / "run.json").read_text())
        types(f"nbserver report {run} -o report.html")
        assert (tmp_path / "report.html").exists()
        types(undo)
        for command, shown in person.seen:
            assert "Traceback" not in shown and PASSWORD not in shown and NOTEBOOK not in shown, command
            assert [line for line in re.split("[\r\n]+", shown) if folding.width(line) > 80 and " " in line.strip()] == [], command
