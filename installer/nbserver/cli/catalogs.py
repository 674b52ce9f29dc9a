"""catalog update and check: the list of downloads that a site permits, and what in it needs attention."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbserver.base.standard_streams import say, warn
from nbserver.cli.output import object_option

if TYPE_CHECKING:
    from nbserver.commands.lock import Written


@click.group("catalog")
def catalog_group() -> None:
    """Maintain a site catalog

    A site catalog adds entries to the shipped catalog of downloads, or replaces them.
    """


@catalog_group.command("update")
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="Site catalog to write.")
@click.option(
    "--python",
    multiple=True,
    metavar="VERSION",
    help="Python version, such as 3.13 (newest release) or 3.13.16; can be repeated (default: from the shipped catalog).",
)
@click.option(
    "--openssl", multiple=True, metavar="VERSION", help="OpenSSL version, such as 3.5; can be repeated (default: from the shipped catalog)."
)
@click.option(
    "--architecture",
    "architectures",
    type=click.Choice(["x64", "arm64"]),
    multiple=True,
    default=["x64"],
    show_default=True,
    help="Processor architecture; can be repeated.",
)
@click.option("--base-url-python", "python_base", metavar="URL", help="Mirror of https://www.python.org/ftp/python/.")
@click.option("--openssl-index", metavar="URL", help="Mirror of win32_openssl_hashes.json from slproweb.")
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="PEM file with certificate authorities to trust in addition to the system's.",
)
@click.option(
    "--locks",
    "inventory",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="INVENTORY",
    help="Inventory whose locks to renew as well, as nbserver lock --upgrade-all does.",
)
@click.option("--dry-run", is_flag=True, help="Write nothing; exit with code 4 if a file would change.")
@click.option("--allow-downgrade", is_flag=True, help="Accept an index with older versions than the file has.")
@object_option
def update_catalog(
    output: Path, inventory: Path | None, ca_file: Path | None, dry_run: bool, allow_downgrade: bool, as_json: bool, **wanted: Any
) -> int:
    """Update a site catalog from the publishers' indexes

    Shows every difference from the existing file. No host is contacted. With --locks and --json, a second line lists the locks.
    """
    from datetime import datetime

    from nbserver.catalog import update

    today = f"{datetime.now(UTC):%Y-%m-%d}"
    wanted_files = update.Wanted(**wanted)
    locks = _resolved(inventory, as_json) if inventory else []  # before anything is written
    code = update.run(output, wanted_files, date=today, ca_file=ca_file, dry_run=dry_run, allow_downgrade=allow_downgrade, as_json=as_json)
    return max(code, _written(locks, dry_run, as_json)) if inventory else code


def _resolved(inventory: Path, as_json: bool) -> Sequence[Written]:
    """Resolve the locks of all hosts of an inventory, with all packages upgraded. Raises NbserverError."""
    from nbserver.catalog.resolver import uv
    from nbserver.cli.options import asker
    from nbserver.commands import lock
    from nbserver.inventory import reader

    loaded = reader.load(inventory)
    found = lock.jobs([*loaded.hosts.values(), *([loaded.local] if loaded.local else [])], asker())

    def shown(text: str) -> None:
        if not as_json:
            say(text, err=True)

    return lock.run(found, (), upgrade_all=True, uv=uv.find(), date=lock.today(), progress=shown)


def _written(locks: Sequence[Written], dry_run: bool, as_json: bool) -> int:
    """Write the locks unless it is a dry run, show them, and return the exit code."""
    from nbserver.commands import lock

    for one in locks:
        if one.warning:
            warn(one.warning)
    if not dry_run:
        lock.write(locks)
    answer = {"event": "locked", "check": dry_run, "locks": [one.as_json() for one in locks]}
    for line in [json.dumps(answer)] if as_json else lock.lines(locks, check=dry_run):
        say(line)
    return 4 if dry_run and any(one.text is not None for one in locks) else 0


@catalog_group.command("check")
@click.option(
    "--catalog",
    "catalogs",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Site catalog to check; can be repeated (default: only the shipped catalog).",
)
@click.option(
    "--lock",
    "locks",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Lock to check, packages.lock in the inventory; can be repeated (default: the shipped locks).",
)
@click.option(
    "--osv",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="Known vulnerabilities, as JSON in OSV's format or a zip of it; can be repeated.",
)
@click.option("--offline", is_flag=True, help="Contact no server; check dates and vulnerabilities only.")
@click.option("--all", "everything", is_flag=True, help="Check every entry, not only those that hosts get by default.")
@click.option(
    "--max-age",
    "most_days",
    type=click.IntRange(1, 10_000),
    default=90,
    show_default=True,
    metavar="DAYS",
    help="Days after which a catalog or a lock needs attention.",
)
@click.option("--base-url-python", "python_base", metavar="URL", help="Mirror of https://www.python.org/ftp/python/.")
@click.option("--openssl-index", metavar="URL", help="Mirror of win32_openssl_hashes.json from slproweb.")
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="PEM file with certificate authorities to trust in addition to the system's.",
)
@click.option("-v", "--verbose", is_flag=True, help="Also show what needs no attention.")
@object_option
def check_catalog(verbose: bool, as_json: bool, **wanted: Any) -> int:
    """Report what in the catalog needs attention

    Checks the age of catalogs and locks, whether the publishers still offer the files or have released newer ones, known
    vulnerabilities, and when support ends. No host is contacted. Exits with code 4 if something needs attention.
    """
    from datetime import datetime

    from nbserver.commands import catalog_check

    return catalog_check.run(catalog_check.Wanted(**wanted), datetime.now(UTC).date(), as_json=as_json, verbose=verbose)
