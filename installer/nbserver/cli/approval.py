"""render and approve: commands for approving scripts. They contact no host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nbserver.base.errors import UsageError
from nbserver.base.message import phrase
from nbserver.base.standard_streams import say
from nbserver.cli.audit import catalog_option, lock_option
from nbserver.cli.options import asker, hosts_and_inventory
from nbserver.cli.output import object_option
from nbserver.cli.parameters import Names, Period, Reference
from nbserver.cli.warnings import show_warnings

if TYPE_CHECKING:
    from nbserver.commands.approve import Signed
    from nbserver.commands.bundle_approval import Signed as SignedBundle
    from nbserver.settings.secret import SecretReference

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@hosts_and_inventory
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    required=True,
    help="Folder for the scripts and manifest.json.",
)
@click.option(
    "--sign",
    "certificate",
    type=FILE,
    metavar="FILE",
    help="Sign PowerShell scripts with this PFX file, or with this PEM certificate and --sign-key.",
)
@click.option("--sign-key", "key", type=FILE, metavar="FILE", help="PEM file with the private key for --sign.")
@click.option(
    "--sign-password",
    "password",
    metavar="REFERENCE",
    help="Where the password for --sign is: env=NAME, keyring=NAME, file=PATH, or prompt.",
)
@click.option("--check", is_flag=True, help="Compare the folder with what would be rendered; write nothing.")
@object_option
def render(
    hosts: tuple[str, ...],
    inventory_path: Path,
    output: Path,
    certificate: Path | None,
    key: Path | None,
    password: str | None,
    check: bool,
    as_json: bool,
) -> int:
    """Write the script of each host and a manifest

    The manifest, manifest.json, lists the scripts with their hashes. No host is contacted.
    """
    from nbserver.base import plain_file
    from nbserver.commands import render as rendering
    from nbserver.inventory import reader

    if certificate is None and (key or password):
        raise UsageError("sign-missing", "--sign-key and --sign-password require --sign", todo="Add --sign FILE")
    if certificate and check:
        raise UsageError("sign-and-check", "--sign cannot be combined with --check; use one or the other")
    selected = reader.load_for(inventory_path, hosts, commands=False).select(hosts)
    show_warnings(selected)
    if check:
        from nbserver.commands import signing

        found = rendering.RenderedFolder(selected, signing.kept_in(output))
        rendering.compare(found, output)
        words = phrase("{folder} matches what this release renders", folder=plain_file.shown(output))
        say(json.dumps(found.as_json(output)) if as_json else words)
        return 0
    found = rendering.RenderedFolder(selected)
    if certificate:
        from nbserver.commands import signing
        from nbserver.settings import secret

        said = secret.of_option(password, "--sign-password", ask=asker()) if password else ""
        found = rendering.RenderedFolder(selected, signing.signing(selected, signing.Signer(certificate, key, said)))
    rendering.write(found, output)
    for line in [json.dumps(found.as_json(output))] if as_json else found.overview(output):
        say(line)
    return 0


@click.command()
@click.argument("folder", metavar="FOLDER | BUNDLE", type=click.Path(path_type=Path))
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    required=True,
    help="Your Ed25519 private key, or the public key of one in your SSH agent.",
)
@click.option(
    "--key-password",
    "passphrase",
    type=Reference(),
    metavar="REFERENCE",
    help="Where the passphrase of the key is: env=NAME, keyring=NAME, or file=PATH (default: nbserver asks for it).",
)
@click.option("--by", metavar="NAME", required=True, help="Your name in the allowed signers file.")
@click.option("--modes", type=Names(), metavar="LIST", default="plan,apply,undo", show_default=True, help="Modes that the approval covers.")
@click.option(
    "--expires",
    "valid",
    type=Period(),
    metavar="PERIOD",
    default="30d",
    show_default=True,
    help="How long the approval is valid: 12h, 30d, 4w.",
)
@click.option(
    "--hosts", type=Names(), metavar="LIST", default=(), help="Hosts to approve, as names or patterns separated by commas (default: all)."
)
@click.option(
    "--manifest",
    "reviewed",
    metavar="SHA256",
    help="SHA-256 of the manifest or bundle list that you reviewed, as audit or the review page shows it; any other one is not signed.",
)
@catalog_option
@lock_option
@object_option
def approve(
    folder: Path,
    catalogs: tuple[Path, ...],
    locks: tuple[Path, ...],
    by: str,
    key_file: Path,
    passphrase: SecretReference | None,
    as_json: bool,
    **given: Any,
) -> int:
    """Audit rendered scripts or a bundle, and sign an approval

    FOLDER is the output of nbserver render, BUNDLE that of nbserver download. The approval is written to its subfolder
    approvals; ssh-keygen -Y verify can check it.
    """
    from nbserver.bundle import contents
    from nbserver.commands.approval_signing import Signer

    signer = Signer(by, key_file, passphrase, asker())
    signed: Signed | SignedBundle
    if contents.is_bundle(folder):
        from nbserver.commands import bundle_approval

        _require_none_given("modes", "hosts", "catalogs", "locks")
        signed = bundle_approval.approve(folder, signer, valid=given["valid"], reviewed=given["reviewed"])
    else:
        from nbserver.approval.reference import Reference as Known
        from nbserver.commands.approve import approve as sign

        signed = sign(folder, signer, Known.load(catalogs, locks), **given)
    for line in [json.dumps(signed.as_json())] if as_json else signed.lines():
        say(line)
    return 0


def _require_none_given(*names: str) -> None:
    """Raise UsageError for an option that says nothing about a bundle."""
    context = click.get_current_context()
    if any(context.get_parameter_source(name) is ParameterSource.COMMANDLINE for name in names):
        raise UsageError(
            "bundle-approval-options",
            "--modes, --hosts, --catalog, and --lock cannot be combined with a bundle",
            todo="Remove these options",
        )
