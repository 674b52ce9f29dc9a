"""render, audit, and approve: commands for approving scripts. They contact no host."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from nbserver.base.errors import UsageError
from nbserver.base.standard_streams import say
from nbserver.cli.evidence import run_evidence_options
from nbserver.cli.options import asker, hosts_and_inventory
from nbserver.cli.output import object_option
from nbserver.cli.parameters import Names, Period, Reference
from nbserver.cli.warnings import show_warnings

FILE = click.Path(path_type=Path, dir_okay=False)
OUT = click.Path(path_type=Path, dir_okay=False, allow_dash=True)


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
    "--sign", "certificate", type=FILE, metavar="FILE", help="Sign PowerShell scripts with this PFX, or PEM certificate and --sign-key."
)
@click.option("--sign-key", "key", type=FILE, metavar="FILE", help="PEM file of the key for --sign.")
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
        words = f"{plain_file.shown(output)} matches what this release renders"
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
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@catalog_option
@lock_option
@click.option("--html", type=FILE, metavar="FILE", help="Write a page for the person who approves.")
@click.option("--json", "json_path", type=OUT, metavar="FILE", help="Write the same as JSON; - is standard output.")
@click.option("--markdown", type=FILE, metavar="FILE", help="Write the same as Markdown.")
@click.option(
    "--against",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Show only what differs from the rendered scripts in another folder, such as those that were approved before.",
)
@click.option(
    "--bodies",
    type=click.Path(path_type=Path),
    nargs=2,
    metavar="OLD NEW",
    help="Show how the bodies of two releases differ; OLD and NEW are scripts or folders with scripts.",
)
@run_evidence_options
def audit(
    folder: Path | None,
    catalogs: tuple[Path, ...],
    locks: tuple[Path, ...],
    html: Path | None,
    json_path: Path | None,
    markdown: Path | None,
    against: Path | None,
    bodies: tuple[Path, Path] | None,
    run: str | None,
    **evidence: Any,
) -> int:
    """Check rendered scripts and show what they would do

    FOLDER is the output of nbserver render. Every byte of its scripts and of its manifest is checked. No host is contacted.
    With --run, every byte of a run directory is checked against its chain of hashes and the log of the workstation.
    """
    _require_one_subject(folder, run, bodies)
    outputs = {"html": html, "json": json_path, "markdown": markdown}
    if not folder and (against or catalogs or locks):
        raise UsageError(
            "audit-options-without-folder", "--against, --catalog, and --lock require a rendered folder", todo="Specify the folder"
        )
    if run is not None and (html or markdown):
        raise UsageError("review-of-run", "--html and --markdown cannot be combined with --run")
    found: Iterable[str]
    if run is not None:
        from nbserver.commands import run_audit

        found = run_audit.report(run, json_path, **evidence)
    elif bodies:
        from nbserver.commands import review

        found = review.of_bodies(*bodies, outputs)
    elif folder:
        from nbserver.approval.reference import Reference
        from nbserver.commands import review

        found = review.of_folder(folder, Reference.load(catalogs, locks), outputs, against)
    for line in found:
        say(line)
    return 0


def _require_one_subject(folder: Path | None, run: str | None, bodies: tuple[Path, Path] | None) -> None:
    """Raise UsageError unless exactly one thing is to be audited."""
    if [folder, run, bodies].count(None) != 2:
        raise UsageError(
            "audit-what",
            "audit requires exactly one of: a rendered folder, --run, --bodies",
            todo="Specify the folder that nbserver render wrote",
        )


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
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
@click.option("--by", metavar="NAME", required=True, help="Your name in the file of allowed signers.")
@click.option("--modes", type=Names(), metavar="LIST", default="plan,apply,undo", show_default=True, help="What may be run.")
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
    "--hosts", type=Names(), metavar="LIST", default=(), help="Hosts to approve, separated by commas; patterns are possible (default: all)."
)
@click.option(
    "--manifest",
    "reviewed",
    metavar="SHA256",
    help="SHA-256 of the manifest that you reviewed, from the report of audit or the review page; another manifest is not signed.",
)
@catalog_option
@lock_option
@object_option
def approve(folder: Path, key_file: Path, catalogs: tuple[Path, ...], locks: tuple[Path, ...], as_json: bool, **given: Any) -> int:
    """Audit rendered scripts and sign an approval

    FOLDER is the output of nbserver render. The approval is written to FOLDER/approvals; ssh-keygen -Y verify can check it.
    """
    from nbserver.approval.reference import Reference as Known
    from nbserver.commands.approve import approve as sign

    signed = sign(folder, key_file, Known.load(catalogs, locks), ask=asker(), **given)
    for line in [json.dumps(signed.as_json())] if as_json else signed.lines():
        say(line)
    return 0
