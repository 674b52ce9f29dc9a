"""Options that say where the runs of hosts are executed: --engine, --scheduler with its certificates, and --place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

ENGINES = ("local", "dask")


def engine_options(default: str | None = "local") -> Callable[..., Any]:
    """Return what adds the options. Without a default, those of an earlier run count."""
    file = click.Path(path_type=Path, dir_okay=False)

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option(
                "--place",
                multiple=True,
                metavar="PATTERN=RESOURCE",
                help="Process the hosts that match PATTERN only on workers with this Dask resource; can be repeated.",
            ),
            click.option(
                "--scheduler-key", type=file, metavar="FILE", help="Private key of --scheduler-cert (default: Dask's configuration)."
            ),
            click.option(
                "--scheduler-cert",
                type=file,
                metavar="FILE",
                help="Certificate of this workstation for the scheduler (default: Dask's configuration).",
            ),
            click.option(
                "--scheduler-ca", type=file, metavar="FILE", help="CA certificate of the Dask cluster (default: Dask's configuration)."
            ),
            click.option("--scheduler", metavar="ADDRESS", help="Address of the Dask scheduler, such as tls://scheduler.example.com:8786."),
            click.option(
                "--engine",
                type=click.Choice(ENGINES),
                default=default,
                show_default=default is not None,
                help="Where nbserver processes the hosts: on this workstation, or on the workers of a Dask cluster.",
            ),
        ):
            command = option(command)
        return command

    return add
