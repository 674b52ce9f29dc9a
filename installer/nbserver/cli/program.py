"""The program: its commands, and how it ends. `nbserver --help` imports nothing heavy: each command imports what it needs."""

from __future__ import annotations

import io
import os
import sys

import click

from nbserver import __version__
from nbserver.base.errors import NbserverError
from nbserver.cli import approval, catalogs, certificates, hosts, passwords, this_machine

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


for command in (
    *(approval.render, approval.audit),
    *(hosts.plan, hosts.apply, hosts.undo, hosts.verify),
    *(this_machine.up, this_machine.status, this_machine.stop, this_machine.set_password),
    *(passwords.hash_password, certificates.certificate_group, catalogs.catalog_group),
):
    cli.add_command(command)


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
