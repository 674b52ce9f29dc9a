"""certificate request and install: certificates that a host requests and that are signed elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from nbserver.base.errors import UsageError
from nbserver.cli.options import approved_option, asker, inventory_option, json_option, run_options, runs_option, salt_option


@click.group("certificate")
def certificate_group() -> None:
    """Certificates that a host requests and that are signed elsewhere (certificate.request = true)."""


@certificate_group.command("request")
@run_options
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder for each host's request, HOST.csr."
)
@approved_option
def request_certificate(
    hosts: tuple[str, ...], inventory_path: Path, output: Path, forks: int, runs: Path | None, as_json: bool, approved: Path | None
) -> int:
    """Have each HOST make a key and a request for its certificate. The key stays there; asked again, it is the same request."""
    from nbserver.commands import certificate_request
    from nbserver.inventory import reader
    from nbserver.run.options import Options
    from nbserver.view import choice

    loaded = reader.load(inventory_path)
    options = Options(runs=runs, approved=approved, forks=forks)
    say = (lambda path: None) if as_json else click.echo
    return certificate_request.request(loaded, loaded.select(hosts), output, options, asker(), choice.choose(as_json), say)


@certificate_group.command("install")
@click.argument("host")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@inventory_option
@click.option(
    "--csr",
    "csr_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The request that was signed (default: the newest in the runs).",
)
@runs_option
@json_option
@approved_option
@salt_option
def install_certificate(
    host: str,
    file: Path,
    inventory_path: Path,
    csr_file: Path | None,
    runs: Path | None,
    as_json: bool,
    approved: Path | None,
    salt: Path | None,
) -> int:
    """Check the signed certificate in FILE (PEM, with its chain) against HOST's request, and apply it."""
    from nbserver.commands import certificate_request
    from nbserver.inventory import reader
    from nbserver.run.options import Options
    from nbserver.view import choice

    loaded = reader.load(inventory_path)
    selected = loaded.select([host])
    if len(selected) != 1:
        raise UsageError(f'"{host}" means {len(selected)} hosts', todo="A certificate is for one host: name it")
    options = Options(runs=runs, approved=approved, salt=salt)
    return certificate_request.install(loaded, selected[0], file, csr_file, options, asker(), choice.choose(as_json))
