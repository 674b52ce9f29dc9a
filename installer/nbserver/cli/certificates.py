"""certificate request and install: certificates that a host requests and a certificate authority signs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nbserver.base.errors import UsageError
from nbserver.cli.evidence import evidence_key_option
from nbserver.cli.options import (
    approved_option,
    asker,
    command_line,
    inventory_option,
    known_option,
    run_options,
    runs_option,
    salt_option,
)
from nbserver.cli.output import Output, output_options


@click.group("certificate")
def certificate_group() -> None:
    """Request and install certificates signed by your CA

    For hosts with certificate.request = true in the inventory.
    """


@certificate_group.command("request")
@run_options
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    required=True,
    help="Folder for the requests; each is written to HOST.csr.",
)
@approved_option
def request_certificate(
    hosts: tuple[str, ...],
    inventory_path: Path,
    folder: Path,
    forks: int | None,
    runs: Path | None,
    known: Path | None,
    output: Output,
    **trust: Any,
) -> int:
    """Create a key and a certificate request on each host

    The private key never leaves the host. A host that already has a request returns the same one.
    """
    from nbserver.commands import certificate_request
    from nbserver.inventory import reader
    from nbserver.run.options import Options

    loaded = reader.load(inventory_path, hosts)
    options = Options(runs=runs, forks=forks, known=known, command=command_line(), **trust)
    say = click.echo if output.for_a_person else lambda path: None
    return certificate_request.request(loaded, loaded.select(hosts), folder, options, asker(), output.view(), say)


@certificate_group.command("install")
@click.argument("host")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@inventory_option
@click.option(
    "--csr",
    "csr_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Certificate request that was signed (default: the newest request in the runs).",
)
@runs_option
@known_option
@output_options
@evidence_key_option
@approved_option
@salt_option
def install_certificate(
    host: str,
    file: Path,
    inventory_path: Path,
    csr_file: Path | None,
    runs: Path | None,
    known: Path | None,
    output: Output,
    salt: Path | None,
    **trust: Any,
) -> int:
    """Check a signed certificate and apply it to HOST

    FILE contains the certificate with its chain, in PEM format. It must match the request of HOST.
    """
    from nbserver.commands import certificate_request
    from nbserver.inventory import reader
    from nbserver.run.options import Options

    loaded = reader.load(inventory_path, [host])
    selected = loaded.select([host])
    if len(selected) != 1:
        raise UsageError(
            "certificate-for-one-host",
            '"{pattern}" matches {count} hosts, but a certificate can be installed on only one host at a time',
            todo="Specify a single host",
            pattern=host,
            count=len(selected),
        )
    options = Options(runs=runs, salt=salt, known=known, command=command_line(), **trust)
    return certificate_request.install(loaded, selected[0], file, csr_file, options, asker(), output.view())
