"""The program: its commands and exit codes. Each command imports what it needs, so that `nbserver --help` is fast."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import click

from nbserver import __version__
from nbserver.base import folding, standard_streams
from nbserver.base.errors import Abandoned, Interrupted, NbserverError, UsageError
from nbserver.cli import (
    approval,
    audit,
    backups,
    bundles,
    catalogs,
    certificates,
    export,
    host_list,
    hosts,
    locks,
    logs,
    notebooks,
    passwords,
    reports,
    servers,
    status,
    this_machine,
)
from nbserver.cli.click_words import shown
from nbserver.cli.completion import VARIABLE, completion
from nbserver.cli.init import init
from nbserver.cli.language import add_language, language_of, short_help
from nbserver.cli.resume import resume
from nbserver.cli.schema import schema
from nbserver.cli.variables import blame, name_variables
from nbserver.language import choice
from nbserver.language.language import ENGLISH, Language

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


SECTIONS: dict[str, tuple[click.Command, ...]] = {
    "Get started": (this_machine.up, init, schema, completion),
    "Fleet": (
        host_list.list_hosts,
        hosts.check,
        hosts.plan,
        hosts.apply,
        hosts.verify,
        status.status,
        hosts.undo,
        hosts.rotate,
        servers.restart,
        servers.stop,
        servers.rollback,
        logs.logs,
        servers.set_password,
        servers.rotate_certificate,
        resume,
        hosts.events,
        reports.report,
        certificates.certificate_group,
        notebooks.notebooks_group,
        backups.backup,
        backups.restore,
    ),
    "Audit": (
        locks.lock,
        bundles.download,
        bundles.mirror,
        approval.render,
        audit.audit,
        approval.approve,
        catalogs.catalog_group,
        passwords.hash_password,
        export.export_group,
    ),
}

RESULT_IS_OUTPUT = frozenset({"audit", "catalog", "completion", "hash-password", "logs", "render", "report", "schema", "status"})
HELP_ITSELF: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())  # of a group without a command, since click 8.2
ENDING = ("SIGTERM", "SIGBREAK")  # what ends a job; the second one is Ctrl-Break, and only Windows has it
GRAVER = (1, 2, 5)  # exit codes that say more than that the output was lost

EXIT_CODES = """\b
Exit codes:
  0  success
  1  internal error (a bug in nbserver)
  2  invalid usage or inventory
  3  a host or a download failed, or a result could not be written
  4  plan, status, a dry run, a copy, or catalog check found differences
  5  not approved, or evidence does not match
  130  interrupted before a run began
"""


class _Program(click.Group):
    """The group of all commands. Its help lists them by section."""

    def invoke(self, ctx: click.Context) -> Any:
        code = super().invoke(ctx)
        if ctx.invoked_subcommand in RESULT_IS_OUTPUT and code not in GRAVER:
            standard_streams.require_written()
        return code

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(len(name) for name in self.commands)
        language = language_of(ctx)
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{command.name:<{width}}", short_help(command, language)) for command in commands])


@click.group(cls=_Program, context_settings=HELP, epilog=EXIT_CODES)
@click.version_option(__version__, prog_name="nbserver")
def cli() -> None:
    """Set up secured notebook servers on the hosts of an inventory.

    nbserver renders one readable script per host: what you audit is what runs. HOST is the name of a host or a group, a
    pattern such as 'web*' or 'lab,!win3', all for every host, or local for this machine.

    To get started, run: nbserver up
    """


for command in (command for section in SECTIONS.values() for command in section):
    cli.add_command(command)
name_variables(cli)
add_language(cli)


def main() -> None:
    """Run the command `nbserver` and exit with its documented exit code. An expected error prints one message."""
    for name in ENDING:  # scripts on hosts must stop, as after Ctrl-C
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    encodings = [stream.encoding for stream in (sys.stdout, sys.stderr) if stream is not None]
    language = choice.language(choice.shown_on(choice.code_of(sys.argv[1:]), encodings))
    with standard_streams.undemanding(language.render, language.errors):
        code = _run(language)
    sys.exit(code)


def _run(language: Language) -> int:
    """Run the command and return the exit code. Exits for a second Ctrl-C."""
    try:
        code = cli.main(standalone_mode=False, windows_expand_args=False, complete_var=VARIABLE, obj=language)
        if lost := standard_streams.not_written():
            _show(lost)  # what the command did is done, and its exit code says so
    except click.exceptions.Abort as error:  # click's for Ctrl-C and for the end of the input
        code = _show(_aborted(error.__cause__ or error.__context__))
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) and not isinstance(error, click.MissingParameter) else None
        if context is not None and context.info_name in ("set-password", "hash-password"):
            error = click.UsageError(
                "unexpected argument; it is not shown because it may be a password. nbserver prompts for the password",
                context,
            )
        blame(error)
        if language is ENGLISH or isinstance(error, HELP_ITSELF):
            error.show()
        else:
            click.echo("\n".join(shown(error, language)), err=True)
        code = error.exit_code
    except Abandoned as error:
        os._exit(_show(error))  # threads that are waiting for a host would keep the process alive
    except NbserverError as error:
        code = _show(error)
    return code if isinstance(code, int) else 0


def _aborted(cause: BaseException | None) -> NbserverError:
    if isinstance(cause, EOFError):
        return UsageError("input-ended", "standard input ended before a question was answered", todo="Run the command in a terminal")
    return Interrupted("interrupted", "the command was interrupted")


def _show(error: NbserverError) -> int:
    """Print an error and return its exit code."""
    from nbserver.base.plain_text import clean

    text = "\n".join(clean(line, 10_000) for line in standard_streams.text_for_reader(error).split("\n"))
    said = f"nbserver: {text}"
    click.echo(folding.for_stream(said, sys.stderr), err=True)
    return error.exit_code
