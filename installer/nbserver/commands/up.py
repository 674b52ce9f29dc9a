"""`nbserver up` and `set-password`: set up and test a notebook server on this machine, and generate its password."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbserver.base import folding
from nbserver.base.errors import NbserverError, UsageError
from nbserver.base.message import phrase
from nbserver.base.standard_streams import say, text_for_reader, warn
from nbserver.commands import delivery
from nbserver.inventory import own_server
from nbserver.inventory.by_kind import LocalByKind
from nbserver.inventory.names import LOCAL
from nbserver.local.places import is_set_up, url
from nbserver.run import notebook_password, operation, own_servers, own_trust
from nbserver.run.options import Options
from nbserver.run.result import exit_code
from nbserver.run.secret_mask import SecretMask
from nbserver.settings import secret
from nbserver.settings.secret import confirmed
from nbserver.settings.secret_store import SecretStore

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost, AnyLocal, Inventory
    from nbserver.run.result import Result
    from nbserver.run.view import View

LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # without characters that are easily confused


def make_password(minimum: int = 0) -> str:
    """Return 16 random letters and digits in groups of four (79 bits), or more groups if `minimum` requires it."""
    groups = max(4, -(-(minimum + 1) // 5))
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(groups))


def first_password(hosts: Sequence[AnyHost], *, again: bool = False) -> dict[str, str]:
    """Return a generated password by host name for this machine, if the inventory has none and none is set.

    With `again`, also if one is set. Says so. Raises UsageError if that cannot be written, because the password could not be shown either.
    """
    made: dict[str, str] = {
        host.name: make_password(host.notebook.password_minimum)
        for host in hosts
        if host.transport == "local" and host.notebook.password is None and (again or not is_set_up(host))
    }
    if made and not say(phrase("The notebook password is generated, and is shown at the end"), err=True):
        raise UsageError(
            "password-not-shown",
            "a generated notebook password could not be shown, because nbserver can write to neither standard output nor standard error",
            todo="Redirect one of them to a writable file, or set notebook.password in the inventory",
        )
    return made


def _if_set(password: str) -> str:
    return phrase("Notebook password, if the run has set it (shown only once): {password}", password=password)


def show_password(made: Mapping[str, str], results: Mapping[str, Result]) -> None:
    """Print the password if the run set it. It is shown only once: nbserver keeps nothing but its hash."""
    for name, password in made.items():
        if results[name].steps.get("notebook", "unchanged") != "unchanged":
            say(phrase("Notebook password (shown only once): {password}", password=password), err=True)
        elif results[name].changed is None:
            say(_if_set(password), err=True)


@contextmanager
def password_not_lost(made: Mapping[str, str]) -> Iterator[None]:
    """Show the password if the block fails after scripts have run: whether they set it is not known then."""
    try:
        yield
    except NbserverError as error:
        if error.after_run:
            for password in made.values():
                say(_if_set(password), err=True)
        raise


@contextmanager
def _password_shown_if_it_fails(
    made: Mapping[str, str], results: Mapping[str, Result], then: Callable[[], None] | None = None
) -> Iterator[None]:
    """Show the password however the block fails, also with Ctrl-C: it is set by then, and stored nowhere else. After that, call `then`."""
    try:
        yield
    except BaseException:
        show_password(made, results)
        if then:
            then()
        raise


@contextmanager
def _unverified(host: AnyLocal, made: Mapping[str, str]) -> Iterator[None]:
    """Record that the server has to be verified with a generated password, unless there is no server and no run that still sets it up."""
    if made:
        own_servers.remember_unverified(host.scope, unverified=True)
    still_runs = False
    try:
        yield
    except BaseException as error:
        still_runs = not isinstance(error, NbserverError) or error.after_run
        raise
    finally:
        if made and not still_runs and not is_set_up(host):
            own_servers.remember_unverified(host.scope, unverified=False)


def with_free_port(inventory: Inventory) -> Inventory:
    """Return the inventory. If nobody has chosen a port, and another program uses the default one, this user's server gets the next."""
    host = inventory.local
    is_chosen = (inventory.own is not None and inventory.sha256 is not None) or "port" in host.notebook.model_fields_set
    if is_chosen or host.scope == "machine" or is_set_up(host):
        return inventory
    from nbserver.local import ports

    port = ports.first_free(host.notebook.ip, host.notebook.port)
    if port in (None, host.notebook.port):
        return inventory
    say(phrase("Port {used} is in use: the server gets port {port}", used=host.notebook.port, port=port), err=True)
    return replace(inventory, own=host.model_copy(update={"notebook": host.notebook.model_copy(update={"port": port})}))


_requires_root = LocalByKind(windows=lambda host: False, linux=lambda host: host.scope == "machine")


