"""`nbserver verify`: verify the hosts one after another, or at the same time from workers, and report each step."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nbserver.base import folding, standard_streams, writing
from nbserver.base.errors import HostError, NbserverError
from nbserver.base.message import detail, phrase
from nbserver.base.standard_streams import text_for_reader
from nbserver.base.writable_folder import require_writable
from nbserver.inventory.names import LOCAL
from nbserver.run import engine, error_kind, fleet, known_certificates, own_servers
from nbserver.run.host_job import logon_needs, logons
from nbserver.run.journal import new_run_id
from nbserver.run.notebook_password import need, plain
from nbserver.run.options import Options
from nbserver.run.secret_mask import SecretMask
from nbserver.settings.secret_store import SecretStore
from nbserver.verify.on_worker import VerifyCall, verify_on_worker
from nbserver.verify.way import hops_to_notebook

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost, Inventory
    from nbserver.run.cluster.cluster import Cluster
    from nbserver.settings.secret import Ask
    from nbserver.verify.checks import Verification


DEFECT = "internal-error-in-verify"


def verify_all(
    inventory: Inventory,
    hosts: Sequence[AnyHost],
    png_directory: Path | None,
    ask: Ask | None,
    as_json: bool,
    wait: float = 0,
    known: Path | None = None,
    options: Options = Options(),  # noqa: B008 (it cannot be changed)
) -> int:
    """Verify the hosts, print the results, and return the exit code. `wait` is how many seconds a host may take to answer.

    `options` say where the verification runs. Raises SecretError, ApprovalError, UsageError, and ClusterError before any host is contacted.
    """
    if png_directory:
        _require_writable(png_directory)
    expected = known_certificates.fingerprints(known or inventory.path.parent / known_certificates.FILE_NAME)
    secrets = SecretStore(ask)
    needs = [need(host) for host in hosts if host.notebook.password is not None]
    secrets.fetch([*needs, *logon_needs(hop for host in hosts for hop in hops_to_notebook(host))])
    calls = [
        VerifyCall(
            host,
            plain(host, secrets),
            expected.get(host.name.lower()),
            logons(hops_to_notebook(host), secrets),
            wait,
        )
        for host in hosts
    ]
    mask = SecretMask(name for host in hosts for name in (host.name, host.address))
    mask.add(*(secret for call in calls for secret in (call.password, *(one for way in call.hops for one in way.values))))
    found: dict[str, Verification | NbserverError] = {}

    def ended(name: str, result: Verification | NbserverError) -> None:
        if isinstance(result, NbserverError):
            mask.error(result)
        elif name == LOCAL:
            own_servers.remember_unverified(inventory.local.scope, unverified=False)
        found[name] = result
        if not as_json:
            _show(name, result)

    def say(name: str) -> Callable[[str, str], None]:
        return _masked(json_step(name) if as_json else plain_step(name), mask)

    with engine.cluster_for(inventory, hosts, options, new_run_id()) as cluster:
        if cluster:
            _on_workers(cluster, engine.places_of(inventory, hosts, options.place), calls, png_directory, say, ended)
        else:
            for call in calls:
                ended(call.host.name, _result(call.host.name, partial(call.execute, say(call.host.name), png_directory)))
    summary = {host.name: _entry(found[host.name]) for host in hosts}
    if as_json:
        standard_streams.say(mask.line(json.dumps({"event": "summary", "hosts": summary})))
    if any(isinstance(result, NbserverError) and result.code == DEFECT for result in found.values()):
        return NbserverError.exit_code
    return 3 if any(entry["outcome"] == "failed" for entry in summary.values()) else 0


def _on_workers(
    cluster: Cluster,
    places: Mapping[str, str],
    calls: Sequence[VerifyCall],
    pictures: Path | None,
    say: Callable[[str], Callable[[str, str], None]],
    ended: Callable[[str, Verification | NbserverError], None],
) -> None:
    """Verify the hosts from the workers, as many at a time as these have threads. This machine verifies its own server."""
    stop = threading.Event()

    def one(call: VerifyCall) -> None:
        name = call.host.name
        if call.host.transport == "local":
            verify: Callable[[], Verification] = partial(call.execute, say(name), pictures)
        else:
            verify = partial(verify_on_worker, cluster, places.get(name), call, say(name), pictures, stop)
        ended(name, _result(name, verify))

    def interrupted() -> None:
        raise KeyboardInterrupt

    fleet.for_each({call.host.name: partial(one, call) for call in calls}, cluster.threads, stop, interrupted)


def _result(name: str, verify: Callable[[], Verification]) -> Verification | NbserverError:
    """Return the verification, or why there is none, so that the other hosts are still verified."""
    try:
        return verify()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as reason:  # a panic in a library is not an Exception
        return reason if isinstance(reason, HostError) else _defect(reason, name)


def _show(name: str, result: Verification | NbserverError) -> None:
    if isinstance(result, NbserverError):
        word = click.style(text_for_reader(phrase("failed")), fg="red")
        standard_streams.say(f"{word}  {text_for_reader(result)}")
    else:
        word = click.style(text_for_reader(phrase("verified")), fg="green")
        standard_streams.say(f"{name}  {word}  {result.url}")


def _entry(result: Verification | NbserverError) -> dict[str, object]:
    """Return the part of a host in the summary."""
    if not isinstance(result, NbserverError):
        return _as_json(result)
    reason = detail(result)
    return {"outcome": "failed", "error_kind": error_kind.of_error(reason), "error": str(result), **reason}


def _require_writable(pictures: Path) -> None:
    with writing.refused(
        "picture-folder-not-writable",
        "could not write to the folder for the plots ({reason})",
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
    return lambda name, text: click.echo(folding.for_stream(f"{host}  {name:<14} {text_for_reader(text)}", sys.stdout))


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
