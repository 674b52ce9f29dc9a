"""References to secrets, and how to resolve them. The inventory contains references, never secrets."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, model_validator

from nbserver.base.errors import SecretError
from nbserver.base.message import phrase
from nbserver.settings import program_output, secret_text
from nbserver.settings.program_output import ProgramFailure
from nbserver.settings.refusal import refuse
from nbserver.settings.types import Array, FilePath, Settings

KEYRING_SERVICE = "nbserver"
_SET = "Set the variable and run the command again"
_SET_NAMED = "Set {name} and run the command again"
LONGEST = 65536  # bytes of a secret file

Ask = Callable[[str], str]  # prompts without echo, and returns what was entered


def _variable(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise refuse("variable-name-invalid", "must be a valid environment variable name")
    return text


def _program(command: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
    """A path relative to the inventory becomes absolute; a name is searched for when the command runs."""
    if not command:
        raise refuse("command-empty", "the array must not be empty")
    folder = (info.context or {}).get("folder", Path())
    return (program_output.in_folder(command[0], folder), *command[1:])


class SecretReference(Settings):
    """Where a secret is: exactly one of five places. It does not contain the secret, so its repr is safe to print."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    env: Annotated[str, AfterValidator(_variable)] | None = Field(
        None, title="In an environment variable", description="the name of an environment variable (letters, digits, and _)"
    )
    keyring: str | None = Field(
        default=None,
        title="In the keyring of your account; keyring set nbserver NAME stores it",
        description=f'the user name of a keyring entry with the service name "{KEYRING_SERVICE}"',
    )
    file: FilePath | None = Field(
        default=None,
        title="In a file that only its owner can read or, on Windows, one that is not open to everybody; a line end at the end of the file is ignored",
        description="the path of a file that contains the secret, relative to the inventory",
    )
    command: Annotated[tuple[str, ...], Array, AfterValidator(_program)] | None = Field(
        default=None,
        title="What a command prints; a line end at the end of its output is ignored. It runs on the workstation, without a shell, for at most a minute",
        description="an array with a program and its arguments",
        json_schema_extra={"minItems": 1},
    )
    prompt: bool = Field(
        default=False,
        title="Nowhere: nbserver asks for it",
        description="true, to prompt for the secret",
        json_schema_extra={"const": True},
    )

    @model_validator(mode="before")
    @classmethod
    def _not_the_secret(cls, value: Any) -> Any:
        if not isinstance(value, dict | SecretReference):
            raise refuse("secret-not-reference", 'must be a reference such as { env = "NAME" }, never the secret itself')
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> SecretReference:
        places = (self.env, self.keyring, self.file, self.command, self.prompt or None)
        if sum(place is not None for place in places) != 1:
            raise refuse("secret-sources", "must have exactly one of env, keyring, file, command, or prompt")
        return self


def resolve(reference: SecretReference, *, what: str, host: str, ask: Ask | None) -> str:
    """Return the secret.

    `what` is the name of the setting, for messages. `ask` prompts without echo; it is None without a terminal.
    Raises SecretError if the place is missing or empty, if the secret is not text, or if a prompt is needed without a terminal.
    """
    return secret_text.require_unicode(_resolved(reference, what, host, ask), what, host)


def _resolved(reference: SecretReference, what: str, host: str, ask: Ask | None) -> str:
    if reference.env is not None:
        return _from_environment(reference.env, what, host)
    if reference.keyring is not None:
        return _from_keyring(reference.keyring, what, host)
    if reference.file is not None:
        return _from_file(reference.file, what, host)
    if reference.command is not None:
        return _from_command(reference.command, what, host)
    return _from_person(what, host, ask)


def parts_of_option(text: str) -> tuple[str, str]:
    """Return where an option says that a secret is, such as `env`, and its name there: what is before and after the first = or colon."""
    place, *rest = re.split("[=:]", text, maxsplit=1)
    return place, "".join(rest)


