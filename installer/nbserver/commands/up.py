"""The first command: a notebook server on this machine, checked as a browser does it; and the password that nobody chose."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbserver.inventory.by_kind import LocalByKind
from nbserver.inventory.hosts import AnyHost
from nbserver.inventory.names import LOCAL
from nbserver.local.places import is_set_up, url
from nbserver.run import notebook_password, operation
from nbserver.run.options import Options
from nbserver.run.result import exit_code
from nbserver.run.secret_mask import SecretMask
from nbserver.settings import secret
from nbserver.settings.secret import confirmed

if TYPE_CHECKING:
    from nbserver.inventory.hosts import Inventory
    from nbserver.run.result import Result
    from nbserver.run.view import View

LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another one


def make_password(minimum: int = 0) -> str:
    """16 random letters and digits in groups of four, 79 bits; more groups where `minimum` characters are more."""
    groups = max(4, -(-(minimum + 1) // 5))
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(groups))


def first_password(hosts: Sequence[AnyHost]) -> dict[str, str]:
    """A new password for this machine, by its name, where the inventory names none and none is set; else nothing."""
    return {
        host.name: make_password(host.notebook.password_minimum)
        for host in hosts
        if host.transport == "local" and host.notebook.password is None and not is_set_up(host)
    }


def show_password(made: Mapping[str, str], results: Mapping[str, Result]) -> None:
    """Shows it, this once, when the run got as far as setting it. It is kept nowhere but as its hash."""
    for name, password in made.items():
        if results[name].steps.get("notebook", "unchanged") != "unchanged":
            click.echo(f"The notebook server's password, shown this once: {password}", err=True)


_rights = LocalByKind(windows=lambda host: "", linux=lambda host: "As root: " if host.scope == "machine" else "")


def up(inventory: Inventory, runs: Path | None, ask: secret.Ask | None, view: View) -> int:
    """Applies, verifies with a picture, and says where the server is. Returns the exit code."""
    host = inventory.local
    made = first_password([host])
    password = made.get(host.name) or (notebook_password.plain(host, confirmed(ask)) if host.notebook.password else None)
    result, code = _apply(inventory, runs, password, view)
    if code:
        show_password(made, {host.name: result})
        return code
    picture = None
    if password is not None:
        try:
            picture = _verify(inventory, runs, password, result.fingerprint)
        except BaseException:  # also one that stops waiting for the server: the password is kept nowhere
            show_password(made, {host.name: result})
            raise
    click.echo("")
    click.echo(f"Address      {url(host)}")
    if made:
        click.echo(f"Password     {made[host.name]}   (shown this once; nbserver set-password local gives another)")
    click.echo(f"Certificate  {result.fingerprint}   (self-signed: the browser asks; compare this)")
    click.echo(f"Picture      {picture}" if picture else "Password     as set before; nbserver verify local asks for it and draws")
    click.echo(f"Notebooks    {host.notebook.directory}")
    click.echo(f"{_rights(host)}nbserver status, nbserver stop local; nbserver undo local takes it all back")
    return 0


def set_password(inventory: Inventory, runs: Path | None, ask: secret.Ask | None, view: View) -> int:
    """Applies with another password. Returns the exit code."""
    ask_twice = confirmed(ask)
    typed = ask_twice("New notebook password (nothing: one is made): ") if ask_twice else ""
    made = {} if typed else {LOCAL: make_password(inventory.local.notebook.password_minimum)}
    result, code = _apply(inventory, runs, typed or made[LOCAL], view, new_salt=True)
    show_password(made, {LOCAL: result})
    return code


def _apply(inventory: Inventory, runs: Path | None, password: str | None, view: View, *, new_salt: bool = False) -> tuple[Result, int]:
    """With `new_salt` a hash with any salt is replaced: the server gets another password, and restarts, anyway."""
    options = Options(runs=runs, passwords={LOCAL: password} if password is not None else {}, new_salt=new_salt)
    results = operation.operate("apply", inventory, [inventory.local], options, None, view)
    return results[LOCAL], exit_code(results)


def _verify(inventory: Inventory, runs: Path | None, password: str, fingerprint: str) -> Path | None:
    """What a browser does; the picture is kept beside the runs. Raises HostError."""
    from nbserver.run.journal import FOLDER
    from nbserver.verify import checks

    folder = runs or inventory.path.parent / FOLDER
    click.echo("")
    mask = SecretMask([LOCAL, inventory.local.address])
    mask.add(password)
    say = lambda name, text: click.echo(mask.text(f"{LOCAL}  {name:<14} {text}"))  # noqa: E731
    return checks.verify(inventory.local, password=password, fingerprint=fingerprint, png_directory=folder, on_step=say).png
