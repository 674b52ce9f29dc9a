"""Ten sessions in French and in Japanese, from help to the report: every sentence is in that language."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from nbserver.base import folding
from nbserver.cli.program import cli
from tests import rendered_folders
from tests.unit.language.conftest import Run
from tests.unit.language.english import found_in, text_of_page
from tests.unit.language.hosts import Fleet, Host, found, reported
from tests.unit.test_formats import EXAMPLES

LANGUAGES = ("fr", "ja")
INVENTORY = """
[defaults]
system = "linux"
user = "root"
notebook.password = { env = "NOTEBOOK_PASSWORD" }
[groups.lab]
hosts = ["lin1", "lin2", "lin3"]
[hosts.lin1]
address = "192.0.2.1"
[hosts.lin2]
address = "192.0.2.2"
[hosts.lin3]
address = "192.0.2.3"
"""
STATUS = next(value for kind, value in EXAMPLES if kind == "event" and value["event"] == "status")
PLAN = [
    ("packages", "started", {"title": "The notebook server packages are installed"}),
    ("packages", "difference", {**reported("package-missing", "what", name="numpy"), "is": None, "should": "2.3.2"}),
    ("service", "started", {"title": "The notebook server is running"}),
    ("service", "difference", {**reported("unit-not-active", "what", unit="nbserver.service"), "is": "inactive", "should": "active"}),
]
FAILS = [
    ("preflight", "started", {"title": "This host can run the notebook server"}),
    ("preflight", "warning", reported("apply-will-refuse", cause="no-systemd")),
    ("preflight", "failed", reported("port-used", port=9999)),
]
APPLY = [
    ("packages", "started", {"title": "The notebook server packages are installed"}),
    ("packages", "changed", {}),
    ("service", "started", {"title": "The notebook server is running"}),
    ("service", "unchanged", {}),
]
CHECK = [
    ("preflight", "finding", found("rights", "ok", "requirement-met")),
    ("preflight", "finding", found("notebook_port", "failed", "port-used", port=9999)),
    ("preflight", "finding", found("name_resolution", "warning", "names-not-resolved", name="deb.example.com")),
]


@pytest.fixture
def hosts(run: Run, monkeypatch: pytest.MonkeyPatch) -> dict[str, Host]:
    """lin1, which differs, and lin2, which fails. Nothing listens on lin3."""
    kept = {"v", "n", "time", "step", "event"}
    status = [("", "status", {key: value for key, value in STATUS.items() if key not in kept})]
    ready = {"test": PLAN, "apply": APPLY, "check": CHECK, "status": status}
    made = {"lin1": Host(ready), "lin2": Host({**ready, "test": FAILS, "apply": FAILS}, "failed")}
    monkeypatch.setattr("nbserver.transports.connect.connect_to", Fleet(made).connect_to)
    monkeypatch.setenv("NOTEBOOK_PASSWORD", "correct horse battery")
    Path("nbserver.toml").write_text(INVENTORY)
    return made


def said(run: Run, language: str, *arguments: str) -> str:
    """Return both outputs of a command in a language, which are in that language."""
    _, out, error = run(*arguments, "--lang", language)
    assert found_in(out + error, language) == []
    assert re.search("[\u3040-\u30ff\u4e00-\u9fff]" if language == "ja" else "[\u00e0-\u00ff]|\u00a0[:;]", out + error)
    return out + error


@pytest.mark.parametrize("language", LANGUAGES)
def test_help(run: Run, language: str) -> None:
    for command in [[], *([name] for name in cli.commands), ["certificate", "install"], ["notebooks", "push"], ["export", "azure"]]:
        text = said(run, language, *command, "--help")
        assert [line for line in text.splitlines()[1:] if folding.width(line) > 80] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_init(run: Run, language: str) -> None:
    said(run, language, "init", "--windows", "win1=win1.example.com", "--linux", "lin1=192.0.2.7", "--local", "--user", "anna")
    assert "already exists" not in said(run, language, "init", "--local")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_wrong_inventory(run: Run, language: str) -> None:
    Path("nbserver.toml").write_text(
        INVENTORY + 'prot = 22\nhost_key = "x"\nnotebook.port = "99999"\nnotebook.password = { env = "a", file = "b" }\n'
    )
    assert said(run, language, "plan", "lin3").count("\n") >= 4
    Path("nbserver.toml").write_text(INVENTORY + "\n[hosts.lin3]\n")
    said(run, language, "plan", "lin3")
    Path("nbserver.toml").write_text(INVENTORY)
    said(run, language, "plan", "lab,lni1")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_plan_of_hosts_that_fail(run: Run, hosts: dict[str, Host], language: str) -> None:
    said(run, language, "plan", "lab", "--verbose")
    said(run, language, "plan", "lab")


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_apply_and_its_report(run: Run, hosts: dict[str, Host], language: str) -> None:
    said(run, language, "apply", "lab")
    (folder,) = Path("nbserver-runs").iterdir()
    said(run, language, "audit", "--run", folder.name)
    said(run, language, "report", folder.name, "-o", "report.html")
    page = Path("report.html").read_text("utf-8")
    assert f"<html lang={language}>" in page
    assert found_in(text_of_page(page), language) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_verification_that_fails(run: Run, hosts: dict[str, Host], language: str) -> None:
    Path("nbserver.toml").write_text(INVENTORY.replace("192.0.2.1", "127.0.0.1") + "[hosts.lin1.notebook]\nport = 1\n")
    said(run, language, "verify", "lin1")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_check(run: Run, hosts: dict[str, Host], language: str) -> None:
    said(run, language, "check", "lin1")
    said(run, language, "check", "lab")


@pytest.mark.parametrize("language", LANGUAGES)
def test_status(run: Run, hosts: dict[str, Host], language: str) -> None:
    said(run, language, "status", "lin1")
    table = said(run, language, "status", "lab").splitlines()
    head = next(line for line in table if line.startswith(("H\u00d4TE", "\u30db\u30b9\u30c8")))
    row = next(line for line in table if line.startswith("lin1"))
    second = head.split("  ")[0]
    assert folding.width(head[: head.index(head[len(second) :].strip()[:2], len(second))]) == folding.width(
        row[: row.index(row.split()[1])]
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_audit(run: Run, language: str, tmp_path: Path) -> None:
    rendered_folders.put(rendered_folders.machines(tmp_path), tmp_path / "rendered")
    if language == "fr":  # the page has most of these texts as well
        said(run, language, "audit", "rendered")
    said(run, language, "audit", "rendered", "--html", "review.html")
    page = Path("review.html").read_text("utf-8")
    assert f"<html lang={language}>" in page
    assert found_in(text_of_page(page), language) == []


def test_programs_read_the_same_in_every_language(run: Run, hosts: dict[str, Host]) -> None:
    """Exit codes, JSON, scripts, and the files of a run."""
    read = []
    for language in ("en", *LANGUAGES):
        Path("nbserver.known").unlink(missing_ok=True)
        ended = [run(command, "lab", "--json", "--lang", language)[:2] for command in ("plan", "status")]
        codes_and_json = "\n".join(f"{code}\n" + "\n".join(sorted(out.splitlines())) for code, out in ended)
        (folder,) = (path for path in Path("nbserver-runs").iterdir() if json.loads((path / "run.json").read_text())["mode"] == "test")
        texts = [
            codes_and_json,
            *((folder / name).read_text() for name in ("summary.json", "lin1/events.jsonl", "lin2/log.txt")),
        ]
        ids = {path.name for path in Path("nbserver-runs").iterdir()}
        read.append([re.sub("|".join(ids) + r'|"(?:seconds|added)": [0-9.]+|[0-9TZ:.-]{20,}', "", text) for text in texts])
        for path in Path("nbserver-runs").iterdir():
            path.rename(Path(f"{path.name}-{language}"))
    assert read[0] == read[1] == read[2]
    assert len({tuple(hosts["lin1"].sent[number : number + 2]) for number in (0, 2, 4)}) == 1
