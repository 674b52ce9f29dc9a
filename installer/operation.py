"""plan, apply and undo: from the inventory to the summary, in the order in which things may go wrong."""

from __future__ import annotations

import getpass
import platform
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from installer import known, manifest
from installer.envelope import Mode
from installer.journal import FOLDER, HostJournal, Journal, new_run_id
from installer.script import Script

if TYPE_CHECKING:
    from installer import host as host_run
    from installer.events import Event
    from installer.inventory import Inventory
    from installer.linux_settings import AnyHost
    from installer.transports import LogonSecrets
    from installer.view import View

Ask = Callable[[str], str]


@dataclass(frozen=True)
class Options:
    """What a person may say about a run beside the hosts. `runs` is where runs are kept; `approved` a manifest.

    `chains` has, by host, a signed certificate (PEM) for a request that was made there; `passwords`, by host, a
    notebook password that comes from no reference of the inventory.
    """

    runs: Path | None = None
    approved: Path | None = None
    forks: int = 10
    chains: Mapping[str, str] = field(default_factory=dict)
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)


def operate(mode: Mode, inventory: Inventory, hosts: Sequence[AnyHost], options: Options, ask: Ask | None, view: View) -> dict[str, host_run.Result]:
    """Runs the hosts' scripts in `mode`. Everything that can be refused without a host is refused first.

    Raises NbserverError for that; what happens on a host is in its Result.
    """
    from installer.fleet import for_each
    from installer.host import Result
    from installer.render import render_all

    scripts = {script.host: script for script, _ in render_all(hosts)}
    if options.approved and mode != "test":
        approved = manifest.read(options.approved)
        for script in scripts.values():
            manifest.require_approved(approved, options.approved, script)
    secrets = {host.name: (_logon(host, ask), _certificate(host, mode, ask), _hasher(host, mode, ask, options.passwords.get(host.name))) for host in hosts}
    for name, chain in options.chains.items():
        secrets[name][1]["certificate.chain"] = chain
    known_file = inventory.path.parent / known.FILE_NAME
    known.read(known_file)  # what cannot be read is told before a host is contacted
    journal = Journal(options.runs or inventory.path.parent / FOLDER, new_run_id(), mode, operator())
    stop, writing, hashing = threading.Event(), threading.Lock(), threading.Lock()

    def job(host: AnyHost) -> Result:
        """Raises nothing: what goes wrong with one host, whatever it is, is in its result, and the others go on."""
        if stop.is_set():
            return Result(host.name, outcome="stopped")
        result = Result(host.name)
        try:
            with closing(journal.host(scripts[host.name])) as part:
                logon, own, hasher = secrets[host.name]
                with hashing:
                    hashed = {"notebook.password_hash": hasher()} if hasher else {}
                result = _run_host(host, scripts[host.name], mode, journal.run, part, logon, {**hashed, **own}, stop, view)
            with writing:
                if result.fingerprint and mode != "undo":
                    known.remember(known_file, host.name, result.fingerprint, journal.run)
        except Exception as error:
            result.fail(error)
        with suppress(Exception):  # a terminal that shows nothing any more changes no result
            view.host_ended(result)
        return result

    view.begin(mode, {name: script.steps for name, script in scripts.items()})
    try:
        jobs = {host.name: (lambda host=host: job(host)) for host in hosts}
        results = for_each(jobs, options.forks, stop, view.interrupted)
    finally:
        view.end()
    try:
        journal.finish({name: result.as_json() for name, result in results.items()})
    finally:
        view.summary(mode, results, journal.folder)
    return results


def operator() -> str:
    """Who runs this, as the record on the host names them."""
    with suppress(OSError, KeyError, ImportError):
        return f"{getpass.getuser()}@{platform.node()}"
    return "unknown"


def notebook_password(host: AnyHost, ask: Ask | None) -> str:
    """The plain password of the host's notebook. Raises SecretError."""
    from installer.errors import SecretError
    from installer.secret import resolve

    if host.notebook.password is None:
        if ask is None:
            raise SecretError("its notebook password is not known here, and there is no terminal to ask on", where=host.name, todo="Say in the inventory where it is kept: notebook.password")
        return ask(f"Notebook password of {host.name}: ")
    return resolve(host.notebook.password, what="notebook.password", host=host.name, ask=ask)


def _logon(host: AnyHost, ask: Ask | None) -> LogonSecrets:
    """What the connection needs; a key file that cannot be used is told before any host is contacted. Raises SecretError."""
    from installer.secret import resolve
    from installer.transports import LogonSecrets

    names = ("password", "key_password", "sudo_password")
    references = {name: getattr(host, name, None) for name in names}
    found = {name: resolve(reference, what=name, host=host.name, ask=ask) for name, reference in references.items() if reference}
    key_file: Path | None = getattr(host, "key_file", None)
    if key_file is not None:
        from installer.transports.ssh_keys import load_key

        load_key(key_file, found.get("key_password"), host=host.name)
    return LogonSecrets(**found)


def _hasher(host: AnyHost, mode: Mode, ask: Ask | None, given: str | None) -> Callable[[], str] | None:
    """What computes the hash that goes into the envelope, never the plain password; None where what is set there stays. Raises SecretError."""
    from installer import notebook_password as passwords

    if mode not in ("test", "apply") or (given is None and host.notebook.password is None):
        return None
    plain = given if given is not None else notebook_password(host, ask)
    return passwords.hasher(plain, host=host.name, port=host.notebook.port)


def _certificate(host: AnyHost, mode: Mode, ask: Ask | None) -> dict[str, str]:
    """A certificate of the workstation, for the envelope. Raises SecretError, CertificateError."""
    from installer import host_settings, server_certificate

    if mode not in ("test", "apply") or not isinstance(host, host_settings.Host) or host.certificate.source != "workstation":
        return {}
    certificate = server_certificate.read(host, ask)
    return {"certificate.chain": certificate.chain, "certificate.key": certificate.key}


def _run_host(
    host: AnyHost, script: Script, mode: Mode, run: str, journal: HostJournal, logon: LogonSecrets, secrets: dict[str, str],
    stop: threading.Event, view: View,
) -> host_run.Result:  # fmt: skip
    from installer.host import HostRun
    from installer.transports import Transport, connect_to

    def connect() -> Transport:
        return connect_to(host, logon, stop)

    def shown(name: str, event: Event) -> None:
        with suppress(OSError):  # nobody may be reading any more; the journal has it
            view.event(name, event)

    return HostRun(host, script, mode, run, journal, shown).execute(connect, operator(), secrets, stop)


def exit_code(mode: Mode, results: dict[str, host_run.Result]) -> int:
    """Of what happened on the hosts the first of: 1 a defect of nbserver, 2, 5 what is known of one could not be written, 3 one failed,

    was stopped or has to restart first, 4 a plan found differences; else 0.
    """
    codes = {_code(result) for result in results.values()}
    return next((code for code in (1, 2, 5, 3, 4) if code in codes), 0)


def _code(result: host_run.Result) -> int:
    if result.outcome == "failed":
        return result.code
    return {"ok": 0, "differs": 4}.get(result.outcome, 3)


