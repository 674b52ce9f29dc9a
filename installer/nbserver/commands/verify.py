"""`nbserver verify`: verify the hosts one after another and report each step."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbserver.base import standard_streams, writing
from nbserver.base.errors import HostError, NbserverError
from nbserver.base.message import detail, phrase
from nbserver.base.standard_streams import text_for_reader
from nbserver.base.writable_folder import require_writable
from nbserver.run import error_kind, known_certificates
from nbserver.run.host_job import logon_needs, logons
from nbserver.run.notebook_password import need, plain
from nbserver.run.secret_mask import SecretMask
from nbserver.settings.secret_store import SecretStore
from nbserver.verify import checks
from nbserver.verify.way import hops_to_notebook, way_to_notebook

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost, Inventory
    from nbserver.settings.secret import Ask
    from nbserver.verify.checks import Verification


def verify_all(
    inventory: Inventory,
    hosts: Sequence[AnyHost],
    png_directory: Path | None,
    ask: Ask | None,
    as_json: bool,
    wait: float = 0,
    known: Path | None = None,
) -> int:
    """Verify the hosts, print the results, and return the exit code. `wait` is how many seconds a host may take to answer.

    Raises SecretError, ApprovalError, and UsageError before any host is contacted.
    """
    if png_directory:
        _require_writable(png_directory)
    known_file = known or inventory.path.parent / known_certificates.FILE_NAME
    secrets = SecretStore(ask)
    needs = [need(host) for host in hosts if host.notebook.password is not None]
    secrets.fetch([*needs, *logon_needs(hop for host in hosts for hop in hops_to_notebook(host))])
    work = [
        (host, plain(host, secrets), known_certificates.expected(known_file, host.name), logons(hops_to_notebook(host), secrets))
        for host in hosts
    ]
    mask = SecretMask(name for host in hosts for name in (host.name, host.address))
    mask.add(*(secret for _, password, _, ways in work for secret in (password, *(one for way in ways for one in way.values))))
    summary: dict[str, dict[str, object]] = {}
    defects = False
    for host, password, fingerprint, logon in work:
        say = _masked(json_step(host.name) if as_json else plain_step(host.name), mask)
        try:
            with way_to_notebook(host, logon) as dial:
                found = checks.verify(
                    host, password=password, fingerprint=fingerprint, png_directory=png_directory, dial=dial, on_step=say, wait=wait
                )
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as reason:  # a panic in a library is not an Exception
            error = reason if isinstance(reason, HostError) else _defect(reason, host.name)
            defects = defects or error is not reason
            mask.error(error)
            summary[host.name] = {
                "outcome": "failed",
                "error_kind": error_kind.of_error(detail(error)),
                "error": str(error),
                **detail(error),
            }
            if not as_json:
                word = click.style(text_for_reader(phrase("failed")), fg="red")
                standard_streams.say(f"{word}  {text_for_reader(error)}")
        else:
            summary[host.name] = _as_json(found)
            if not as_json:
                word = click.style(text_for_reader(phrase("verified")), fg="green")
                standard_streams.say(f"{host.name}  {word}  {found.url}")
    if as_json:
        standard_streams.say(mask.line(json.dumps({"event": "summary", "hosts": summary})))
    if defects:
        return NbserverError.exit_code
    return 3 if any(entry["outcome"] == "failed" for entry in summary.values()) else 0


def _require_writable(pictures: Path) -> None:
    with writing.refused(
        "picture-folder-not-writable",
        "could not write to the folder for the pictures ({reason})",
        where=pictures,
        todo="Choose another folder with --png",
    ):
        require_writable(pictures)


def _defect(error: BaseException, host: str) -> NbserverError:
    """Turn an unexpected error into an internal error, so that the other hosts are still verified."""
    if isinstance(error, NbserverError):
        return error
    return NbserverError(
        "internal-error-in-verify",
        "internal error (a bug in nbserver): {kind}: {reason}",
        where=host,
        todo="Report this bug, and include this message",
        kind=type(error).__name__,
        reason=str(error),
    )


def _masked(say: Callable[[str, str], None], mask: SecretMask) -> Callable[[str, str], None]:
    return lambda name, text: say(name, mask.text(text))


def plain_step(host: str) -> Callable[[str, str], None]:
    """Return what prints a step of a host's verification as text."""
    return lambda name, text: click.echo(f"{host}  {name:<14} {text_for_reader(text)}")


def json_step(host: str) -> Callable[[str, str], None]:
    """Return what prints a step of a host's verification as a JSON line."""
    return lambda name, text: click.echo(json.dumps({"host": host, "event": "verified", "step": name, "text": text}))


def _as_json(found: Verification) -> dict[str, object]:
    return {
        "outcome": "ok",
        "url": found.url,
        "fingerprint": found.fingerprint,
        "versions": found.versions,
        "png": str(found.png) if found.png else None,
        "png_size": list(found.png_size),
        "seconds": {name: round(value, 3) for name, value in found.seconds.items()},
    }
