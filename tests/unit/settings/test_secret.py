"""Secrets from every place that a reference can name, and every way in which a place can fail."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from nbserver.base.errors import SecretError
from nbserver.settings.secret import SecretReference, resolve

SECRET = "s3cret wörd"


def get(reference: SecretReference, ask: Any = None) -> str:
    return resolve(reference, what="notebook.password", host="win1", ask=ask)


def refusal(reference: SecretReference, ask: Any = None) -> str:
    with pytest.raises(SecretError) as error:
        get(reference, ask)
    assert error.value.where == "win1" and SECRET not in str(error.value)
    assert error.value.__cause__ is None, "a cause could hold the secret"
    return str(error.value)


@pytest.mark.parametrize("secret", ["p\udce4ssword", "\ud800"])
def test_a_secret_that_is_no_text(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    """It could not be sent, and an error of a library would show its first wrong byte."""
    monkeypatch.setattr(os, "environ", {"NBSERVER_TEST": secret})
    expected = "win1: notebook.password: the secret is not valid UTF-8. Store the secret as UTF-8"
    assert refusal(SecretReference(env="NBSERVER_TEST")) == expected
    assert refusal(SecretReference(prompt=True), lambda question: secret) == expected


def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = SecretReference(env="NBSERVER_TEST")
    monkeypatch.setenv("NBSERVER_TEST", SECRET)
    assert get(reference) == SECRET
    assert SECRET not in repr(reference) + str(reference)
    monkeypatch.setenv("NBSERVER_TEST", "")
    assert "win1: notebook.password: the environment variable NBSERVER_TEST is empty. Set" in refusal(reference)
    monkeypatch.delenv("NBSERVER_TEST")
    assert "NBSERVER_TEST is not set" in refusal(reference)


def secret_file(folder: Path, content: bytes) -> SecretReference:
    path = folder / "secret.txt"
    path.write_bytes(content)
    path.chmod(0o600)
    return SecretReference(file=path)


@pytest.mark.parametrize(
    ("content", "secret"),
    [
        (b"abc", "abc"),
        (b"abc\n", "abc"),
        (b"abc\r\n", "abc"),
        (b"abc\n\n", "abc\n"),
        (b" abc ", " abc "),
        (b"\xef\xbb\xbfabc\n", "abc"),
        (SECRET.encode() + b"\n", SECRET),
        ("abc\r\n".encode("utf-16"), "abc"),
        ("abc\r\n".encode("utf-16-le"), "abc"),
        (b"x" * 65536, "x" * 65536),
    ],
)
def test_file(tmp_path: Path, content: bytes, secret: str) -> None:
    assert get(secret_file(tmp_path, content)) == secret


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "is empty"),
        (b"a\0b", "is not UTF-8"),
        (b"\xff\xfe\x00\xd8", "is not UTF-8"),
        (b"x" * 65537, "is larger than 65536"),
    ],
)
def test_a_file_that_holds_no_secret(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refusal(secret_file(tmp_path, content))


@pytest.mark.skipif(os.name != "posix", reason="this system lacks POSIX permissions")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601, 0o644])
def test_a_file_that_others_can_use(tmp_path: Path, mode: int) -> None:
    reference = secret_file(tmp_path, SECRET.encode())
    (tmp_path / "secret.txt").chmod(mode)
    assert f"chmod 600 {tmp_path / 'secret.txt'}" in refusal(reference)
    (tmp_path / "secret.txt").chmod(0o400)
    assert get(reference) == SECRET


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "could not read the secret file: No such file" in refusal(SecretReference(file=tmp_path / "absent"))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system lacks named pipes")
def test_what_is_not_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert "is not a regular file" in refusal(SecretReference(file=tmp_path / "pipe"))
    assert "is not a regular file" in refusal(SecretReference(file=tmp_path))


def test_prompt() -> None:
    reference = SecretReference(prompt=True)
    asked = []

    def answer(text: str) -> str:
        asked.append(text)
        return SECRET

    assert get(reference, answer) == SECRET
    assert asked == ["notebook.password for win1: "]
    assert "no terminal for the prompt. Run the command in a terminal, or use env, keyring, file, or command" in refusal(reference)
    assert "nothing was entered at the prompt" in refusal(reference, lambda _: "")

    def closed(text: str) -> str:
        raise EOFError

    assert "the prompt was closed before an answer was entered" in refusal(reference, closed)


def test_a_secret_in_place_of_its_place_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """{ env = "hunter2" } names a variable, and { file = "hunter2" } a file, that is not there."""
    for reference in (SecretReference(env="hunter2"), SecretReference(file=tmp_path / "hunter2"), SecretReference(keyring="hunter2")):
        assert "hunter2" not in refusal(reference)
    monkeypatch.setenv("hunter2", "")
    assert "hunter2" not in refusal(SecretReference(env="hunter2"))


def test_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = pytest.importorskip("keyring", reason="the package keyring is not installed")

    class Memory(keyring.backend.KeyringBackend):  # type: ignore[name-defined,misc]
        """A real backend of keyring's own interface that keeps entries in memory."""

        priority = 1

        def __init__(self) -> None:
            super().__init__()
            self.entries = {("nbserver", "win1"): SECRET, ("nbserver", "empty"): "", ("other", "win2"): "x"}

        def get_password(self, service: str, username: str) -> str | None:
            if username == "locked":
                raise keyring.errors.KeyringLocked(SECRET)
            if username == "no session":
                raise Exception(1312, SECRET)  # as the one of Windows in a session over SSH
            return self.entries.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            self.entries[(service, username)] = password

    before = keyring.get_keyring()
    keyring.set_keyring(Memory())
    try:
        keyring.set_password("nbserver", "new", "y")
        assert get(SecretReference(keyring="win1")) == SECRET
        assert get(SecretReference(keyring="new")) == "y"
        assert (
            "no entry for service nbserver and the user name in the inventory. Add it with keyring set nbserver NAME, where NAME is that user name"
            in refusal(SecretReference(keyring="win2"))
        )
        assert "has no entry" in refusal(SecretReference(keyring="empty"))
        assert "could not read the keyring (KeyringLocked)" in refusal(SecretReference(keyring="locked"))
        assert "could not read the keyring (Exception)" in refusal(SecretReference(keyring="no session"))
    finally:
        keyring.set_keyring(before)


@pytest.mark.parametrize("places", [{}, {"env": "A", "file": "b"}, {"env": "A", "prompt": True}, {"prompt": False}])
def test_exactly_one_place(places: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="exactly one of"):
        SecretReference(**places)


def test_a_reference_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        SecretReference(env="A").env = "B"  # type: ignore[misc]
