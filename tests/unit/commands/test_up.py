"""The password that nobody chose: when one is made, and when it is shown."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nbserver.base.errors import UsageError, VerifyError
from nbserver.commands import up
from nbserver.inventory import own_server, reader
from nbserver.inventory.hosts import Inventory
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.run.options import Options
from tests.user_scope import no_systemd  # noqa: F401

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="this machine itself is set up on Linux only")

OTHER = '[hosts.lin1]\nsystem = "linux"\naddress = "lin1.example.com"\nuser = "root"\nnotebook.password = { env = "X" }\n'


def load(folder: Path, text: str, *patterns: str) -> Inventory:
    path = folder / "nbserver.toml"
    path.write_text(text, encoding="utf-8")
    return reader.load_for(path, patterns or ["local"])


def test_a_password_is_made_only_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    made = up.first_password([LocalLinuxHost()])["local"]
    assert len(made) == 19 and made != up.first_password([LocalLinuxHost()])["local"]
    given = LocalLinuxHost.model_validate({"notebook": {"password": {"env": "X"}}})
    assert up.first_password([given]) == {}
    (tmp_path / ".config" / "nbserver").mkdir(parents=True)
    (tmp_path / ".config" / "nbserver" / "jupyter_config.json").write_text("{}")
    assert up.first_password([LocalLinuxHost()]) == {}


def test_a_password_is_shown_where_the_run_may_have_set_it(capsys: pytest.CaptureFixture[str]) -> None:
    from nbserver.run.result import Result

    for word, shown in (("changed", True), ("failed", True), ("differs", True), ("unchanged", False), ("", False)):
        up.show_password({"local": "abcd-efgh"}, {"local": Result("local", steps={"notebook": word} if word else {})})
        out = capsys.readouterr()
        assert ("abcd-efgh" in out.err) is shown and out.out == ""
    up.show_password({"local": "abcd-efgh"}, {"local": Result("local", changed=None)})
    assert "if the run has set it (shown only once): abcd-efgh" in capsys.readouterr().err


@pytest.mark.parametrize(("after_run", "shown"), [(True, True), (False, False)])
def test_a_password_is_shown_if_a_run_is_abandoned(
    after_run: bool, shown: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The script on this machine goes on after a second Ctrl-C, and sets it; nothing is set if nothing was run."""
    from nbserver.view.json_lines import JsonLines

    def operate(*_: object, **__: object) -> None:
        error = UsageError("summary-not-written", "could not write the summary")
        error.after_run = after_run
        raise error

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("nbserver.run.operation.operate", operate)
    monkeypatch.setattr(up, "make_password", lambda minimum=0: "abcd-efgh")
    monkeypatch.setattr(up, "is_set_up", lambda host: False)
    with pytest.raises(UsageError):
        up.up(load(tmp_path, OTHER), Options(), None, JsonLines())
    with pytest.raises(UsageError):
        up.set_password(load(tmp_path, OTHER), Options(), lambda question: "", JsonLines())
    assert capsys.readouterr().err.count("abcd-efgh") == (2 if shown else 0)
    assert own_server.is_unverified("user") is after_run, "the script may still set it up"


