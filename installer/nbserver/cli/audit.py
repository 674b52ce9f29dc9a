"""audit: check rendered scripts, a run directory, or what hosts have kept about runs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from nbserver.base.errors import UsageError
from nbserver.base.standard_streams import say
from nbserver.cli.completion import complete_folders_and_hosts
from nbserver.cli.evidence import run_evidence_options
from nbserver.cli.language import language
from nbserver.cli.options import approved_option, asker, command_line, optional_inventory_option

FILE = click.Path(path_type=Path, dir_okay=False)
OUT = click.Path(path_type=Path, dir_okay=False, allow_dash=True)
OF_RUNS = ("runs", "log", "heads", "evidence_key")
OF_APPROVALS = ("approved", "signers", "approvals", "site")

catalog_option = click.option(
    "--catalog",
    "catalogs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Site catalog that the inventory uses; can be repeated.",
)
lock_option = click.option(
    "--lock",
    "locks",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Lock that the inventory uses, or a folder with locks; can be repeated.",
)


@click.command()
@click.argument("subjects", metavar="[FOLDER | BUNDLE | HOST...]", nargs=-1, shell_complete=complete_folders_and_hosts)
@catalog_option
@lock_option
@click.option("--html", type=FILE, metavar="FILE", help="Write a review page for the person who approves.")
@click.option("--json", "json_path", type=OUT, metavar="FILE", help="Write the result of the audit as JSON; - is standard output.")
@click.option("--markdown", type=FILE, metavar="FILE", help="Write the review page as Markdown.")
@click.option(
    "--against",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Show only what differs from the rendered scripts in another folder, such as those approved previously.",
)
@click.option(
    "--bodies",
    type=click.Path(path_type=Path),
    nargs=2,
    metavar="OLD NEW",
    help="Show how the bodies of two releases differ; OLD and NEW are scripts or folders with scripts.",
)
@run_evidence_options
@click.option(
    "--evidence",
    is_flag=True,
    help="Contact HOST... and compare what they have kept about runs with the run directories of this workstation.",
)
@optional_inventory_option
@approved_option
def audit(subjects: tuple[str, ...], bodies: tuple[Path, Path] | None, run: str | None, evidence: bool, **given: Any) -> int:
    """Check rendered scripts and show what they would do

    FOLDER is the output of nbserver render. Every byte of its scripts and of its manifest is checked. No host is contacted.
    BUNDLE is the output of nbserver download: its files are listed, and compared with the list in the bundle.
    With --run, every byte of a run directory is checked against its chain of hashes and the log of the workstation.
    With --evidence, the records of hosts are compared with the run directories of this workstation.
    """
    from nbserver.bundle.contents import is_bundle

    outputs = {"html": given["html"], "json": given["json_path"], "markdown": given["markdown"]}
    if evidence:
        return _of_hosts(subjects, bodies, run, given)
    folder = _only_folder(subjects, run, bodies)
    if not folder and (given["against"] or given["catalogs"] or given["locks"]):
        raise UsageError(
            "audit-options-without-folder",
            "--against, --catalog, and --lock require a rendered folder",
            todo="Specify the folder that nbserver render wrote",
        )
    if run is not None and (given["html"] or given["markdown"]):
        raise UsageError(
            "review-of-run",
            "--html and --markdown cannot be combined with --run",
            todo="Remove these options. To write a page about a run, use nbserver report",
        )
    found: Iterable[str]
    if run is not None:
        from nbserver.commands import run_audit

        found = run_audit.report(run, given["json_path"], **{name: given[name] for name in OF_RUNS})
    elif bodies:
        from nbserver.commands import review

        found = review.of_bodies(*bodies, outputs, language())
    elif folder and is_bundle(folder):
        from nbserver.commands import bundle_approval

        if given["against"] or given["catalogs"] or given["locks"]:
            raise UsageError(
                "bundle-audit-options", "--against, --catalog, and --lock cannot be combined with a bundle", todo="Remove these options"
            )
        found = bundle_approval.audit(folder, outputs, language())
    elif folder:
        from nbserver.approval.reference import Reference
        from nbserver.commands import review

        found = review.of_folder(folder, Reference.load(given["catalogs"], given["locks"]), outputs, given["against"], language())
    for line in found:
        say(line)
    return 0


def _only_folder(subjects: tuple[str, ...], run: str | None, bodies: tuple[Path, Path] | None) -> Path | None:
    """Return the folder, if that is to be audited. Raises UsageError unless exactly one thing is."""
    if len([*subjects, *(one for one in (run, bodies) if one is not None)]) != 1:
        raise UsageError(
            "audit-what",
            "nbserver audit requires exactly one of the following: a rendered folder, --run, --bodies, or hosts with --evidence",
            todo="Specify what to audit, such as the folder that nbserver render wrote",
        )
    return Path(subjects[0]) if subjects else None


def _of_hosts(patterns: tuple[str, ...], bodies: tuple[Path, Path] | None, run: str | None, given: dict[str, Any]) -> int:
    from nbserver.commands import host_evidence
    from nbserver.inventory import reader
    from nbserver.run.options import Options
    from nbserver.view import choice

    names = ("html", "markdown", "against", "catalogs", "locks", "log", "heads", "evidence_key")
    if bodies or run is not None or any(given[name] for name in names):
        raise UsageError(
            "evidence-options",
            "--evidence can be combined only with --inventory, --runs, --json, --approved, --allowed-signers, --approvals, and --site",
            todo="Remove all other options",
        )
    if not patterns:
        raise UsageError(
            "evidence-without-host", "--evidence requires hosts", todo="Specify hosts or groups, for example: nbserver audit lab --evidence"
        )
    inventory = reader.load_for(given["inventory_path"], patterns)
    options = Options(command=command_line(), runs=given["runs"], **{name: given[name] for name in OF_APPROVALS})
    json_path = given["json_path"]
    view = choice.choose(as_json=False, quiet=json_path is not None, language=language())
    return host_evidence.audit(inventory, inventory.select(patterns), options, asker(), view, json_path)
