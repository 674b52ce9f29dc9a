"""nbserver download and nbserver mirror: everything that hosts download, in one folder, and a server for it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nbserver.base.errors import UsageError
from nbserver.base.message import counted, phrase
from nbserver.base.standard_streams import require_written, say, text_for_reader, warn
from nbserver.cli.options import allowed_signers_option, approvals_option, asker, optional_hosts_and_inventory, site_option
from nbserver.cli.output import object_option
from nbserver.cli.warnings import show_warnings

if TYPE_CHECKING:
    from nbserver.bundle.approval import Demand
    from nbserver.commands.download import Needed

NOT_AS_LISTED = 5  # exit code of --verify
FAILED = 3
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


def approved_bundle_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options about the approval of a bundle, which the command receives as one argument, `demand`."""

    @functools.wraps(command)
    def with_demand(*arguments: Any, approved: bool, signers: Path | None, approvals: int | None, site: Path | None, **given: Any) -> Any:
        from nbserver.bundle.approval import Demand

        if not approved and (signers or approvals or site):
            raise UsageError(
                "bundle-approval-options-alone",
                "--allowed-signers, --approvals, and --site require --require-approval",
                todo="Add --require-approval, or remove these options",
            )
        return command(*arguments, demand=Demand(signers, approvals, site) if approved else None, **given)

    found: Callable[..., Any] = with_demand
    flag = click.option("--require-approval", "approved", is_flag=True, help="Refuse a bundle without a signed approval of its list.")
    for option in (site_option, approvals_option, allowed_signers_option, flag):
        found = option(found)
    return found


@click.command("download")
@optional_hosts_and_inventory
@click.option(
    "-o",
    "--output",
    "bundle",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="BUNDLE",
    required=True,
    help="Folder of the bundle; created if it does not exist.",
)
@click.option(
    "--verify", is_flag=True, help="Download nothing; check the files in the bundle, and whether it has everything that HOST needs."
)
@click.option("--prune", is_flag=True, help="Afterwards, remove the files that no selected host needs, and print their paths.")
@click.option(
    "--ca-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="PEM file with certificate authorities to trust in addition to the system's.",
)
@approved_bundle_option
@object_option
def download(
    hosts: tuple[str, ...],
    inventory_path: Path,
    bundle: Path,
    verify: bool,
    prune: bool,
    ca_file: Path | None,
    demand: Demand | None,
    as_json: bool,
) -> int:
    """Download everything that hosts need into a bundle

    The bundle contains what the hosts' scripts download: Python, OpenSSL, Visual C++, and the wheels in the locks. A file whose
    hash differs from the one in the script is discarded. Files already in the bundle are not downloaded again. --verify
    without HOST compares the bundle with its list, and exits with code 5 if something differs. No host is contacted.
    """
    if not hosts and not verify:
        raise UsageError(
            "download-without-hosts", "no hosts were specified", todo="Specify hosts or groups, such as: nbserver download lab -o bundle"
        )
    if demand and not verify:
        raise UsageError(
            "download-approved-alone",
            "--require-approval requires --verify",
            todo="Run nbserver download without --require-approval first. After the bundle is approved, run it again "
            "with --verify and --require-approval",
        )
    if prune and verify:
        raise UsageError("download-prune-and-verify", "--prune cannot be combined with --verify; use one or the other")
    needed = _needed(hosts, inventory_path) if hosts else None
    if verify or needed is None:
        return _verify(bundle, needed, demand, as_json)
    return _download(bundle, needed, ca_file, as_json, prunes=prune)


def _needed(hosts: tuple[str, ...], inventory_path: Path) -> Needed:
    from nbserver.commands import download as downloading
    from nbserver.inventory import reader

    selected = reader.load_for(inventory_path, hosts).select(hosts)
    show_warnings(selected)
    return downloading.needed(selected, asker())