@pytest.mark.parametrize("ends", [KeyboardInterrupt(), VerifyError("it-drips", "it drips", host="local"), RuntimeError()])
def test_a_password_is_shown_however_the_verification_ends(
    ends: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is set by then, and kept nowhere."""
    from nbserver.run.result import Result
    from nbserver.view.json_lines import JsonLines

    def verify(*_: object) -> None:
        raise ends

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(up, "first_password", lambda hosts, again: {"local": "abcd-efgh"})
    monkeypatch.setattr(up, "_apply", lambda *_: (Result("local", steps={"notebook": "changed"}), 0))
    monkeypatch.setattr(up, "_verify", verify)
    with pytest.raises(type(ends)):
        up.up(load(tmp_path, OTHER), Options(), None, JsonLines())
    assert "abcd-efgh" in capsys.readouterr().err


@pytest.mark.parametrize("fails", [KeyboardInterrupt(), NotADirectoryError()])
def test_a_password_is_shown_however_the_question_of_trust_ends(
    fails: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from nbserver.run.result import Result
    from nbserver.view.json_lines import JsonLines

    def add(fingerprint: str) -> None:
        assert own_server.is_unverified("user"), "a kill here would lose the password"
        raise fails

    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(up, "first_password", lambda hosts, again: {"local": "abcd-efgh"})
    monkeypatch.setattr(up, "_apply", lambda *_: (Result("local", steps={"notebook": "changed"}), 0))
    monkeypatch.setattr(up, "_verify", lambda *_: None)
    monkeypatch.setattr(up.own_trust, "require_possible", lambda scope: None)
    monkeypatch.setattr(up.own_trust, "add", add)
    monkeypatch.setattr(up, "is_set_up", lambda host: True)
    with pytest.raises(type(fails)):
        up.up(load(tmp_path, OTHER), Options(), None, JsonLines(), trust=True)
    assert "abcd-efgh" in capsys.readouterr().err
    assert not own_server.is_unverified("user"), "it was shown, so the next up keeps it"


def test_an_up_that_failed_verifies_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing differs by then, and nobody knows the password."""
    from nbserver.run.result import Result
    from nbserver.view.json_lines import JsonLines

    monkeypatch.setenv("HOME", str(tmp_path))
    set_up, passwords = tmp_path / ".config" / "nbserver" / "jupyter_config.json", []
    ends: list[BaseException] = [VerifyError("it-drips", "it drips", host="local"), KeyboardInterrupt()]

    def apply(inventory: Inventory, options: Options, password: str | None, *_: object, **__: object) -> tuple[Result, int]:
        set_up.parent.mkdir(parents=True, exist_ok=True)
        set_up.write_text("{}")
        return Result("local", steps={"notebook": "changed" if password else "unchanged"}, fingerprint="SHA256:00"), 0

    def verify(inventory: Inventory, runs: object, password: str, *_: object) -> None:
        passwords.append(password)
        if ends:
            raise ends.pop()

    monkeypatch.setattr(up, "_apply", apply)
    monkeypatch.setattr(up, "_verify", verify)
    inventory = load(tmp_path, "[hosts.local]\n")
    for kind in (KeyboardInterrupt, VerifyError):
        with pytest.raises(kind):
            up.up(inventory, Options(), None, JsonLines())
        assert f"shown only once): {passwords[-1]}" in capsys.readouterr().err
    assert up.up(inventory, Options(), None, JsonLines()) == 0
    said = capsys.readouterr()
    assert len(set(passwords)) == 3 and f"Password     {passwords[-1]}   (shown only once" in said.out
    assert "did not verify the server: it gets a new password" in said.err
    assert up.up(inventory, Options(), None, JsonLines()) == 0 and len(passwords) == 3
    assert "unchanged; nbserver verify local tests it, and nbserver set-password local replaces it" in capsys.readouterr().out


def test_a_password_that_somebody_set_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also that of a server that no up has verified."""
    from nbserver.run.result import Result
    from nbserver.view.json_lines import JsonLines

    monkeypatch.setenv("HOME", str(tmp_path))
    own_server.remember_unverified("user", unverified=True)
    monkeypatch.setattr(up, "_apply", lambda *_, **__: (Result("local", steps={"notebook": "changed"}), 0))
    assert up.set_password(load(tmp_path, "[hosts.local]\n"), Options(), lambda question: "correct horse", JsonLines()) == 0
    assert not own_server.is_unverified("user") and not (tmp_path / ".local/state/nbserver.server").exists()


@pytest.mark.parametrize(
    ("settings", "page"),
    [
        ("", "https://localhost:9999/notebooks/Welcome.ipynb"),
        ('notebook.interface = "lab"\n', "https://localhost:9999/lab/tree/Welcome.ipynb"),
        ('notebook.language = "none"\n', "https://localhost:9999"),
    ],
)
def test_open_shows_the_first_page_whose_address_is_printed(
    settings: str, page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from nbserver.run.result import Result
    from nbserver.view.json_lines import JsonLines

    opened: list[str] = []
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(up, "first_password", lambda hosts, again: {})
    monkeypatch.setattr(up, "_apply", lambda *_: (Result("local", fingerprint="SHA256:00"), 0))
    monkeypatch.setattr("webbrowser.open_new_tab", lambda address: opened.append(address) or len(opened) == 1)
    inventory = load(tmp_path, f"[hosts.local]\n{settings}")
    assert up.up(inventory, Options(), None, JsonLines(), opens=True) == 0
    said = capsys.readouterr()
    assert (f"First page   {page}\n" in said.out) is ("none" not in settings) and said.err == ""
    assert up.up(inventory, Options(), None, JsonLines(), as_json=True, opens=True) == 0
    assert opened == [page, page]
    said = capsys.readouterr()
    assert f'"first_page": "{page}"' in said.out
    assert said.err == f"nbserver: warning: no browser could be started; open {page}\n"


def test_a_new_server_gets_a_free_port_unless_somebody_chose_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nbserver.local.ports.first_free", lambda ip, port: port + 3)

    def port(**given: object) -> int:
        return up.with_free_port(reader.load_for(Path("nbserver.toml"), ["local"], given=given)).local.notebook.port

    assert port() == port(directory="/srv/notes") == 10002 and "Port 9999 is in use" in capsys.readouterr().err
    assert port(port=9999) == 9999
    assert up.with_free_port(load(tmp_path, "[hosts.local]\n")).local.notebook.port == 9999, "an inventory decides alone"
    monkeypatch.setattr(up, "is_set_up", lambda host: True)
    (tmp_path / "nbserver.toml").unlink()
    assert port() == 9999
