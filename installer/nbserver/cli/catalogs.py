"""catalog update: what a site may download."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path
from typing import Any

import click


@click.group("catalog")
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