def _download(bundle: Path, needed: Needed, ca_file: Path | None, as_json: bool, *, prunes: bool) -> int:
    import sys

    from nbserver.base.plain_text import clean
    from nbserver.base.terminal import is_terminal
    from nbserver.bundle.progress import Silent
    from nbserver.catalog.resolver import uv
    from nbserver.commands import download as downloading
    from nbserver.view.download_bars import DownloadBars, DownloadLines

    def shown(text: str) -> None:
        if not as_json:
            say(text, err=True)

    bars = Silent() if as_json else DownloadBars() if is_terminal(sys.stderr) else DownloadLines()
    done = downloading.run(bundle, needed, uv=uv.find, ca_file=ca_file, bars=bars, say=shown, prunes=prunes)
    for warning in done.fetched.warnings:
        warn(warning)
    for error in done.fetched.errors:
        say(f"nbserver: {clean(text_for_reader(error), 4000)}", err=True)
    answer = downloading.fetched_as_json(bundle, done)
    size = phrase("{size} MB", size=f"{answer['bytes'] / 1_000_000:.0f}")
    for path in done.removed:
        shown(phrase("{bundle}: removed {file}", bundle=bundle, file=path))
    errors, downloaded = len(done.fetched.errors), len(done.fetched.downloaded)
    words = counted(
        "{bundle}: {count} file, {size}, {downloaded} of them downloaded now",
        "{bundle}: {count} files, {size}, {downloaded} of them downloaded now",
        answer["files"],
        bundle=bundle,
        size=size,
        downloaded=downloaded,
    )
    if errors:
        words = counted(
            "{bundle}: {count} file could not be downloaded; run the command again",
            "{bundle}: {count} files could not be downloaded; run the command again",
            errors,
            bundle=bundle,
        )
    say(json.dumps(answer) if as_json else words)
    require_written()
    return FAILED if errors else 0


def _verify(bundle: Path, needed: Needed | None, demand: Demand | None, as_json: bool) -> int:
    from nbserver.commands import download as downloading

    wrong = downloading.verified(bundle, needed, demand)
    answer = downloading.verified_as_json(bundle, wrong)
    if as_json:
        say(json.dumps(answer))
    else:
        for one in wrong:
            say(phrase("{bundle}: {finding}", bundle=bundle, finding=one))
        files = counted("{count} file", "{count} files", answer["files"])
        say(counted("{bundle}: {files}, {count} finding", "{bundle}: {files}, {count} findings", len(wrong), bundle=bundle, files=files))
    require_written()
    return NOT_AS_LISTED if wrong else 0


@click.command("mirror")
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--bind", "address", metavar="ADDRESS", default="*", show_default=True, help="IP address to listen on; * means all addresses."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), metavar="NUMBER", default=8443, show_default=True, help="TCP port; 0 means any free port."
)
@click.option("--certificate", type=FILE, metavar="FILE", help="PEM file with the certificate and its chain (default: create one).")
@click.option("--key", type=FILE, metavar="FILE", help="PEM file with the private key, if it is not in the certificate file.")
@click.option(
    "--name", "names", multiple=True, metavar="NAME", help="DNS name or address by which hosts reach the mirror; can be repeated."
)
@click.option("-v", "--verbose", is_flag=True, help="Print each request to standard error.")
@approved_bundle_option
@object_option
def mirror(
    bundle: Path,
    address: str,
    port: int,
    certificate: Path | None,
    key: Path | None,
    names: tuple[str, ...],
    verbose: bool,
    demand: Demand | None,
    as_json: bool,
) -> int:
    """Serve a bundle over HTTPS to hosts

    Serves the files in the bundle's list, and nothing else, until Ctrl-C. By default, the mirror creates a certificate
    authority and a certificate in the folder BUNDLE.mirror; the hosts must trust that authority.
    """
    from nbserver.commands import mirror as serving

    if key and not certificate:
        raise UsageError("mirror-key-alone", "--key requires --certificate", todo="Add --certificate FILE")
    wanted = serving.Wanted(bundle, serving.address_of(address), port, certificate, key, serving.names_of(names), demand)
    found = serving.opened(wanted, _request if verbose else _unsaid)
    for line in serving.answer(found, as_json=as_json):
        say(line)
    with found.server, suppress(KeyboardInterrupt):
        found.server.serve_forever()
    return 0


def _request(line: str) -> None:
    say(line, err=True)


def _unsaid(line: str) -> None:
    """Show nothing."""
