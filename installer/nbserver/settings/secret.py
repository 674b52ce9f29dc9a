"""Where a secret is kept, and how to get it from there. The inventory holds references, never secrets."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from nbserver.base.errors import SecretError
from nbserver.settings.types import FilePath, Settings, refuse

KEYRING_SERVICE = "nbserver"
LONGEST = 65536  # bytes of a secret file

Ask = Callable[[str], str]  # prompts a person without echo, and returns what was typed


def _variable(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise refuse("it is not the name of an environment variable")
    return text


class SecretReference(Settings):
    """Exactly one of the four places. It knows where the secret is, not what it is, so its repr is safe to print."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    env: Annotated[str, AfterValidator(_variable)] | None = Field(
        None, description="the name of an environment variable: letters, digits and _"
    )
    keyring: str | None = Field(default=None, description=f'the user name of an entry of "{KEYRING_SERVICE}" in the keyring')
    file: FilePath | None = Field(default=None, description="the path of a file with the secret, relative to the inventory")
    prompt: bool = Field(default=False, description="true: ask the person at the terminal", json_schema_extra={"const": True})

    @model_validator(mode="before")
    @classmethod
    def _not_the_secret(cls, value: Any) -> Any:
        if not isinstance(value, dict | SecretReference):
            raise refuse('it must be a reference such as { env = "NAME" }, never the secret itself')
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> SecretReference:
        if [self.env is not None, self.keyring is not None, self.file is not None, self.prompt].count(True) != 1:
            raise refuse("it must name exactly one place")
        return self


def resolve(reference: SecretReference, *, what: str, host: str, ask: Ask | None) -> str:
    """Return the secret.

    `what` is the setting's name, for messages; `ask` prompts without echo, None says that nobody is there.
    Raises SecretError when the place is missing or empty, or when there is nobody to ask.
    """
    if reference.env is not None:
        return _from_environment(reference.env, what, host)
    if reference.keyring is not None:
        return _from_keyring(reference.keyring, what, host)
    if reference.file is not None:
        return _from_file(reference.file, what, host)
    return _from_person(what, host, ask)


def confirmed(ask: Ask | None) -> Ask | None:
    """Asks twice: a mistyped password would be set unseen. Raises SecretError where the two differ."""
    if ask is None:
        return None

    def ask_twice(question: str) -> str:
        answer = ask(question)
        if answer and ask(f"{question.rstrip(': ')}, again: ") != answer:
            raise SecretError(
                "the two entries are not the same", where=question.rstrip(": "), todo="Run this again and type the same password twice"
            )
        return answer

    return ask_twice


def _from_environment(name: str, what: str, host: str) -> str:
    """The name is repeated only in the form that names of variables usually have: it could be the secret, in the wrong place."""
    secret = os.environ.get(name)
    if not secret:
        state = "is not set" if secret is None else "is empty"
        usual = re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", name)
        variable, it = (f"the environment variable {name}", name) if usual else ("the environment variable that the inventory names", "it")
        raise SecretError(f"{what}: {variable} {state}", where=host, todo=f"Set {it} and run again")
    return secret


def _from_keyring(entry: str, what: str, host: str) -> str:
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        raise SecretError(
            f"{what}: the Python package keyring is not installed",
            where=host,
            todo="Install keyring, or use env or file",
        ) from None
    try:
        secret = keyring.get_password(KEYRING_SERVICE, entry)
    except (KeyringError, OSError, RuntimeError) as reason:
        raise SecretError(
            f"{what}: the keyring cannot be used ({type(reason).__name__})",
            where=host,
            todo="Unlock or set up the keyring of this account, or use env or file",
        ) from None
    if not secret:
        raise SecretError(
            f"{what}: the keyring has no entry of {KEYRING_SERVICE} with the name that the inventory gives",
            where=host,
            todo=f"Store it with: keyring set {KEYRING_SERVICE} NAME",
        )
    return secret


def _from_file(path: Path, what: str, host: str) -> str:
    """Read a file that is not open to everybody (on POSIX, to anybody but its owner); one line end at its end is not part of the secret."""
    try:
        # Opened without waiting for a writer, so a named pipe cannot hold up an unattended run.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as reason:
        raise SecretError(
            # What is not there may be no path but the secret itself.
            f"{what}: the secret file {f'{path} ' if path.exists() else ''}cannot be read: {reason.strerror}",
            where=host,
            todo="Correct the path or file",
        ) from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise SecretError(f"{what}: {path} is not a file", where=host, todo="Name a file that holds the secret")
        if os.name == "posix" and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SecretError(f"{what}: others can use the secret file {path}", where=host, todo=f"chmod 600 {path}")
        if os.name == "nt":
            _refuse_open_to_everybody(handle, path, what, host)
        with open(handle, "rb", closefd=False) as file:
            content = file.read(LONGEST + 1)
    finally:
        os.close(handle)
    if len(content) > LONGEST:
        raise SecretError(f"{what}: the secret file {path} is longer than {LONGEST} bytes", where=host, todo="Correct the path")
    try:
        secret = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SecretError(f"{what}: the secret file {path} is not UTF-8", where=host, todo="Save the file as UTF-8") from None
    secret = secret.removesuffix("\n").removesuffix("\r")
    if not secret:
        raise SecretError(f"{what}: the secret file {path} is empty", where=host, todo="Write the secret into it")
    return secret


def _refuse_open_to_everybody(handle: int, path: Path, what: str, host: str) -> None:
    from nbserver.settings import windows_access

    user = os.environ.get("USERNAME") or "YOU"
    todo = f'Run: icacls "{path}" /inheritance:r /grant:r "{user}:F"'
    try:
        who = windows_access.everybody_with_access(windows_access.entries(handle))
    except OSError as reason:
        raise SecretError(
            f"{what}: the secret file {path} cannot be used: {reason.strerror or reason}",
            where=host,
            todo="Keep it on a drive with access lists (NTFS)",
        ) from None
    if who:
        raise SecretError(f"{what}: others can use the secret file {path}: it is open to {who}", where=host, todo=todo)


def _from_person(what: str, host: str, ask: Ask | None) -> str:
    where_else = "Use env, keyring or file in the inventory, or run it at a terminal"
    if ask is None:
        raise SecretError(f"{what}: the inventory says prompt = true, but this run cannot ask", where=host, todo=where_else)
    try:
        secret = ask(f"{what} of {host}: ")
    except EOFError:
        raise SecretError(f"{what}: no answer came, there is no terminal", where=host, todo=where_else) from None
    if not secret:
        raise SecretError(f"{what}: the answer was empty", where=host, todo="Run again and type it in")
    return secret
