"""What a run does with notebook passwords and the site's salt. The hosts are stand-ins that note their envelopes."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import ConnectError, NbserverError, ScriptError, SecretError, UsageError
from nbserver.cli import program
from nbserver.cli.options import asker
from nbserver.commands import up
from nbserver.inventory import reader
from nbserver.inventory.hosts import Inventory
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.run import notebook_password, operation, site_salt
from nbserver.run.options import Options
from nbserver.run.result import Result, exit_code
from nbserver.run.view import View
from nbserver.view.json_lines import JsonLines
from nbserver.view.plain_lines import PlainLines
from tests.formats import validate

PASSWORD, OTHER = "correct horse battery", "staple battery horse"
SALT = b"nbserver-salt-1 AAECAwQFBgcICQoLDA0ODw==\n"


class Site:
    """An inventory of Linux hosts; `down` do not answer. `sent` has each one's envelope, `hashed` what was hashed, and on which thread."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, settings: str = "", count: int = 5) -> None:
        self.folder, self.down = folder, {"lin2"}
        self.sent: dict[str, list[str]] = {}
        self.hashed: list[tuple[str, str]] = []
        self.salt = folder / "nbserver.salt"
        self.there_when_contacted: set[bool] = set()
        self.says: Callable[[str, list[str]], str | Exception] = lambda name, envelope: "nothing"
        self.shown: list[str] = []
        hosts = "".join(f'[hosts.lin{n}]\naddress = "192.0.2.{n}"\n' for n in range(1, count + 1))
        own = '[hosts.own]\naddress = "192.0.2.9"\nnotebook.password = { env = "OWN" }\n'
        defaults = f'[defaults]\nsystem = "linux"\nuser = "root"\nnotebook.password = {{ env = "SITE" }}\n{settings}\n'
        (folder / "nbserver.toml").write_text(defaults + hosts + own)
        monkeypatch.setenv("SITE", PASSWORD)
        monkeypatch.setenv("OWN", OTHER)
        monkeypatch.setattr("nbserver.transports.connect.connect_to", self._connect)

        def note(
            password: str, salt: bytes
        ) -> str:  # as quick as a test needs it; the real one is tested in unit/run/test_notebook_password.py
            self.hashed.append((password, threading.current_thread().name))
            end = base64.b64encode(hashlib.sha256(salt + password.encode()).digest()).decode().rstrip("=")
            return f"argon2:$argon2id$v=19$m=65536,t=3,p=4${site_salt.encoded(salt)}${end}"

        monkeypatch.setattr(notebook_password, "hash_password", note)

    def _connect(self, host: Any, logon: Any, stop: threading.Event) -> Any:
        self.there_when_contacted.add(self.salt.exists())
        if host.name in self.down:
            raise ConnectError("no-answer", "no answer", host=host.name)
        return Answering(self.sent, host.name, self.says)

    def run(self, mode: Any, *patterns: str, ask: Any = None, view: View | None = None, **options: Any) -> dict[str, Result]:
        loaded = reader.load(self.folder / "nbserver.toml")
        return operation.operate(
            mode, loaded, loaded.select(patterns), Options(forks=6, **options), ask, view or PlainLines(self.shown.append)
        )

    def refused(self, mode: Any, *patterns: str, **options: Any) -> NbserverError:
        with pytest.raises(NbserverError) as error:
            self.run(mode, *patterns, **options)
        assert not self.there_when_contacted, "no host was contacted"
        return error.value


class Answering:
    """Says one thing of its own, `says`, between its beginning and its end."""

    def __init__(self, sent: dict[str, list[str]], name: str, says: Callable[[str, list[str]], str | Exception]) -> None:
        self._sent, self._name, self._says = sent, name, says

    def run(self, script: str, envelope: Sequence[str]) -> Iterator[str]:
        self._sent[self._name] = list(envelope)
        head = {"v": 1, "time": "2026-11-22T10:00:00.0000000Z", "step": ""}
        run = envelope[1].split()[1]
        yield json.dumps(
            {
                **head,
                "n": 1,
                "event": "started",
                "host": self._name,
                "mode": envelope[0].split()[1],
                "operator": "",
                "release": "0.1.0",
                "run": run,
                "script_sha256": hashlib.sha256(script.encode()).hexdigest(),
            }
        )
        said = self._says(self._name, list(envelope))
        if isinstance(said, Exception):
            raise said
        yield json.dumps({**head, "n": 2, "step": "notebook", "event": "log", "text": said, "program": "x"}).replace(
            "orrect", "orr\\u0065ct"
        )
        yield json.dumps(
            {**head, "n": 3, "event": "finished", "outcome": "ok", "differs": False, "changed": 0, "reboot": False, "fingerprint": ""}
        )

    def close(self) -> None:
        pass


