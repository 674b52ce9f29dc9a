"""`nbserver init`: what it writes, what it asks, and what it never does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nbserver.cli.program import cli
from nbserver.commands import init as command
from nbserver.commands.init import Wanted, init
from nbserver.commands.init_questions import ask_for_hosts
from nbserver.inventory.hosts import Inventory
from nbserver.inventory.new_inventory import PLACES, NewHost
from nbserver.inventory.reader import load
from nbserver.render.step_files import read_part
from tests.boxes.winrm.certificate import Certificate, make_certificate
from tests.formats import validate
from tests.tls_server import server

HOSTS = ("--windows", "win1=win1.example.com", "--linux", "lin1=192.0.2.7", "--local", "--user", "anna")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    """Without a terminal."""
    return CliRunner().invoke(cli, ["init", *arguments])


def code_of(*arguments: str) -> str:
    """The code of the refusal; nothing is written."""
    before = sorted(Path().rglob("*"))
    found = run(*arguments)
    assert sorted(Path().rglob("*")) == before
    return f"{getattr(found.exception, 'exit_code', None)} {getattr(found.exception, 'code', found.output)}"


class Person:
    """Answers the questions in their order."""

    def __init__(self, *answers: str, same: bool = False) -> None:
        self.answers, self.same = list(answers), same
        self.told: list[str] = []

    def ask(self, question: str, default: str) -> str:
        return self.answers.pop(0) or default

    def tell(self, text: str) -> None:
        self.told.append(text)

    def is_same(self, host: str, fingerprint: str) -> bool:
        self.told.append(fingerprint)
        return self.same


@pytest.mark.parametrize("secrets", PLACES)
def test_it_writes_an_inventory_that_is_valid_and_has_no_secrets(folder: Path, secrets: str) -> None:
    found = run(*HOSTS, "--secrets", secrets)
    assert found.exit_code == 0, found.output
    inventory = load(folder / "nbserver.toml")
    assert list(inventory.hosts) == ["win1", "lin1"]
    win1, lin1 = inventory.hosts.values()
    assert (win1.address, win1.user, lin1.address, lin1.user) == ("win1.example.com", "anna", "192.0.2.7", "anna")  # type: ignore[union-attr]
    for reference in (win1.password, win1.notebook.password, lin1.notebook.password):  # type: ignore[union-attr]
        assert reference and getattr(reference, secrets)
    assert "nbserver plan win1 lin1" in found.output and "nbserver check win1 lin1" in found.output


def test_one_question_for_the_password_of_all_notebooks(folder: Path) -> None:
    run(*HOSTS)
    win1, lin1 = load(folder / "nbserver.toml").hosts.values()
    assert win1.notebook.password is lin1.notebook.password, "a prompt of [defaults] is one question"


@pytest.mark.parametrize("uncommented", ["host_key", "key_file", "sudo_password", "password"])
def test_what_is_a_comment_is_valid_without_its_mark(folder: Path, uncommented: str) -> None:
    run("--linux", "lin1", "--user", "anna")
    (folder / "key").touch()
    text = (folder / "nbserver.toml").read_text().replace("~/.ssh/id_ed25519", "key").replace("SHA256:...", f"SHA256:{'A' * 43}")
    assert f"\n# {uncommented} = " in text
    (folder / "nbserver.toml").write_text(text.replace(f"\n# {uncommented} = ", f"\n{uncommented} = "))
    assert getattr(load(folder / "nbserver.toml").hosts["lin1"], uncommented)


@pytest.mark.parametrize("uncommented", ["", "host_key", "key_file", "password"])
def test_a_windows_host_that_is_reached_over_ssh(folder: Path, uncommented: str) -> None:
    found = run("--windows", "win1", "--user", "WIN1\\anna", "--ssh")
    (folder / "key").touch()
    text = (folder / "nbserver.toml").read_text().replace("~/.ssh/id_ed25519", "key").replace("SHA256:...", f"SHA256:{'A' * 43}")
    if uncommented:
        assert f"\n# {uncommented} = " in text
    (folder / "nbserver.toml").write_text(text.replace(f"\n# {uncommented} = ", f"\n{uncommented} = ") if uncommented else text)
    host = load(folder / "nbserver.toml").hosts["win1"]
    assert (host.transport, host.user, host.port) == ("ssh", "WIN1\\anna", 22)  # type: ignore[union-attr]
    assert not uncommented or getattr(host, uncommented)
    assert "enable-remoting" not in found.output + text and "sudo" not in text


def test_a_user_of_a_domain_and_names_that_need_quotes(folder: Path) -> None:
    assert run("--windows", "a.b=192.0.2.1", "--user", "CORP\\anna").exit_code == 0
    assert load(folder / "nbserver.toml").hosts["a.b"].user == "CORP\\anna"  # type: ignore[union-attr]
    assert run("--windows", "a.b=192.0.2.1", "--user", "CORP\\o'neil", "--force").exit_code == 0
    assert load(folder / "nbserver.toml").hosts["a.b"].user == "CORP\\o'neil"  # type: ignore[union-attr]


def test_the_script_that_enables_remoting(folder: Path) -> None:
    found = run("--enable-remoting", "enable-remoting.ps1")
    assert found.exit_code == 0, found.output
    assert (folder / "enable-remoting.ps1").read_bytes().decode("ascii") == read_part("ps_scripts", "enable-remoting")
    assert not (folder / "nbserver.toml").exists(), "no host is named"
    assert "-RemoteAddress ADDRESS" in found.output


def test_json(folder: Path) -> None:
    found = run(*HOSTS, "--json", "-o", "lab.toml", "--enable-remoting", "a.ps1")
    answer = json.loads(found.output)
    validate("answer", answer)
    assert answer == {
        "event": "initialized",
        "inventory": "lab.toml",
        "remoting_script": "a.ps1",
        "hosts": [{"name": name, "fingerprint": None} for name in ("win1", "lin1", "local")],
    }


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), "2 init-without-hosts"),
        (("--linux", "lin1=192.0.2.7"), "2 init-without-user"),
        (("--windows", "a b=192.0.2.7"), "2 init-host-invalid"),
        (("--windows", "a", "--windows", "A"), "2 init-host-invalid"),
        (("--windows", "local=192.0.2.7"), "2 init-host-invalid"),
        (("--windows", "a=https://a"), "2 init-not-valid"),
        (("--windows", "a=a:5986", "--pin", f"a=SHA256:{'0' * 64}"), "2 init-not-valid"),
        (("--windows", "a=\udcff"), "2 init-not-valid"),
        (("--windows", "a", "-o", "x" * 300), "2 init-not-written"),
        (("--windows", "a", "-o", "one", "--enable-remoting", "./one"), "2 init-one-file"),
        (("--windows", "a", "-o", "-"), "2 init-to-standard-output"),
        (("--enable-remoting", "-"), "2 init-to-standard-output"),
        (("--windows", "a", "--user", 'an"na'), "2 init-not-valid"),
        (("--windows", "a", "--pin", "a"), "2 init-pin-without-fingerprint"),
        (("--windows", "a", "--pin", "b=SHA256:" + "0" * 64), "2 init-pin-unknown"),
        (("--windows", "a", "--pin", "a=SHA256:00"), "2 init-pin-malformed"),
        (("--windows", "a", "--ssh"), "2 init-ssh-without-user"),
        (("--linux", "a", "--user", "anna", "--ssh"), "2 init-ssh-without-user"),
        (("--windows", "a", "--user", "anna", "--ssh", "--pin", "a=SHA256:" + "0" * 64), "2 init-pin-unknown"),
        (("--local", "-o", "missing/nbserver.toml"), "2 init-not-written"),
    ],
)
def test_what_is_refused(arguments: tuple[str, ...], code: str) -> None:
    assert code_of(*arguments) == code


def test_an_existing_file_is_replaced_only_with_force(folder: Path) -> None:
    for name in ("nbserver.toml", "a.ps1"):
        (folder / name).write_text("mine")
    assert code_of("--local") == "2 init-file-exists"
    assert code_of("--enable-remoting", "a.ps1") == "2 init-file-exists"
    assert (folder / "nbserver.toml").read_text() == (folder / "a.ps1").read_text() == "mine"
    assert run("--local", "--enable-remoting", "a.ps1", "--force").exit_code == 0
    assert load(folder / "nbserver.toml").hosts == {}


# -- questions


def test_a_wrong_answer_is_asked_again(folder: Path) -> None:
    person = Person("solaris", "", "web 1", "web1", "https://web1", "web1.example.com", "", "LINUX", "web1", "db1", "", "", "local", "")
    assert ask_for_hosts(person) == [
        NewHost("windows", "web1", "web1.example.com"),
        NewHost("linux", "db1", "db1", "root"),
        NewHost("local", "local"),
    ]
    refused = [line.strip() for line in person.told[1:]]
    assert [line.split()[0] for line in refused] == ["must", "a", "must", "this"], refused


# -- the certificate of a listener


@pytest.fixture
def listener(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Certificate]:
    certificate = make_certificate(folder)
    with server(certificate, lambda head: b"") as (port, heads):
        monkeypatch.setattr(command, "WINRM_PORT", port)
        yield certificate
        assert not any(heads), "nothing was sent to it"


def wanted(folder: Path, pin: str | None) -> Wanted:
    return Wanted(folder / "nbserver.toml", [NewHost("windows", "win1", "127.0.0.1", "anna")], "prompt", {"win1": pin})


def pinned(inventory: Inventory) -> str | None:
    found: str | None = inventory.hosts["win1"].fingerprint  # type: ignore[union-attr]
    return found


@pytest.mark.parametrize("same", [True, False])
def test_a_person_compares_the_fingerprint(folder: Path, listener: Certificate, same: bool) -> None:
    person = Person(same=same)
    assert init(wanted(folder, None), person, as_json=True) == 0
    assert person.told == [listener.fingerprint]
    assert pinned(load(folder / "nbserver.toml")) == (listener.fingerprint if same else None)


def test_the_expected_fingerprint_is_pinned_and_no_other(folder: Path, listener: Certificate) -> None:
    assert code_of("--windows", "win1=127.0.0.1", "--pin", "win1=SHA256:" + "0" * 64) == "3 init-other-certificate"
    expected = listener.fingerprint.upper().replace("SHA256", "sha256")
    assert run("--windows", "win1=127.0.0.1", "--pin", f"WIN1={expected}").exit_code == 0
    assert pinned(load(folder / "nbserver.toml")) == listener.fingerprint


def test_a_host_that_shows_no_certificate(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "WINRM_PORT", 9)
    assert code_of("--windows", "win1=127.0.0.1", "--pin", "win1=SHA256:" + "0" * 64) == "3 init-no-certificate"
    person = Person()
    assert init(wanted(folder, None), person, as_json=True) == 0
    assert "did not present a certificate" in person.told[0] and pinned(load(folder / "nbserver.toml")) is None