def of_option(text: str, what: str, *, ask: Ask | None) -> str:
    """Return the secret that an option refers to: `env=NAME`, `keyring=NAME`, `file=PATH`, or `prompt`. Raises SecretError.

    A colon means the same as the first "=". A message never repeats the text, because it may be the secret itself.
    """
    place, name = parts_of_option(text)
    if place == "env" and name:
        return _from_environment(name, what, "")
    if place == "keyring" and name:
        return _from_keyring(name, what, "")
    if place == "file" and name:
        return _from_file(Path(name), what, "")
    if text == "prompt":
        return _from_person(what, phrase("the signing certificate"), ask)
    raise SecretError(
        "option-not-reference",
        "{key} must be a reference to the secret, not the secret itself",
        todo="Use env=NAME, keyring=NAME, file=PATH, or prompt",
        key=what,
    )


def confirmed(ask: Ask | None) -> Ask | None:
    """Return a prompt that asks twice, so that no mistyped password is set. It raises SecretError if the entries differ."""
    if ask is None:
        return None

    def ask_twice(question: str) -> str:
        answer = ask(question)
        if answer and ask(phrase("Enter the same password again: ")) != answer:
            raise SecretError(
                "entries-differ",
                "the two passwords do not match",
                where=question.rstrip(": "),
                todo="Run the command again and enter the same password twice",
            )
        return answer

    return ask_twice


