"""Commands and options. `nbserver --help` imports nothing heavy: each command imports what it needs."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbserver import __version__
from nbserver.base.errors import NbserverError, UsageError

if TYPE_CHECKING:
    from nbserver.run.envelope import Mode

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=HELP)
@click.version_option(__version__, prog_name="nbserver")
def cli() -> None:
    """Sets up a secured notebook server on the hosts of an inventory.

    One readable script a host: what you audit is what runs. HOST is a host's name, a group, a glob
    such as 'web*', or local: this machine. Begin with: nbserver up

    Exit codes: 0 done, 1 a defect of nbserver, 2 usage or inventory, 3 a host or a download failed, 4 plan, status or
    a dry run found differences, 5 not approved or evidence does not match.
    """


def hosts_and_inventory(command: Callable[..., Any]) -> Callable[..., Any]:
    """HOST... and -i, which nearly every command has."""
    command = click.option(
        "-i",
        "--inventory",
        "inventory_path",
        type=click.Path(path_type=Path),
        default=Path("nbserver.toml"),
        show_default=True,
        help="The inventory.",
    )(command)
    return click.argument("hosts", metavar="HOST...", nargs=-1, required=True)(command)


def run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What plan, apply and undo have in common."""
    for option in (
        click.option("--forks", type=click.IntRange(1, 500), default=10, show_default=True, help="Hosts at a time."),
        click.option("--runs", type=click.Path(path_type=Path), help="Where runs are kept (default: nbserver-runs beside the inventory)."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line on standard output."),
    ):
        command = option(command)
    return hosts_and_inventory(command)


@cli.command()
@hosts_and_inventory
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the scripts and manifest.json."
)
@click.option("--check", is_flag=True, help="Write nothing: compare what is there with what would be rendered.")
def render(hosts: tuple[str, ...], inventory_path: Path, output: Path, check: bool) -> int:
    """Write each host's script and manifest.json. Contacts nothing."""
    from nbserver.base import plain_file
    from nbserver.commands import render as rendering
    from nbserver.inventory import reader

    selected = reader.load_for(inventory_path, hosts).select(hosts)
    files = rendering.files(selected)
    if check:
        rendering.compare(files, output)
        click.echo(f"{plain_file.shown(output)} is what this release renders")
    else:
        rendering.write(files, output)
        for line in rendering.overview(selected, output):
            click.echo(line)
    return 0


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--catalog",
    "catalogs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="A site catalog that the inventory names; may be repeated.",
)
def audit(folder: Path, catalogs: tuple[Path, ...]) -> int:
    """Say what the scripts of a rendered FOLDER would do, and check every byte of them and of its manifest."""
    from nbserver.approval import audit as auditing
    from nbserver.approval.reference import Reference

    for line in auditing.audit(folder, Reference.load(catalogs)):
        click.echo(line)
    return 0


def salt_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """--salt, where a password is hashed."""
    return click.option(
        "--salt",
        "salt",
        type=click.Path(path_type=Path, dir_okay=False),
        help="The file with the site's salt (default: nbserver.salt next to the inventory).",
    )(command)


@cli.command()
@run_options
@salt_option
def plan(**given: Any) -> int:
    """Tell what differs on the hosts. Changes nothing."""
    return _operate("test", **given)


@cli.command()
@run_options
@click.option("--approved", type=click.Path(path_type=Path), help="A manifest: only scripts that stand in it may run.")
@salt_option
@click.option("--new-salt", is_flag=True, help="Replace password hashes that have another salt; those servers restart.")
def apply(**given: Any) -> int:
    """Change what differs. A second run finds nothing to do."""
    return _operate("apply", **given)


@cli.command()
@run_options
@click.option("--approved", type=click.Path(path_type=Path), help="A manifest: only scripts that stand in it may run.")
def undo(**given: Any) -> int:
    """Put back what was there before the first apply."""
    return _operate("undo", **given)


def _operate(
    mode: Mode,
    hosts: tuple[str, ...],
    inventory_path: Path,
    forks: int,
    runs: Path | None,
    as_json: bool,
    approved: Path | None = None,
    salt: Path | None = None,
    new_salt: bool = False,
) -> int:
    from nbserver.commands import up as local_setup
    from nbserver.inventory import reader
    from nbserver.run import operation
    from nbserver.run.options import Options
    from nbserver.run.result import exit_code
    from nbserver.view import choice

    loaded = reader.load_for(inventory_path, hosts)
    selected = loaded.select(hosts)
    made = local_setup.first_password(selected) if mode == "apply" else {}
    options = Options(runs=runs, approved=approved, forks=forks, passwords=made, salt=salt, new_salt=new_salt)
    results = operation.operate(mode, loaded, selected, options, _ask(), choice.choose(as_json))
    local_setup.show_password(made, results)
    return exit_code(results)


