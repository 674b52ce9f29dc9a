"""plan, apply and undo: from the inventory to the summary, in the order in which things may go wrong."""

from __future__ import annotations

import getpass
import json
import platform
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.approval import manifest
from nbserver.base.errors import NbserverError
from nbserver.render.script import Script
from nbserver.run import known_certificates, site_salt
from nbserver.run.envelope import Mode
from nbserver.run.journal import FOLDER, HostJournal, Journal, new_run_id

if TYPE_CHECKING:
    from nbserver.events.reader import Event
    from nbserver.inventory.linux_host import AnyHost
    from nbserver.inventory.reader import Inventory
    from nbserver.run import host_run
    from nbserver.run.envelope import PasswordHash
    from nbserver.run.secret_mask import SecretMask
    from nbserver.transports import LogonSecrets
    from nbserver.view.view import View

Ask = Callable[[str], str]


@dataclass(frozen=True)
class Options:
    """What a person may say about a run beside the hosts. `runs` is where runs are kept; `approved` a manifest.

    `chains` has, by host, a signed certificate (PEM) for a request that was made there; `passwords`, by host, a
    notebook password that comes from no reference of the inventory. `salt` is the file with the site's salt, by
    default the one next to the inventory; with `new_salt` hosts may replace a password hash that has another one.
    """

    runs: Path | None = None
    approved: Path | None = None
    forks: int = 10
    chains: Mapping[str, str] = field(default_factory=dict)
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    salt: Path | None = None
    new_salt: bool = False


def operate(
    mode: Mode, inventory: Inventory, hosts: Sequence[AnyHost], options: Options, ask: Ask | None, view: View
) -> dict[str, host_run.Result]:
    """Runs the hosts' scripts in `mode`. Everything that can be refused without a host is refused first.

    Raises NbserverError for that; what happens on a host is in its Result.
    """
    from nbserver.render.render import render_all
    from nbserver.run.fleet import for_each
    from nbserver.run.host_run import Result
    from nbserver.run.notebook_password import PasswordHashes

    scripts = {script.host: script for script, _ in render_all(hosts)}
    if options.approved and mode != "test":
        approved = manifest.read(options.approved)
        for script in scripts.values():
            manifest.require_approved(approved, options.approved, script)
    secrets = {
        host.name: (_logon(host, ask), _certificate(host, mode, ask), _password(host, mode, ask, options.passwords.get(host.name)))
        for host in hosts
    }
    for name, chain in options.chains.items():
        secrets[name][1]["certificate.chain"] = chain
    known_file = inventory.path.parent / known_certificates.FILE_NAME
    known_certificates.read(known_file)  # what cannot be read is told before a host is contacted
    stop, writing = threading.Event(), threading.Lock()
    hashes = None
    if any(plain is not None for *_, plain in secrets.values()):
        hashes = PasswordHashes(site_salt.of_site(inventory.path.parent, options.salt, create=mode == "apply"), stop)
    mask = _mask(inventory, hosts, scripts.values(), secrets.values())
    journal = Journal(options.runs or inventory.path.parent / FOLDER, new_run_id(), mode, operator(), mask.text)

    def job(host: AnyHost) -> Result:
        """Raises nothing: what goes wrong with one host, whatever it is, is in its result, and the others go on."""
        if stop.is_set():
            return Result(host.name, outcome="stopped")
        result = Result(host.name)
        try:
            with closing(journal.host(scripts[host.name])) as part:
                logon, own, plain = secrets[host.name]
                password = _hash_for(host, hashes.of(plain), options, mask) if hashes and plain is not None else None
                result = _run_host(host, scripts[host.name], mode, journal.run, part, logon, own, password, mask, stop, view)
            with writing:
                if result.fingerprint and mode != "undo":
                    known_certificates.remember(known_file, host.name, result.fingerprint, journal.run)
        except BaseException as error:
            result.fail(error)
            result.error = mask.text(result.error)
        with suppress(Exception):  # a terminal that shows nothing any more changes no result
            view.host_ended(result)
        return result

    def interrupted() -> None:
        with suppress(Exception):  # the hosts are stopped and waited for all the same
            view.interrupted()

    view.begin(mode, {name: script.steps for name, script in scripts.items()})
    try:
        jobs = {host.name: (lambda host=host: job(host)) for host in hosts}
        results = for_each(jobs, options.forks, stop, interrupted)
    except NbserverError as error:
        mask.error(error)
        raise
    finally:
        with suppress(Exception):  # the summary is still to be written
            view.end()
        if hashes:
            hashes.close()
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
    from nbserver.base.errors import SecretError
    from nbserver.settings.secret import resolve

    if host.notebook.password is None:
        if ask is None:
            raise SecretError(
                "its notebook password is not known here, and there is no terminal to ask on",
                where=host.name,
                todo="Say in the inventory where it is kept: notebook.password",
            )
        return ask(f"Notebook password of {host.name}: ")
    return resolve(host.notebook.password, what="notebook.password", host=host.name, ask=ask)