def _from_environment(name: str, what: str, host: str) -> str:
    """Return the value of a variable. A message shows its name only if it is upper case with underscores: otherwise it could be the secret itself."""
    secret = os.environ.get(name)
    if not secret:
        raise _no_variable(name if re.fullmatch(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+", name) else "", secret is None, what, host)
    return secret


def _no_variable(name: str, missing: bool, what: str, host: str) -> SecretError:
    if name and missing:
        return SecretError(
            "variable-not-set", "{key}: the environment variable {name} is not set", where=host, todo=_SET_NAMED, key=what, name=name
        )
    if name:
        return SecretError(
            "variable-empty", "{key}: the environment variable {name} is empty", where=host, todo=_SET_NAMED, key=what, name=name
        )
    if missing:
        return SecretError(
            "hidden-variable-not-set",
            "{key}: the environment variable named in the inventory is not set",
            where=host,
            todo=_SET,
            key=what,
        )
    return SecretError(
        "hidden-variable-empty", "{key}: the environment variable named in the inventory is empty", where=host, todo=_SET, key=what
    )


def _from_keyring(entry: str, what: str, host: str) -> str:
    try:
        import keyring
    except ImportError:
        raise SecretError(
            "keyring-not-installed",
            "{key}: the Python package keyring is not installed",
            where=host,
            todo="Install keyring, or use env or file instead",
            key=what,
        ) from None
    try:
        secret = keyring.get_password(KEYRING_SERVICE, entry)
    except Exception as reason:  # a backend raises what its system raises, such as pywintypes.error
        raise SecretError(
            "keyring-unreadable",
            "{key}: could not read the keyring ({kind})",
            where=host,
            todo="Unlock or set up this account's keyring, or use env or file instead",
            key=what,
            kind=type(reason).__name__,
        ) from None
    if not secret:
        raise SecretError(
            "keyring-without-entry",
            "{key}: the keyring has no entry for service {service} and the user name in the inventory",
            where=host,
            todo="Add it with keyring set {service} NAME, where NAME is that user name",
            key=what,
            service=KEYRING_SERVICE,
        )
    return secret


def _from_file(path: Path, what: str, host: str) -> str:
    """Read a file that not everybody can access (on POSIX, only its owner). A final line end is not part of the secret."""
    try:
        # O_NONBLOCK: a named pipe must not block an unattended run.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as reason:
        if os.path.exists(path):  # noqa: PTH110 (Path.exists raises for a name that is too long)
            raise SecretError(
                "secret-file-unreadable",
                "{key}: could not read the secret file {path}: {reason}",
                where=host,
                todo="Check that the file exists and that you can read it",
                key=what,
                path=path,
                reason=reason.strerror,
            ) from None
        raise SecretError(  # the path could be the secret itself
            "secret-file-missing",
            "{key}: could not read the secret file: {reason}",
            where=host,
            todo="Check that the file exists and that you can read it",
            key=what,
            reason=reason.strerror,
        ) from None
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise SecretError(
                "secret-file-not-regular",
                "{key}: {path} is not a regular file",
                where=host,
                todo="Specify a file that contains the secret",
                key=what,
                path=path,
            )
        if os.name == "posix" and status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise SecretError(
                "secret-file-open-posix",
                "{key}: other users can access the secret file {path}",
                where=host,
                todo="Run: chmod 600 {path}",
                key=what,
                path=path,
            )
        if os.name == "nt":
            _refuse_open_to_everybody(handle, path, what, host)
        with open(handle, "rb", closefd=False) as file:
            content = file.read(LONGEST + 1)
    finally:
        os.close(handle)
    if len(content) > LONGEST:
        raise SecretError(
            "secret-file-too-large",
            "{key}: the secret file {path} is larger than {limit} bytes",
            where=host,
            todo="Specify a file that contains only the secret",
            key=what,
            path=path,
            limit=LONGEST,
        )
    try:
        secret = secret_text.decode(content)
    except ValueError:
        raise SecretError(
            "secret-file-not-utf8",
            "{key}: the secret file {path} is not UTF-8 text",
            where=host,
            todo="Save the file as UTF-8",
            key=what,
            path=path,
        ) from None
    if not secret:
        raise SecretError(
            "secret-file-empty",
            "{key}: the secret file {path} is empty",
            where=host,
            todo="Write the secret to the file",
            key=what,
            path=path,
        )
    return secret


def _from_command(command: tuple[str, ...], what: str, host: str) -> str:
    try:
        content = program_output.run(command, limit=LONGEST)
    except ProgramFailure as reason:
        raise SecretError(
            "secret-command-failed",
            "{key}: the command for this secret failed: {reason}",
            where=host,
            todo="Run the command yourself as the same user, and check its output and exit code",
            key=what,
            reason=reason,
        ) from None
    try:
        secret = secret_text.decode(content)
    except ValueError:
        raise SecretError(
            "secret-command-not-utf8",
            "{key}: the output of the command is not UTF-8 text",
            where=host,
            todo="Use a command that prints the secret as UTF-8",
            key=what,
        ) from None
    if not secret:
        raise SecretError(
            "secret-command-empty",
            "{key}: the command printed nothing",
            where=host,
            todo="Run the command yourself as the same user, and check its output and exit code",
            key=what,
        )
    return secret


def _refuse_open_to_everybody(handle: int, path: Path, what: str, host: str) -> None:
    from nbserver.settings import windows_access

    user = os.environ.get("USERNAME") or "YOU"
    try:
        who = windows_access.everybody_with_access(windows_access.entries(handle))
    except OSError as reason:
        raise SecretError(
            "secret-file-access-unreadable",
            "{key}: could not read the access control list of the secret file {path}: {reason}",
            where=host,
            todo="Store the file on a drive that supports access control lists (NTFS)",
            key=what,
            path=path,
            reason=reason.strerror or str(reason),
        ) from None
    if who:
        raise SecretError(
            "secret-file-open-windows",
            "{key}: other users can access the secret file {path}: {who}",
            where=host,
            todo='Run: icacls "{path}" /inheritance:r /grant:r "{user}:F"',
            key=what,
            path=path,
            who=who,
            user=user,
        )


def _from_person(what: str, host: str, ask: Ask | None) -> str:
    if ask is None:
        raise SecretError(
            "no-terminal",
            "{key}: the inventory has prompt = true, but there is no terminal for the prompt",
            where=host,
            todo="Run the command in a terminal, or use env, keyring, file, or command in the inventory",
            key=what,
        )
    try:
        secret = ask(phrase("{key} for {host}: ", key=what, host=host))
    except EOFError:
        raise SecretError(
            "no-answer",
            "{key}: the prompt was closed before an answer was entered",
            where=host,
            todo="Run the command in a terminal, or use env, keyring, file, or command in the inventory",
            key=what,
        ) from None
    if not secret:
        raise SecretError(
            "secret-answer-empty",
            "{key}: nothing was entered at the prompt",
            where=host,
            todo="Run the command again and enter the secret",
            key=what,
        )
    return secret
