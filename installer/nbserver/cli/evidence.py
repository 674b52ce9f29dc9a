"""Options of audit for the evidence of runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

evidence_key_option = click.option(
    "--evidence-key",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Ed25519 private key that signs the evidence of the run, or the public key of one in your SSH agent.",
)


def run_evidence_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --run and the options that only apply with it."""
    options = (
        click.option("--run", metavar="RUN", help="Check a run directory instead; RUN is the ID of the run or the path of its directory."),
        click.option(
            "--runs",
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            help="With --run and --evidence: folder where runs are stored (default: nbserver-runs; with --evidence, next to the inventory).",
        ),
        click.option(
            "--evidence-log",
            "log",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="With --run: evidence log of the user who ran nbserver (default: your own).",
        ),
        click.option(
            "--head",
            "heads",
            multiple=True,
            metavar="SHA256",
            help="With --run: hash of a line of the chain, from the log of a host or workstation; can be repeated.",
        ),
        click.option(
            "--evidence-key",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="With --run: public key with which the chain must be signed.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command