@cli.command()
@click.option(
    "-i",
    "--inventory",
    "inventory_path",
    type=click.Path(path_type=Path),
    default=Path("nbserver.toml"),
    show_default=True,
    help="The inventory; none is needed.",
)
@click.option("--runs", type=click.Path(path_type=Path), help="Where runs are kept.")
def up(inventory_path: Path, runs: Path | None) -> int:
    """Set up a notebook server on this machine, check it as a browser does, and say where it is.

    The same as apply local and verify local. Without more words it belongs to you alone: no rights of root or an administrator,
    nothing outside of your home folder, and no other machine gets in. Run by root, it is the machine's: a service with a user of
    its own, where systemd runs the machine.
    """
    from nbserver.commands import up as local_setup
    from nbserver.inventory import reader
    from nbserver.view import choice

    return local_setup.up(reader.load_for(inventory_path, ["local"]), runs, _ask(), choice.choose(False))


@cli.command("set-password")
@click.argument("host", type=click.Choice(["local"]))
@click.option(
    "-i",
    "--inventory",
    "inventory_path",
    type=click.Path(path_type=Path),
    default=Path("nbserver.toml"),
    show_default=True,
    help="The inventory; none is needed.",
)
@click.option("--runs", type=click.Path(path_type=Path), help="Where runs are kept.")
def set_password(host: str, inventory_path: Path, runs: Path | None) -> int:
    """Give the notebook server of this machine another password: the one that is typed, or else one that is made."""
    from nbserver.commands import up as local_setup
    from nbserver.inventory import reader
    from nbserver.view import choice

    return local_setup.set_password(reader.load_for(inventory_path, [host]), runs, _ask(), choice.choose(False))


@cli.command()
@click.argument("host", type=click.Choice(["local"]), default="local")
@click.option(
    "-i",
    "--inventory",
    "inventory_path",
    type=click.Path(path_type=Path),
    default=Path("nbserver.toml"),
    show_default=True,
    help="The inventory; none is needed.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def status(host: str, inventory_path: Path, as_json: bool) -> int:
    """Tell whether the notebook server of this machine runs. Ends with 4 when it is not as it should be."""
    from nbserver.inventory import reader
    from nbserver.local import server

    return server.status(reader.load_for(inventory_path, [host]).local, as_json=as_json)


@cli.command()
@click.argument("host", type=click.Choice(["local"]))
@click.option(
    "-i",
    "--inventory",
    "inventory_path",
    type=click.Path(path_type=Path),
    default=Path("nbserver.toml"),
    show_default=True,
    help="The inventory; none is needed.",
)
def stop(host: str, inventory_path: Path) -> int:
    """End the notebook server of this machine; apply local, or up, starts it again."""
    from nbserver.inventory import reader
    from nbserver.local import server

    return server.stop(reader.load_for(inventory_path, [host]).local)


@cli.command()
@hosts_and_inventory
@click.option(
    "--png", "png_directory", type=click.Path(path_type=Path, file_okay=False), help="Folder for the picture that each host drew."
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 3600),
    default=0,
    metavar="SECONDS",
    help="How long to ask a server that does not answer yet, as after a restart.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on standard output.")
def verify(hosts: tuple[str, ...], inventory_path: Path, png_directory: Path | None, wait: float, as_json: bool) -> int:
    """Do what a browser does: HTTPS, log in, compute, draw, and keep the picture."""
    from nbserver.commands import verify as verification
    from nbserver.inventory import reader

    loaded = reader.load_for(inventory_path, hosts)
    return verification.verify_all(loaded, loaded.select(hosts), png_directory, _ask(), as_json, wait)


@cli.command("hash-password")
@click.argument("host")
@click.option(
    "-i",
    "--inventory",
    "inventory_path",
    type=click.Path(path_type=Path),
    default=Path("nbserver.toml"),
    show_default=True,
    help="The inventory.",
)
@salt_option
def hash_password(host: str, inventory_path: Path, salt: Path | None) -> int:
    """Print the hash of the notebook password of HOST, for a script that is run by hand.

    It is the hash that apply would send: with the salt of the site, which is created if there is none.
    """
    from nbserver.inventory import reader
    from nbserver.run import notebook_password, site_salt
    from nbserver.settings import secret

    loaded = reader.load_for(inventory_path, [host])
    selected = loaded.select([host])
    if len(selected) != 1:
        raise UsageError(f"the name is that of {len(selected)} hosts", where=host, todo="Name one host")
    ask = secret.confirmed(_ask())
    plain = ask(f"Notebook password of {selected[0].name}: ") if ask else sys.stdin.readline().rstrip("\r\n")
    notebook_password.check_password(plain, host=selected[0].name, minimum=selected[0].notebook.password_minimum)
    found = site_salt.of_site(loaded.path.parent, salt, create=True)
    click.echo(notebook_password.hash_password(plain, found))
    return 0


@cli.group("certificate")
def certificate_group() -> None:
    """Certificates that a host requests and that are signed elsewhere (certificate.request = true)."""


