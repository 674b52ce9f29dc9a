"""The secrets of a run. Each is asked for or fetched once, and all missing ones are reported together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from nbserver.base.errors import SecretError
from nbserver.base.message import Lines
from nbserver.settings.secret import Ask, SecretReference, confirmed, resolve

COMMANDS = 8  # commands that run at the same time
NAMED = 3  # hosts that a question or message names


@dataclass(frozen=True)
class Need:
    """A setting of a host that refers to a secret. With `confirm`, a prompt asks twice."""

    reference: SecretReference
    what: str
    host: str
    confirm: bool = False

    @property
    def secret(self) -> object:
        """What is equal for the same secret. Each prompt is another secret, unless hosts inherit it from the same table."""
        return self.what, id(self.reference) if self.reference.prompt else self.reference


class SecretStore:
    """Resolves each secret once. `ask` prompts without echo; it is None without a terminal."""

    def __init__(self, ask: Ask | None) -> None:
        self.ask = ask
        self._found: dict[object, tuple[str, SecretReference]] = {}  # the reference lives as long as its ID is a key

    def get(self, need: Need) -> str:
        """Return the secret. Raises SecretError."""
        self.fetch([need])
        return self._found[need.secret][0]

    def fetch(self, needs: Iterable[Need]) -> None:
        """Resolve these secrets, prompts last. Raises a SecretError with everything that is missing before it prompts."""
        shared: dict[object, list[Need]] = {}
        for need in needs:
            if need.secret not in self._found:
                shared.setdefault(need.secret, []).append(need)
        prompts = [group for group in shared.values() if group[0].reference.prompt]
        self._keep([group for group in shared.values() if not group[0].reference.prompt], [] if self.ask else prompts)
        for group in prompts:
            self._keep([group])

    def _keep(self, *groups: Sequence[list[Need]]) -> None:
        missing: dict[tuple[str, str, str], tuple[SecretError, list[str]]] = {}
        for group, found in self._resolved([group for part in groups for group in part]):
            if isinstance(found, SecretError):
                missing.setdefault((found.code, found.what, found.todo), (found, []))[1].extend(need.host for need in group)
            else:
                self._found[group[0].secret] = found, group[0].reference
        for error, hosts in missing.values():
            error.where = named(hosts)
        errors = [error for error, _ in missing.values()]
        if len(errors) > 1:
            raise SecretError(
                "secrets-missing", "could not read {count} of the secrets:\n{secrets}", count=len(errors), secrets=Lines(errors)
            )
        if errors:
            raise errors[0]

    def _resolved(self, groups: Sequence[list[Need]]) -> Iterable[tuple[list[Need], str | SecretError]]:
        """Yield each group with its secret or what is wrong. The first command runs alone: it may have to unlock what the others use."""
        commands = [group for group in groups if group[0].reference.command is not None]
        for group in [*(group for group in groups if group[0].reference.command is None), *commands[:1]]:
            yield group, self._resolve(group)
        if commands[1:]:
            with ThreadPoolExecutor(COMMANDS) as pool:
                yield from zip(commands[1:], pool.map(self._resolve, commands[1:]), strict=True)

    def _resolve(self, group: Sequence[Need]) -> str | SecretError:
        need = group[0]
        ask = confirmed(self.ask) if need.confirm else self.ask
        try:
            return resolve(need.reference, what=need.what, host=named([each.host for each in group]), ask=ask)
        except SecretError as error:
            return error


def named(hosts: Sequence[str]) -> str:
    """Return the names of the hosts, or the first ones and the number of the others."""
    names = list(dict.fromkeys(hosts))
    if len(names) <= NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED])}, and {len(names) - NAMED} more"