def _logon(host: AnyHost, ask: Ask | None) -> LogonSecrets:
    """What the connection needs; a key file that cannot be used is told before any host is contacted. Raises SecretError."""
    from nbserver.settings.secret import resolve
    from nbserver.transports import LogonSecrets

    names = ("password", "key_password", "sudo_password")
    references = {name: getattr(host, name, None) for name in names}
    found = {name: resolve(reference, what=name, host=host.name, ask=ask) for name, reference in references.items() if reference}
    key_file: Path | None = getattr(host, "key_file", None)
    if key_file is not None:
        from nbserver.transports.ssh.keys import load_key

        load_key(key_file, found.get("key_password"), host=host.name)
    return LogonSecrets(**found)


def _password(host: AnyHost, mode: Mode, ask: Ask | None, given: str | None) -> str | None:
    """The plain password whose hash goes into the envelope; None where what is set there stays. Raises SecretError."""
    from nbserver.run import notebook_password as passwords
    from nbserver.settings.secret import confirmed

    if mode not in ("test", "apply") or (given is None and host.notebook.password is None):
        return None
    plain = given if given is not None else notebook_password(host, confirmed(ask) if mode == "apply" else ask)
    passwords.check_password(plain, host=host.name, minimum=host.notebook.password_minimum)
    return plain


def _mask(
    inventory: Inventory,
    hosts: Sequence[AnyHost],
    scripts: Collection[Script],
    secrets: Collection[tuple[LogonSecrets, Mapping[str, str], str | None]],
) -> SecretMask:
    """Knows every secret of the run. Names that are in the inventory, and the scripts, are no secret whatever else they are."""
    from nbserver.run.secret_mask import SecretMask

    names = [name for host in hosts for name in (host.name, host.address, getattr(host, "user", None) or "")]
    bodies = {script.body_sha256: script.text for script in scripts}  # of each kind one: all else of a script is its settings
    mask = SecretMask(
        [*bodies.values(), "\n".join([*names, *(json.dumps(script.settings) for script in scripts), operator(), str(inventory.path)])]
    )
    mask.add(
        *(
            secret
            for logon, own, plain in secrets
            for secret in (logon.password, logon.key_password, logon.sudo_password, own.get("certificate.key"), plain)
        )
    )
    return mask


def _hash_for(host: AnyHost, hashed: Callable[[], str], options: Options, mask: SecretMask) -> PasswordHash:
    """What one host gets. A hash that cannot be computed is that host's failure; the others go on."""
    from nbserver.base.errors import ScriptError, SecretError
    from nbserver.run.envelope import PasswordHash
    from nbserver.run.notebook_password import former_salt

    def compute() -> str:
        try:
            found = hashed()
        except SecretError as error:
            raise ScriptError(error.what, host=host.name, todo=error.todo) from None
        mask.add(found, found.rpartition("$")[2])
        return found

    return PasswordHash(compute, site_salt.encoded(former_salt(host=host.name, port=host.notebook.port)), options.new_salt)


def _certificate(host: AnyHost, mode: Mode, ask: Ask | None) -> dict[str, str]:
    """A certificate of the workstation, for the envelope. Raises SecretError, CertificateError."""
    from nbserver.certificate import workstation
    from nbserver.inventory import windows_host

    if mode not in ("test", "apply") or not isinstance(host, windows_host.WindowsHost) or host.certificate.source != "workstation":
        return {}
    certificate = workstation.read(host, ask)
    return {"certificate.chain": certificate.chain, "certificate.key": certificate.key}


def _run_host(
    host: AnyHost,
    script: Script,
    mode: Mode,
    run: str,
    journal: HostJournal,
    logon: LogonSecrets,
    secrets: dict[str, str],
    password: PasswordHash | None,
    mask: SecretMask,
    stop: threading.Event,
    view: View,
) -> host_run.Result:
    from nbserver.run.host_run import HostRun
    from nbserver.transports import Transport, connect_to

    leaks: list[str] = []

    def connect() -> Transport:
        return mask.watch(connect_to(host, logon, stop), lambda: leaks.append(host.name))

    def shown(name: str, event: Event) -> None:
        with suppress(Exception):  # nobody may be reading any more; the journal has it, and the host goes on anyway
            view.event(name, event)

    result = HostRun(host, script, mode, run, journal, shown).execute(connect, operator(), secrets, stop, password)
    result.error = mask.text(result.error)
    if leaks:
        leak = f"{host.name}: an event of this host holds a secret, which is masked here. Change that secret, and find out what on the host says it."
        journal.note(leak)
        result.outcome, result.fingerprint, result.error = "failed", "", f"{leak} {result.error}".rstrip()
    return result


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