def secret(lines: Sequence[str]) -> str:
    (value,) = [line.split()[2] for line in lines if line.startswith("secret notebook.password_hash ")]
    return base64.b64decode(value).decode()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_each_password_costs_one_hash_for_all_hosts_that_answer(site: Site) -> None:
    results = site.run("apply", "*")
    assert {name: result.outcome for name, result in results.items()} == {
        "lin1": "ok",
        "lin2": "unreachable",
        "lin3": "ok",
        "lin4": "ok",
        "lin5": "ok",
        "own": "ok",
    }
    assert sorted(password for password, _ in site.hashed) == [PASSWORD, OTHER] and len({thread for _, thread in site.hashed}) == 1
    hashes = {name: secret(lines) for name, lines in site.sent.items()}
    assert len(set(hashes.values())) == 2 and hashes["lin1"] == hashes["lin5"]
    assert {value.split("$")[4] for value in hashes.values()} == {site_salt.encoded(site_salt.read(site.salt))}
    former = hashlib.sha256(b"nbserver:lin1:9999").digest()[:16]
    assert f"former-salt {site_salt.encoded(former)}" in site.sent["lin1"] and "new-salt yes" not in site.sent["lin1"]


def test_fifty_hosts_with_one_password_cost_one_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash takes a tenth of a second and 64 MiB, which each thread would keep: fifty of them took 8 s and 160 MB."""
    site = Site(tmp_path, monkeypatch, count=50)
    site.down = {f"lin{n}" for n in range(1, 51, 7)}
    results = site.run("apply", "lin*")
    assert {name for name, result in results.items() if result.outcome == "unreachable"} == site.down
    assert len({secret(envelope) for envelope in site.sent.values()}) == 1 and len(site.sent) == 50 - len(site.down)
    assert [password for password, _ in site.hashed] == [PASSWORD] and site.hashed[0][1].startswith("password-hash")


def test_a_host_that_does_not_answer_costs_no_hash(site: Site) -> None:
    assert site.run("apply", "lin2")["lin2"].outcome == "unreachable" and site.hashed == []


def test_the_salt_is_made_before_a_host_is_contacted_and_stays(site: Site) -> None:
    site.run("apply", "lin1")
    assert site.there_when_contacted == {True}
    content, first = site.salt.read_bytes(), secret(site.sent["lin1"])
    site.run("apply", "lin3", new_salt=True)
    assert site.salt.read_bytes() == content and secret(site.sent["lin3"]) == first and "new-salt yes" in site.sent["lin3"]


def test_a_plan_uses_the_salt_and_creates_none(site: Site) -> None:
    site.run("test", "lin1")
    assert not site.salt.exists() and secret(site.sent["lin1"]).startswith("argon2:")
    site.salt.write_bytes(SALT)
    site.run("test", "lin1")
    assert secret(site.sent["lin1"]).split("$")[4] == "AAECAwQFBgcICQoLDA0ODw"
    site.run("undo", "lin1")
    assert not any(line.startswith(("secret", "former-salt")) for line in site.sent["lin1"])


def test_another_file_can_be_named_and_must_be_there(site: Site, tmp_path: Path) -> None:
    assert isinstance(site.refused("apply", "lin1", salt=tmp_path / "absent"), UsageError)
    (tmp_path / "site.salt").write_bytes(SALT)
    site.run("apply", "lin1", salt=tmp_path / "site.salt")
    assert secret(site.sent["lin1"]).split("$")[4] == "AAECAwQFBgcICQoLDA0ODw" and not site.salt.exists()


def test_a_broken_salt_is_refused_before_a_host_is_contacted(site: Site) -> None:
    site.salt.write_bytes(b"x")
    assert "Restore the salt file from version control" in str(site.refused("apply", "lin1")) and site.salt.read_bytes() == b"x"


LEAKS: dict[str, Callable[[str, list[str]], str | Exception]] = {
    "the password": lambda name, envelope: f"it is {PASSWORD}!" if name == "lin3" else "nothing",
    "the hash": lambda name, envelope: secret(envelope) if name == "lin3" else "nothing",
    "its last part": lambda name, envelope: secret(envelope).rpartition("$")[2] if name == "lin3" else "nothing",
    "a line of the envelope": lambda name, envelope: envelope[-1] if name == "lin3" else "nothing",
    "another host's password": lambda name, envelope: OTHER if name == "lin3" else "nothing",
}


@pytest.mark.parametrize(("leak", "view"), [*((leak, "plain") for leak in LEAKS), ("the password", "json")])
def test_an_event_with_a_secret_fails_the_run_and_is_kept_without_it(
    site: Site, leak: str, view: str, capsys: pytest.CaptureFixture[str]
) -> None:
    site.says = LEAKS[leak]
    results = site.run("apply", "lin1", "lin3", "own", view=JsonLines() if view == "json" else None)
    assert (results["lin1"].outcome, results["lin3"].outcome) == ("ok", "failed") and exit_code(results) == 3
    assert "lin3: an event from this host contains a secret" in results["lin3"].error
    kept = "".join(
        path.read_text()
        for path in site.folder.rglob("*")
        if path.is_file() and path.parent.name != "site" and path.name != "nbserver.toml"
    )
    shown = kept + "\n".join(site.shown) + "".join(capsys.readouterr())
    assert "*****" in kept
    for one in (
        PASSWORD,
        OTHER,
        "orr\\u0065ct horse",
        secret(site.sent["lin3"]),
        secret(site.sent["lin3"]).rpartition("$")[2],
        site.sent["lin3"][-1].split()[2],
    ):
        assert one not in shown


def test_an_error_of_a_host_is_shown_and_kept_without_a_secret(site: Site) -> None:
    site.says = lambda name, envelope: ScriptError(
        "not-read", "it could not read {envelope} and {password}", host=name, envelope=envelope[-1], password=PASSWORD
    )
    result = site.run("apply", "lin1")["lin1"]
    assert result.outcome == "failed" and "it could not read secret notebook.password_hash ***** and *****" in result.error.replace("=", "")
    assert result.detail["code"] == "not-read" and result.detail["values"]["password"] == "*****"
    kept = "".join(path.read_text() for path in (site.folder / "nbserver-runs").rglob("*") if path.is_file())
    assert '"code": "not-read"' in kept
    assert PASSWORD not in kept + "".join(site.shown) and site.sent["lin1"][-1].split()[2].rstrip("=") not in kept + "".join(site.shown)


def test_a_short_password_is_refused_before_a_host_is_contacted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE", "eleven char")
    for mode in ("apply", "test"):
        error = site.refused(mode, "*")
        assert isinstance(error, SecretError) and str(error).startswith(
            "lin1: the notebook password must have at least 12 characters, but it has only 11"
        )
        assert "eleven char" not in str(error) and not site.salt.exists()


def test_a_site_may_say_how_long_a_password_must_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SITE", "eightchr")
    site = Site(tmp_path, monkeypatch, "notebook.password_minimum = 8")
    monkeypatch.setenv("SITE", "eightchr")
    assert site.run("apply", "lin1")["lin1"].outcome == "ok"
    site = Site(tmp_path, monkeypatch, "notebook.password_minimum = 40")
    assert "must have at least 40 characters" in str(site.refused("apply", "lin1"))


def test_a_typed_password_is_asked_for_twice_where_it_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path, monkeypatch)
    (tmp_path / "nbserver.toml").write_text((tmp_path / "nbserver.toml").read_text().replace('{ env = "SITE" }', "{ prompt = true }"))
    asked: list[str] = []

    def answers(*typed: str) -> Any:
        left = list(typed)
        return lambda question: (asked.append(question), left.pop(0))[1]

    assert "two passwords do not match" in str(site.refused("apply", "lin1", ask=answers(PASSWORD, PASSWORD + "x")))
    assert asked == ["notebook.password for lin1: ", "Enter the same password again: "]
    assert site.run("apply", "lin1", ask=answers(PASSWORD, PASSWORD))["lin1"].outcome == "ok"
    assert site.run("test", "lin1", ask=answers(PASSWORD))["lin1"].outcome == "ok"


def test_a_hash_that_cannot_be_computed_is_the_failure_of_its_hosts_only(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    real = notebook_password.hash_password

    def full(password: str, salt: bytes) -> str:
        if password == OTHER:
            raise SecretError("not-enough-memory", "there is not enough memory", where="notebook.password")
        return real(password, salt)

    monkeypatch.setattr(notebook_password, "hash_password", full)
    results = site.run("apply", "lin1", "own")
    assert (results["lin1"].outcome, results["own"].outcome) == ("ok", "failed") and "own: there is not enough memory" in results[
        "own"
    ].error


def test_hash_password_prints_what_apply_sends(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    file = str(site.folder / "nbserver.toml")
    printed = CliRunner().invoke(program.cli, ["hash-password", "lin1", "-i", file], input=PASSWORD + "\n", standalone_mode=False)
    site.run("apply", "lin1")
    assert printed.output.strip() == secret(site.sent["lin1"]) and site.salt.exists()
    answer = CliRunner().invoke(program.cli, ["hash-password", "lin1", "--json", "-i", file], input=PASSWORD + "\n", standalone_mode=False)
    validate("answer", json.loads(answer.stdout))
    for data, words in ((b"\xe9tait une fois\n", "not valid Unicode"), (None, "empty")):
        with monkeypatch.context() as patched, pytest.raises(NbserverError, match=words):
            patched.setattr("sys.stdin", data and io.TextIOWrapper(io.BytesIO(data), "utf-8"))
            program.cli.main(["hash-password", "lin1", "-i", file], standalone_mode=False)
    short = CliRunner().invoke(program.cli, ["hash-password", "lin1", "-i", file], input="short\n", standalone_mode=False)
    assert isinstance(short.exception, SecretError) and "at least 12" in str(short.exception)
    (site.folder / "other.salt").write_bytes(SALT)
    other = CliRunner().invoke(
        program.cli,
        ["hash-password", "lin1", "-i", file, "--salt", str(site.folder / "other.salt")],
        input=PASSWORD + "\n",
        standalone_mode=False,
    )
    assert other.output.split("$")[4] == "AAECAwQFBgcICQoLDA0ODw"


def test_at_a_terminal_an_empty_answer_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """set-password makes a password then; before, the question came again and again."""
    import sys

    import click.termui

    class Terminal:
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    answers = ["", "never asked for"]
    monkeypatch.setattr(click.termui, "hidden_prompt_func", lambda prompt: answers.pop(0))
    ask = asker()
    assert ask is not None and ask("New notebook password: ") == "" and answers == ["never asked for"]


def test_set_password_asks_twice_and_needs_no_new_salt(
    site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever gives the server of this machine another password has it restarted anyway."""
    monkeypatch.setenv("HOME", str(site.folder))
    loaded = Inventory(site.folder / "nbserver.toml", {}, {}, LocalLinuxHost.model_validate({"notebook": {"password_minimum": 24}}))

    def set_password(*typed: str) -> str:
        left = list(typed)
        assert up.set_password(loaded, Options(), (lambda question: left.pop(0)) if typed else None, PlainLines(site.shown.append)) == 0
        assert not left and "new-salt yes" in site.sent["local"]
        return secret(site.sent["local"])

    assert set_password("x" * 24, "x" * 24).split("$")[4] == site_salt.encoded(site_salt.read(site.salt))
    assert set_password() != set_password("") and "x" * 24 not in capsys.readouterr().err
    with pytest.raises(SecretError, match="two passwords do not match"):
        set_password("x" * 24, "y" * 24)
    with pytest.raises(SecretError, match="must have at least 24 characters"):
        set_password("x" * 23, "x" * 23)


@pytest.mark.parametrize("minimum", [8, 12, 19, 20, 24, 128])
def test_a_password_that_is_made_is_long_enough(minimum: int) -> None:
    made = up.make_password(minimum)
    assert len(made) >= max(19, minimum) and set(made) <= {*up.LETTERS, "-"} and not made.endswith("-")


def test_a_missing_key_is_refused_before_a_host_is_contacted_and_needed_only_then(site: Site) -> None:
    path = site.folder / "nbserver.toml"
    path.write_text(path.read_text().replace("[hosts.lin1]", '[hosts.lin1]\nkey_file = "none.key"'))
    out = site.folder / "out"
    assert program.cli.main(["render", "lin1", "-i", str(path), "-o", str(out)], standalone_mode=False) == 0
    assert program.cli.main(["audit", str(out)], standalone_mode=False) == 0
    error = site.refused("test", "*")
    assert error.exit_code == 2 and f"lin1: key_file: could not read {site.folder / 'none.key'}: No such file" in str(error)
