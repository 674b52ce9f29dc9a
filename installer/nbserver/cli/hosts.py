"""check, plan, apply, undo, rotate and verify: commands that contact the hosts of an inventory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbserver.cli.completion import complete_hosts
from nbserver.cli.engine import engine_options
from nbserver.cli.failed_from import failed_from_option
from nbserver.cli.options import (
    approved_option,
    asker,
    command_line,
    hosts_and_inventory,
    inventory_option,
    known_option,
    run_options,
    runs_option,
    salt_option,
    thorough_option,
)
from nbserver.cli.output import Output, json_option, output_options
from nbserver.cli.warnings import show_gone, show_moved, show_warnings

if TYPE_CHECKING:
    from nbserver.base.modes import Mode


@click.command()
@run_options
@approved_option
def check(**given: Any) -> int:
    """Check whether hosts are ready for apply

    Connects as plan does, and checks what apply needs: name, port, certificate or host key, logon, rights, free space,
    clock, downloads, and more. For each requirement that is not met, the output says what to do. Nothing is changed.
    Exits with code 3 if a requirement is not met.
    """
    return _operate("check", **given)


@click.command()
@failed_from_option
@run_options
@engine_options()
@approved_option
@salt_option
@thorough_option
def plan(**given: Any) -> int:
    """Show what apply would change

    Exits with code 4 if a host differs from the inventory. Nothing is changed.
    """
    return _operate("test", **given)


@click.command()
@failed_from_option
@run_options
@engine_options()
@approved_option
@salt_option
@click.option("--new-salt", is_flag=True, help="Replace password hashes that were created with a different salt; restarts these servers.")
@thorough_option
@click.option("--repair", is_flag=True, help="Reinstall the packages, even if they show no damage; restarts the servers.")
def apply(**given: Any) -> int:
    """Set up hosts as described in the inventory

    Only differences are changed: a second run changes nothing.
    """
    return _operate("apply", **given)


@click.command()
@failed_from_option
@run_options
@engine_options()
@approved_option
@click.option("--with-notebooks", is_flag=True, help="Archive the notebooks on this workstation, then also remove them from the hosts.")
@click.option(
    "--archives",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for the archives of --with-notebooks (default: the current folder).",
)
def undo(with_notebooks: bool, archives: Path | None, **given: Any) -> int:
    """Restore the state before the first apply

    Undoes every change that apply recorded on the host. Notebooks stay, unless you add --with-notebooks.
    """
    if with_notebooks:
        from nbserver.cli.notebooks import task_of
        from nbserver.commands import undo as command

        return command.undo_with_notebooks(archives or Path(), task_of("pull", dry_run=False, **given))
    if archives:
        from nbserver.base.errors import UsageError

        raise UsageError("archives-alone", "--archives requires --with-notebooks", todo="Add --with-notebooks, or remove --archives")
    return _operate("undo", **given)


@click.command()
@run_options
@approved_option
@salt_option
@click.option(
    "--certificate",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Certificate that was issued for the host's newest request; requires certificate.request = true and a single host.",
)
@click.option(
    "--csr",
    "csr_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Certificate request that was signed (default: the newest request in the runs).",
)
def rotate(
    hosts: tuple[str, ...],
    inventory_path: Path,
    forks: int | None,
    runs: Path | None,
    known: Path | None,
    output: Output,
    salt: Path | None,
    certificate: Path | None,
    csr_file: Path | None,
    **trust: Any,
) -> int:
    """Replace all secrets of servers and log everyone out

    Set a new notebook password first. The server stops, and its sessions and kernels end. It gets a new key, certificate,
    and cookie secret. Files that its kernels wrote outside the notebooks are set aside, then the server starts again.
    """
    from nbserver.commands import rotation
    from nbserver.inventory import reader
    from nbserver.run.options import Options

    loaded = reader.load_for(inventory_path, hosts)
    options = Options(runs=runs, forks=forks, salt=salt, known=known, command=command_line(), **trust)
    view = output.view()
    return rotation.rotate(loaded, loaded.select(hosts), certificate, csr_file, options, asker(), view, quiet=not output.for_a_person)


def _operate(
    mode: Mode,
    hosts: tuple[str, ...],
    inventory_path: Path,
    forks: int | None,
    runs: Path | None,
    known: Path | None,
    output: Output,
    salt: Path | None = None,
    new_salt: bool = False,
    thorough: bool = False,
    repair: bool = False,
    **trust: Any,
) -> int:
    from nbserver.commands import addresses, delivery, up
    from nbserver.inventory import reader
    from nbserver.run.options import Options
    from nbserver.run.result import exit_code

    loaded = reader.load_for(inventory_path, hosts)
    selected = loaded.select(hosts)
    show_gone(loaded, hosts)
    if mode != "undo":
        show_warnings(selected)
    made = up.first_password(selected) if mode == "apply" else {}
    options = Options(
        runs=runs,
        forks=forks,
        passwords=made,
        salt=salt,
        new_salt=new_salt,
        thorough=thorough,
        repair=repair,
        known=known,
        command=command_line(),
        **trust,
    )
    view = output.view(check=mode == "check")
    with up.password_not_lost(made):
        results = delivery.operate(mode, loaded, selected, options, asker(), view, as_json=output.as_json, quiet=output.quiet)
    if mode == "test":
        show_moved(selected, results)
    if mode == "apply" and output.for_a_person:
        addresses.show_addresses(selected, results, hosts)
    up.show_password(made, results)
    return exit_code(results)


@click.command()
@click.argument("run")
@click.argument("host", shell_complete=complete_hosts)
@inventory_option
@runs_option
@output_options
@approved_option
def events(run: str, host: str, inventory_path: Path, runs: Path | None, output: Output, **trust: Any) -> int:
    """Show the events that a host recorded during a run

    Fetches the events that this workstation has not received, such as after a lost connection, and follows the run if it
    is still in progress. RUN can be from another workstation. Ctrl-C does not stop the run.
    """
    from nbserver.base.errors import UsageError
    from nbserver.commands import events as fetched
    from nbserver.inventory import reader
    from nbserver.run.options import Options

    loaded = reader.load_for(inventory_path, [host])
    selected = loaded.select([host])
    if len(selected) != 1:
        raise UsageError(
            "events-of-one-host",
            '"{pattern}" matches {count} hosts, but events can be fetched from only one host at a time',
            todo="Specify a single host",
            pattern=host,
            count=len(selected),
        )
    return fetched.events(loaded, run, selected[0], runs, asker(), output.view(), Options(**trust))


@click.command()
@hosts_and_inventory
@click.option(
    "--png",
    "png_directory",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Folder for the picture that each host draws.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0, 3600),
    default=0,
    metavar="SECONDS",
    help="How long to keep retrying a server that is not answering yet.",
)
@known_option
@engine_options()
@json_option
def verify(
    hosts: tuple[str, ...],
    inventory_path: Path,
    png_directory: Path | None,
    wait: float,
    known: Path | None,
    as_json: bool,
    **engine: Any,
) -> int:
    """Test notebook servers the way a browser uses them

    Connects over HTTPS, logs in, runs a calculation, and draws a picture.
    """
    from nbserver.commands import verify as verification
    from nbserver.inventory import reader
    from nbserver.run.options import Options

    loaded = reader.load_for(inventory_path, hosts)
    return verification.verify_all(loaded, loaded.select(hosts), png_directory, asker(), as_json, wait, known, Options(**engine))