def up(
    inventory: Inventory,
    options: Options,
    ask: secret.Ask | None,
    view: View,
    *,
    as_json: bool = False,
    quiet: bool = False,
    opens: bool = False,
    trust: bool = False,
) -> int:
    """Apply, verify with a picture, and print where the server is. Return the exit code. `opens` shows the first page in a browser.

    A generated password is never in JSON, which may be kept as a log: it is shown on standard error. With `trust`, the user's
    browsers trust the certificate. Raises HostError if that failed, after everything else.
    """
    host = inventory.local
    if trust:
        own_trust.require_possible(host.scope)
    again = is_set_up(host) and own_server.is_unverified(host.scope)
    if again and host.notebook.password is None:  # only the person who saw the password knows it
        say(phrase("The previous run of up did not verify the server: it gets a new password, and is verified now"), err=True)
    made = first_password([host], again=again)
    password = made.get(host.name) or (SecretStore(ask).get(notebook_password.need(host, confirm=True)) if host.notebook.password else None)
    with password_not_lost(made), _unverified(host, made):
        result, code = _apply(inventory, options, password, view, ask)
    if code:
        show_password(made, {host.name: result})
        return code
    # Only after the password is shown: if this is killed before, the next up generates another one.
    known = partial(own_servers.remember_unverified, host.scope, unverified=False)
    picture = None
    if password is not None:
        if not (as_json or quiet):
            click.echo("")
        with _password_shown_if_it_fails(made, {host.name: result}):
            from nbserver.commands.verify import json_step, plain_step  # its libraries are not needed by apply

            show = _nothing if quiet else json_step(host.name) if as_json else plain_step(host.name)
            picture = _verify(inventory, options.runs, password, result.fingerprint, show)
    if picture and result.folder:
        from nbserver.run import kept_picture

        for warning in kept_picture.keep(result.folder, picture, operation.operator()):
            warn(warning)
    with _password_shown_if_it_fails(made, {host.name: result}, then=known):  # Windows asks in a window
        refused = _trust(result.fingerprint) if trust else None
    if as_json or quiet:
        show_password(made, {host.name: result})
        known()
        if as_json:
            say(json.dumps(_server(host, result, picture)))
        if opens:
            open_page(first_page(host))
        if refused:
            raise refused
        return 0
    say()
    added = own_server.trusted()
    is_trusted = added is not None and added.fingerprint == result.fingerprint
    trusted = phrase("your browsers trust it, until undo")
    own = phrase("self-signed: the browser warns; compare the fingerprint")
    password_words = phrase("shown only once; change it with nbserver set-password local")
    unchanged = phrase("unchanged; nbserver verify local tests it, and nbserver set-password local replaces it")
    rows = [
        (phrase("Address"), url(host)),
        *([(phrase("First page"), first_page(host))] if host.notebook.language != "none" else []),
        *([(phrase("Password"), phrase("{password}   ({words})", password=made[host.name], words=password_words))] if made else []),
        (phrase("Certificate"), phrase("{fingerprint}   ({words})", fingerprint=result.fingerprint, words=trusted if is_trusted else own)),
        (phrase("Picture"), str(picture)) if picture else (phrase("Password"), unchanged),
        (phrase("Notebooks"), str(host.notebook.directory)),
    ]
    titles = [text_for_reader(title) for title, _ in rows]
    width = max(11, *map(folding.width, titles))
    for title, (_, text) in zip(titles, rows, strict=True):
        say(phrase("{title}  {text}", title=folding.padded(title, width), text=text))
    known()
    after = phrase("nbserver status shows the server, nbserver stop local stops it, nbserver undo local removes everything")
    say(phrase("As root: {commands}", commands=after) if _requires_root(host) else after)
    if opens:
        open_page(first_page(host))
    if refused:
        raise refused
    return 0


def first_page(host: AnyLocal) -> str:
    """Return the address of the first page, or of the server if it has none."""
    if host.notebook.language == "none":
        return url(host)
    return f"{url(host)}/{'lab/tree' if host.notebook.interface == 'lab' else 'notebooks'}/Welcome.ipynb"


def open_page(address: str) -> None:
    """Show the page in a new tab of the browser. Without a browser, a warning has the address."""
    import webbrowser

    if not webbrowser.open_new_tab(address):
        warn(phrase("no browser could be started; open {address}", address=address))


def _trust(fingerprint: str) -> NbserverError | None:
    """Make the user's browsers trust the certificate. Return the error if that failed: the password must still be shown."""
    try:
        own_trust.add(fingerprint)
    except NbserverError as error:
        return error
    return None


def _server(host: AnyLocal, result: Result, picture: Path | None) -> dict[str, object]:
    where = {"host": host.name, "url": url(host), "fingerprint": result.fingerprint, "first_page": first_page(host)}
    return {"event": "server", **where, "png": str(picture) if picture else None, "notebooks": str(host.notebook.directory)}


def _nothing(name: str, text: str) -> None:
    pass


def set_password(inventory: Inventory, options: Options, ask: secret.Ask | None, view: View) -> int:
    """Apply with a different password. Return the exit code."""
    ask_twice = confirmed(ask)
    typed = ask_twice(phrase("New notebook password (leave empty to generate one): ")) if ask_twice else ""
    made = {} if typed else {LOCAL: make_password(inventory.local.notebook.password_minimum)}
    with password_not_lost(made):
        result, code = _apply(inventory, options, typed or made[LOCAL], view, ask, new_salt=True)
    if not code:
        own_servers.remember_unverified(inventory.local.scope, unverified=False)  # up must not replace a password that is known
    show_password(made, {LOCAL: result})
    return code


def _apply(
    inventory: Inventory, options: Options, password: str | None, view: View, ask: secret.Ask | None, *, new_salt: bool = False
) -> tuple[Result, int]:
    """Apply to this machine. `new_salt` also replaces a hash with a different salt: a new password restarts the server anyway."""
    given = replace(options, passwords={LOCAL: password} if password is not None else {}, new_salt=new_salt)
    results = delivery.operate("apply", inventory, [inventory.local], given, ask, view)
    return results[LOCAL], exit_code(results)


def _verify(inventory: Inventory, runs: Path | None, password: str, fingerprint: str, show: Callable[[str, str], None]) -> Path | None:
    """Verify the server and return the path of its picture, which is stored next to the runs. Raises HostError."""
    from nbserver.run.journal import FOLDER
    from nbserver.verify import checks

    folder = runs or inventory.path.parent / FOLDER
    mask = SecretMask([LOCAL, inventory.local.address])
    mask.add(password)
    masked = lambda name, text: show(name, mask.text(text))  # noqa: E731
    return checks.verify(inventory.local, password=password, fingerprint=fingerprint, png_directory=folder, on_step=masked).png
