"""render and audit: commands for approving scripts. They contact no host."""

from __future__ import annotations

from pathlib import Path

import click

from nbserver.base.errors import UsageError
from nbserver.base.standard_streams import say
from nbserver.cli.options import hosts_and_inventory
from nbserver.cli.warnings import show_warnings


@click.command()
@hosts_and_inventory
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for the scripts and manifest.json."
)
@click.option("--check", is_flag=True, help="Compare the folder with what would be rendered; write nothing.")
def render(hosts: tuple[str, ...], inventory_path: Path, output: Path, check: bool) -> int:
    """Write the script of each host and a manifest

    The manifest, manifest.json, lists the scripts with their hashes. No host is contacted.
    """
    from nbserver.base import plain_file
    from nbserver.commands import render as rendering
    from nbserver.inventory import reader

    selected = reader.load_for(inventory_path, hosts).select(hosts)
    show_warnings(selected)
    files = rendering.files(selected)
    if check:
        rendering.compare(files, output)
        say(f"{plain_file.shown(output)} matches what this release renders")
    else:
        rendering.write(files, output)
        for line in rendering.overview(selected, output):
            say(line)
    return 0


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option(
    "--catalog",
    "catalogs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Site catalog that the inventory uses; can be repeated.",
)
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page for the person who approves.")
@click.option("--json", "json_path", type=click.Path(path_type=Path, dir_okay=False), help="Write the same as JSON.")
@click.option("--markdown", type=click.Path(path_type=Path, dir_okay=False), help="Write the same as Markdown.")
@click.option(
    "--against",
    type=click.Path(path_type=Path, file_okay=False),
    help="Show only what differs from the rendered scripts in another folder, such as those that were approved before.",
)
@click.option(
    "--bodies",
    type=click.Path(path_type=Path),
    nargs=2,
    metavar="OLD NEW",
    help="Show how the bodies of two releases differ; OLD and NEW are scripts or folders with scripts.",
)
def audit(
    folder: Path | None,
    catalogs: tuple[Path, ...],
    html: Path | None,
    json_path: Path | None,
    markdown: Path | None,
    against: Path | None,
    bodies: tuple[Path, Path] | None,
) -> int:
    """Check rendered scripts and show what they would do

    FOLDER is the output of nbserver render. Every byte of its scripts and of its manifest is checked. No host is contacted.
    """
    from nbserver.commands import review

    outputs = {"html": html, "json": json_path, "markdown": markdown}
    if bodies:
        if folder or against or catalogs:
            raise UsageError(
                "bodies-with-folder", "--bodies cannot be combined with a folder, --against, or --catalog; use one or the other"
            )
        found = review.of_bodies(*bodies, outputs)
    elif folder:
        from nbserver.approval.reference import Reference

        found = review.of_folder(folder, Reference.load(catalogs), outputs, against)
    else:
        raise UsageError(
            "audit-without-folder", "nothing to audit", todo="Specify the folder that nbserver render wrote, or --bodies OLD NEW"
        )
    for line in found:
        say(line)
    return 0
