"""Secrets of many hosts: shared ones once, all missing ones together, and no prompt before they are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nbserver.base.errors import SecretError
from nbserver.inventory import reader
from nbserver.settings.secret import SecretReference
from nbserver.settings.secret_store import Need, SecretStore, named


class Person:
    """Answers each question with its number, and notes it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, question: str) -> str:
        self.asked.append(question)
        return f"answer {len(self.asked)}"


def needs(folder: Path, settings: str, hosts: dict[str, str]) -> list[Need]:
    """What `password` of each host in this inventory refers to."""
    tables = "".join(f'[hosts.{name}]\naddress = "192.0.2.1"\n{own}\n' for name, own in hosts.items())
    file = folder / "nbserver.toml"
    file.write_text(f'[defaults]\nsystem = "linux"\nuser = "root"\nnotebook.password = {{ env = "N" }}\n{settings}\n{tables}')
    loaded = reader.load(file)
    return [Need(host.password, "password", name) for name, host in loaded.hosts.items() if isinstance(host.password, SecretReference)]


def test_a_prompt_of_the_defaults_is_asked_once(tmp_path: Path) -> None:
    found = needs(tmp_path, "password = { prompt = true }", {f"lin{n}": "" for n in range(50)} | {"own": "password = { prompt = true }"})
    person = Person()
    store = SecretStore(person)
    store.fetch(found)
    assert person.asked == ["password for lin0, lin1, lin2, and 47 more: ", "password for own: "]
    assert [store.get(need) for need in found] == ["answer 1"] * 50 + ["answer 2"]


def test_a_prompt_of_a_group_is_asked_once_for_the_group(tmp_path: Path) -> None:
    groups = (
        "[groups.a]\nhosts = ['l1', 'l2']\npassword = { prompt = true }\n[groups.b]\nhosts = ['l3', 'l4']\npassword = { prompt = true }"
    )
    person = Person()
    SecretStore(person).fetch(needs(tmp_path, groups, {f"l{n}": "" for n in range(1, 5)}))
    assert person.asked == ["password for l1, l2: ", "password for l3, l4: "]


def test_a_shared_password_is_confirmed_once(tmp_path: Path) -> None:
    one = SecretReference(prompt=True)
    asked: list[str] = []
    store = SecretStore(lambda question: (asked.append(question), "secret")[1])
    store.fetch(Need(one, "notebook.password", name, confirm=True) for name in ("a", "b"))
    assert asked == ["notebook.password for a, b: ", "Enter the same password again: "]
    assert store.get(Need(one, "notebook.password", "b")) == "secret" and len(asked) == 2


def test_all_missing_secrets_are_in_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SITE_PASSWORD", "OWN_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    hosts = {f"lin{n}": "" for n in range(50)} | {"own": 'password = { env = "OWN_PASSWORD" }', "file": 'password = { file = "none" }'}
    found = needs(tmp_path, 'password = { env = "SITE_PASSWORD" }', hosts)
    person = Person()
    with pytest.raises(SecretError) as error:
        SecretStore(person).fetch([*found, Need(SecretReference(prompt=True), "password", "asked")])
    lines = str(error.value).split("\n")
    assert lines[0] == "could not read 3 of the secrets:" and len(lines) == 4 and error.value.exit_code == 2
    assert lines[1].startswith("lin0, lin1, lin2, and 47 more: password: the environment variable SITE_PASSWORD is not set")
    assert lines[2].startswith("own: password: the environment variable OWN_PASSWORD is not set")
    assert lines[3].startswith("file: password: could not read the secret file")
    assert not person.asked, "nobody is asked for a run that cannot begin"


def test_without_a_terminal_a_prompt_is_missing_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OWN_PASSWORD", raising=False)
    found = needs(tmp_path, "password = { prompt = true }", {"a": "", "b": "", "own": 'password = { env = "OWN_PASSWORD" }'})
    with pytest.raises(SecretError) as error:
        SecretStore(None).fetch(found)
    _, own, prompt = str(error.value).split("\n")
    assert own.startswith("own: ") and prompt.startswith("a, b: password: the inventory has prompt = true, but there is no terminal")
    with pytest.raises(SecretError, match=r"^a, b: password: the inventory has prompt") as one:
        SecretStore(None).fetch(found[:2])
    assert one.value.code == "no-terminal"


def test_a_command_runs_once_for_all_hosts_and_hosts_with_their_own_run_theirs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = tmp_path / "get"
    script.write_text(f'#!/bin/sh\necho "$1" >> {log}\necho "secret of $1"\n')
    script.chmod(0o700)
    own = {f"own{n}": f'password = {{ command = ["./get", "own{n}"] }}' for n in range(20)}
    found = needs(tmp_path, 'password = { command = ["./get", "all"] }', {f"lin{n}": "" for n in range(50)} | own)
    store = SecretStore(None)
    store.fetch(found)
    assert [store.get(need) for need in found] == ["secret of all"] * 50 + [f"secret of own{n}" for n in range(20)]
    assert sorted(log.read_text().split()) == sorted(["all", *(f"own{n}" for n in range(20))])
    assert log.read_text().startswith("all\n"), "the first one runs alone: it may have to unlock what the others use"


def test_hosts_whose_commands_fail_for_the_same_reason_share_a_line(tmp_path: Path) -> None:
    script = tmp_path / "get"
    script.write_text("#!/bin/sh\necho output-$1; echo 'not signed in' >&2; exit 3\n")
    script.chmod(0o700)
    hosts: dict[str, Any] = {f"lin{n}": f'password = {{ command = ["./get", "lin{n}"] }}' for n in range(10)}
    with pytest.raises(SecretError) as error:
        SecretStore(None).fetch(needs(tmp_path, "", hosts))
    assert str(error.value) == (
        "lin0, lin1, lin2, and 7 more: password: the command for this secret failed: get exited with code 3: not signed in. Run the command yourself as the same user, and check its output and exit code"
    )


def test_names() -> None:
    assert [named("a"), named("abcd"), named("abcde"), named("aab")] == ["a", "a, b, c, d", "a, b, c, and 2 more", "a, b"]