@certificate_group.command("request")
@run_options
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for each host's request, HOST.csr."
)
@click.option("--approved", type=click.Path(path_type=Path), help="A manifest: only scripts that stand in it may run.")
def request_certificate(
    hosts: tuple[str, ...], inventory_path: Path, output: Path, forks: int, runs: Path | None, as_json: bool, approved: Path | None
) -> int:
    """Have each HOST make a key and a request for its certificate. The key stays there; asked again, it is the same request."""
    from nbserver.commands import certificate_request
    from nbserver.inventory import reader
    from nbserver.run.options import Options
    from nbserver.view import choice

    loaded = reader.load(inventory_path)
    options = Options(runs=runs, approved=approved, forks=forks)
    say = (lambda path: None) if as_json else click.echo
    return certificate_request.request(loaded, loaded.select(hosts), output, options, _ask(), choice.choose(as_json), say)


@certificate_group.command("install")
@click.argument("host")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "-i",
    "--inventory",
    "inventory_path",
    type=click.Path(path_type=Path),
    default=Path("nbserver.toml"),
    show_default=True,
    help="The inventory.",
)
@click.option(
    "--csr",
    "csr_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The request that was signed (default: the newest in the runs).",
)
@click.option("--runs", type=click.Path(path_type=Path), help="Where runs are kept (default: nbserver-runs beside the inventory).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line on standard output.")
@click.option("--approved", type=click.Path(path_type=Path), help="A manifest: only scripts that stand in it may run.")
@salt_option
def install_certificate(
    host: str,
    file: Path,
    inventory_path: Path,
    csr_file: Path | None,
    runs: Path | None,
    as_json: bool,
    approved: Path | None,
    salt: Path | None,
) -> int:
    """Check the signed certificate in FILE (PEM, with its chain) against HOST's request, and apply it."""
    from nbserver.commands import certificate_request
    from nbserver.inventory import reader
    from nbserver.run.options import Options
    from nbserver.view import choice

    loaded = reader.load(inventory_path)
    selected = loaded.select([host])
    if len(selected) != 1:
        raise UsageError(f'"{host}" means {len(selected)} hosts', todo="A certificate is for one host: name it")
    options = Options(runs=runs, approved=approved, salt=salt)
    return certificate_request.install(loaded, selected[0], file, csr_file, options, _ask(), choice.choose(as_json))


@cli.group("catalog")
def catalog_group() -> None:
    """Site catalogs: what a site may download, laid over the shipped catalog."""


@catalog_group.command("update")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The site catalog to write.")
@click.option(
    "--python",
    multiple=True,
    metavar="VERSION",
    help="Such as 3.13 (its newest) or 3.13.16; may be repeated. Default: the shipped catalog's.",
)
@click.option("--openssl", multiple=True, metavar="VERSION", help="Such as 3.5; may be repeated. Default: the shipped catalog's.")
@click.option(
    "--architecture",
    "architectures",
    type=click.Choice(["x64", "arm64"]),
    multiple=True,
    default=["x64"],
    show_default=True,
    help="May be repeated.",
)
@click.option("--base-url-python", "python_base", metavar="URL", help="A copy of https://www.python.org/ftp/python/.")
@click.option("--openssl-index", metavar="URL", help="A copy of slproweb's win32_openssl_hashes.json.")
@click.option(
    "--ca-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Authorities to trust beside the system's, in PEM."
)
@click.option("--dry-run", is_flag=True, help="Write nothing; end with 4 if something would change.")
@click.option("--allow-downgrade", is_flag=True, help="Accept an index that is older than the file.")
def update_catalog(output: Path, ca_file: Path | None, dry_run: bool, allow_downgrade: bool, **wanted: Any) -> int:
    """Write a site catalog from the publishers' own indexes, and tell what changes. Contacts no host."""
    from datetime import datetime

    from nbserver.catalog import update

    today = f"{datetime.now(UTC):%Y-%m-%d}"
    wanted_files = update.Wanted(**wanted)
    return update.run(output, wanted_files, date=today, ca_file=ca_file, dry_run=dry_run, allow_downgrade=allow_downgrade)


def _ask() -> Callable[[str], str] | None:
    """How to ask a person for a secret; None where nobody is there."""
    if not sys.stdin or not sys.stdin.isatty():
        return None

    def ask(question: str) -> str:
        answer: str = click.prompt(question, default="", show_default=False, prompt_suffix="", hide_input=True, err=True)
        return answer

    return ask


def main() -> None:
    """The command `nbserver`: ends with the contract's exit code, and with one message for a person's mistake."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # a character that its encoding lacks is shown as an escape, and ends no run
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = cli.main(standalone_mode=False, windows_expand_args=False)
    except click.exceptions.Abort:
        code = 2
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) and not isinstance(error, click.MissingParameter) else None
        if context is not None and context.info_name in ("set-password", "hash-password"):
            error = click.UsageError(
                "an argument does not belong here. It is not repeated, because it may be a password; nbserver asks for the password itself",
                context,
            )
        error.show()
        code = error.exit_code
    except NbserverError as error:
        from nbserver.base.plain_text import clean

        click.echo("nbserver: " + "\n".join(clean(line, 10_000) for line in str(error).split("\n")), err=True)
        code = error.exit_code
    except KeyboardInterrupt:
        click.echo("nbserver: left at once; what runs on a host ends there by itself", err=True)
        os._exit(3)  # the threads that still wait for a host would keep the process alive
    sys.exit(code if isinstance(code, int) else 0)
