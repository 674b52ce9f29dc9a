"""plan, apply, and undo: from the inventory to the summary. Checks that need no host come first."""

from __future__ import annotations

import json
import platform
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from nbserver.base import open_files
from nbserver.base.errors import Abandoned, ApprovalError, NbserverError, ScriptError, SecretError
from nbserver.base.message import notice
from nbserver.base.modes import READING, Mode
from nbserver.base.plain_text import clean
from nbserver.base.standard_streams import warn
from nbserver.base.user_name import user_name
from nbserver.render import render
from nbserver.run import approved as approval
from nbserver.run import (
    batches,
    engine,
    evidence_log,
    fleet,
    host_job,
    intent,
    known_certificates,
    notebook_password,
    own_servers,
    run_lock,
    signed_head,
    site_salt,
    time_limits,
)
from nbserver.run.batches import Gate
from nbserver.run.engine import Engine
from nbserver.run.envelope import PasswordHash
from nbserver.run.evidence import Evidence
from nbserver.run.found_certificates import FoundCertificates
from nbserver.run.host_call import HostCall
from nbserver.run.host_job import HostJob
from nbserver.run.journal import FOLDER, Journal, new_run_id
from nbserver.run.notebook_password import PasswordHashes
from nbserver.run.options import Options
from nbserver.run.result import SUCCEEDED, Result
from nbserver.run.secret_mask import SecretMask
from nbserver.transports import connect

if TYPE_CHECKING:
    from nbserver.approval.signing_key import SigningKey
    from nbserver.inventory.hosts import AnyHost, Inventory
    from nbserver.run.past_run import PastRun
    from nbserver.run.view import View
    from nbserver.settings.secret import Ask

_FILES_PER_HOST = 16  # an event loop, sockets, two files of the journal, and what is open for a moment
_OTHER_FILES = 128
NOT_REMEMBERED: frozenset[Mode] = frozenset({"undo", "stop", "push", "deliver", *(mode for mode in READING if mode != "test")})
"""The modes after which a host's certificate does not become a known one. A plan reports it as an apply does."""


def operate(
    mode: Mode,
    inventory: Inventory,
    hosts: Sequence[AnyHost],
    options: Options,
    ask: Ask | None,
    view: View,
    past: PastRun | None = None,
    *,
    stop: threading.Event | None = None,
) -> dict[str, Result]:
    """Run the hosts' scripts in `mode`, or continue with them in the run `past`. Everything that can be rejected without a host is rejected first.

    Ctrl-C sets `stop`, which several runs of one command share. Once it is set, no host is contacted.

    Raises NbserverError for a rejection, and Abandoned after a second Ctrl-C; the outcome on each host is in its Result.
    """
    hosts = [time_limits.with_limits(host, options) for host in hosts]
    stages, most = _policy([host.name for host in hosts], inventory, options) if past is None else (past.stages, past.intent.max_failures)
    connect.import_ahead(hosts)
    scripts = {script.host: script for script, _ in render.render_all(hosts)}
    if past:
        past.require_same(scripts.values())
    approved = approval.require(mode, hosts, scripts, options)
    key = signed_head.load_key(options.evidence_key, ask) if options.evidence_key else None
    jobs = host_job.prepare_all(hosts, scripts, mode, options, ask)
    for warning in host_job.warnings(hosts):
        warn(warning)
    own_servers.before(mode, inventory, hosts)
    known_file = options.known or inventory.path.parent / known_certificates.FILE_NAME
    known = known_certificates.fingerprints(known_file)  # report an unreadable file before contacting a host
    if mode not in NOT_REMEMBERED:
        known_certificates.require_writable(known_file)
    run = past.run if past else new_run_id()
    with ExitStack() as stack:
        cluster = stack.enter_context(engine.cluster_for(inventory, hosts, options, run))
        stop = stop or threading.Event()
        hashes, salt = None, None
        if any(job.password is not None for job in jobs.values()):
            salt = site_salt.of_site(inventory.path.parent, options.salt, create=mode in host_job.SETS_PASSWORD)
            hashes = stack.enter_context(closing(PasswordHashes(salt, stop)))
            if past:
                past.require_salt(site_salt.encoded(salt))
        mask = mask_of(inventory, jobs.values())
        signer = key.public.fingerprint if key else None
        listed = (inventory.list_name, inventory.list_sha256) if inventory.list_sha256 else None
        facts = Evidence(list(jobs), inventory.path, options.command, approved, inventory.sha256, signer, listed)
        if past:
            journal = Journal.resumed(past.folder, past.number, operator(), mask.text, facts, past.adopted)
        else:
            journal = Journal(options.runs or inventory.path.parent / FOLDER, run, mode, operator(), mask.text, facts)
            run_lock.hold(journal.folder, stack)
            wanted = intent.of(scripts.values(), options, site_salt.encoded(salt) if salt else None, stages, most)
            journal.intend(wanted, scripts.values())
        _log_head(mode, journal)
        results: dict[str, Result] | None = None
        try:
            where = engine.engine_on(cluster, inventory, hosts, options, approved, lambda job: mask_of(inventory, [job]))
            forks = options.forks or where.forks or batches.default_forks(host.transport in ("ssh", "local") for host in hosts)
            forks = _within_limit(min(forks, len(jobs)))
            gate = batches.Gate(past.course() if past else batches.Course(stages, most), stop)
            certificates = FoundCertificates(known_file, journal.run, known)
            results = _Run(mode, journal, mask, hashes, certificates, view, options, stop, gate, where, past).of_all(
                {name: jobs[name] for stage in stages for name in stage if name in jobs}, forks
            )
            own_servers.after(mode, inventory, hosts, results)
            for warning in certificates.exchanged(results) if mode not in NOT_REMEMBERED else ():
                warn(warning)
            results = past.in_order(results) if past else {name: results[name] for name in jobs}
            try:
                _report(mode, journal, results, view, key)
            finally:
                _renew(certificates)
        except KeyboardInterrupt:
            raise _abandoned(journal, ended=results is not None) from None
    return results


def _policy(names: Sequence[str], inventory: Inventory, options: Options) -> tuple[list[list[str]], int | None]:
    """Return the hosts in batches, and how many may fail. Raises UsageError and InventoryError."""
    policy = options.policy
    stages = batches.stages(names, policy, inventory.names_of)
    return stages, policy.max_failures.of(len(names)) if policy.max_failures else None


def _abandoned(journal: Journal, *, ended: bool) -> Abandoned:
    """Return the error for a second Ctrl-C, or for one after all hosts have `ended`, such as in a pager with the summary."""
    if ended:
        return Abandoned(
            "interrupted-at-end",
            "the command was interrupted while nbserver was showing the results. The run has finished on all hosts; its files are in {folder}",
            folder=journal.folder,
        )
    return Abandoned(
        "interrupted-again",
        "interrupted again: nbserver exits without waiting for the hosts, and scripts that it could not stop keep running until they finish",
        todo="To fetch the rest of their events, run nbserver events {run} HOST",
        run=journal.run,
    )


def _within_limit(forks: int) -> int:
    """Return how many hosts run at a time with the open files that the system allows, and warn if they are fewer."""
    possible = open_files.at_a_time(forks, each=_FILES_PER_HOST, others=_OTHER_FILES)
    if possible < forks:
        warn(
            notice(
                "few-open-files",
                "nbserver processes only {count} hosts in parallel instead of {forks}, because of the limit on open "
                "files. To process more, raise the limit with ulimit -n",
                count=possible,
                forks=forks,
            )
        )
    return possible


def _renew(certificates: FoundCertificates) -> None:
    try:
        certificates.end()
    except ApprovalError as error:  # the file has these certificates, with an earlier run
        warn(error)


def _report(mode: Mode, journal: Journal, results: Mapping[str, Result], view: View, key: SigningKey | None) -> None:
    try:
        journal.finish({name: result.as_json() for name, result in results.items()})
        _log_head(mode, journal)
        if key:
            _sign(journal, key)
    finally:
        view.summary(mode, results, journal.folder)


def _log_head(mode: Mode, journal: Journal) -> None:
    for warning in evidence_log.write(journal.run, mode, operator(), journal.folder, journal.head):
        warn(warning)


def _sign(journal: Journal, key: SigningKey) -> None:
    try:
        signed_head.sign(journal.folder, journal.chain.last_line(), key)
    except (NbserverError, OSError) as error:
        warn(
            notice(
                "run-not-signed",
                "could not sign the evidence of the run {run} ({reason}), so nbserver audit --run will refuse its run directory",
                todo="Check the key of --evidence-key, or the SSH agent, before the next run",
                run=journal.run,
                reason=str(error),
            )
        )


@dataclass(frozen=True)
class _Run:
    """What all hosts of one run share."""

    mode: Mode
    journal: Journal
    mask: SecretMask
    hashes: PasswordHashes | None
    certificates: FoundCertificates
    view: View
    options: Options
    stop: threading.Event
    gate: Gate
    engine: Engine
    past: PastRun | None = None

    def of_all(self, jobs: dict[str, HostJob], forks: int) -> dict[str, Result]:
        """Run all hosts, `forks` at a time."""
        self.view.begin(self.mode, {name: job.script.steps for name, job in jobs.items()})
        try:
            return fleet.for_each({name: partial(self.of, job) for name, job in jobs.items()}, forks, self.stop, self._interrupted)
        except NbserverError as error:
            self.mask.error(error)
            raise
        finally:
            with suppress(Exception):  # the summary must still be written
                self.view.end()

    def _interrupted(self) -> None:
        with suppress(Exception):  # the hosts must still be stopped
            self.view.interrupted()

    def of(self, job: HostJob) -> Result:
        """Run one host. Never raises: every failure of the host is in its result, and the others continue."""
        name = job.host.name
        result = self.past.hosts[name].result if self.past else Result(name)
        refusal = self.gate.enter(name)
        if refusal is not None or self.stop.is_set():
            result.outcome = "stopped"
            result.because(refusal)
            return self._shown(result)
        begun = time.monotonic()
        try:
            self.view.host_began(name)
            with closing(self.journal.host(job.script)) as part:
                if undelivered := self.options.undelivered.get(name):
                    part.note(undelivered.error)
                    result.fail_like(undelivered)
                else:
                    result = self.engine.execute(self.call(job), part, self.stop, self.view.event)
            if result.fingerprint and self.mode not in NOT_REMEMBERED:
                self.certificates.add(name, result.fingerprint)
        except BaseException as error:
            result.fail(error)
            self.mask.result(result)
        result.folder = self.journal.folder / name
        if result.status:
            result.status.look_for_run(self.journal.folder.parent)
        result.seconds = round(time.monotonic() - begun, 1)
        self.gate.leave(name, succeeded=result.outcome in SUCCEEDED)
        return self._shown(result)

    def _shown(self, result: Result) -> Result:
        with suppress(Exception):  # a closed terminal must not change the result
            self.view.host_ended(result)
        return result

    def call(self, job: HostJob) -> HostCall:
        """Return the run of one host as a value, which another process can execute, too."""
        options, run, evidence = self.options, self.journal.run, self.journal.head.sha256
        hashed = self._password_hash(job)
        past = self.past.hosts[job.host.name] if self.past else None
        transfer = options.transfers.get(job.host.name)
        archived = options.archived.get(job.host.name, "")
        return HostCall(
            job, self.mode, run, operator(), self.mask, hashed, options.thorough, options.repair, evidence, past, transfer, archived
        )

    def _password_hash(self, job: HostJob) -> PasswordHash | None:
        """Return the password hash for one host. If it cannot be computed, only this host fails."""
        if self.hashes is None or job.password is None:
            return None
        host, hashed = job.host, self.hashes.of(job.password)

        def compute() -> str:
            try:
                found = hashed()
            except SecretError as error:
                raise ScriptError.of(error, host=host.name) from None
            self.mask.add(found, found.rpartition("$")[2])
            return found

        former = notebook_password.former_salt(host=host.name, port=host.notebook.port)
        return PasswordHash(compute, site_salt.encoded(former), self.options.new_salt)


def operator() -> str:
    """Return the user and workstation for the record on the host. A variable that names the user can contain any bytes."""
    return clean(f"{user_name()}@{platform.node()}", 300)


def mask_of(inventory: Inventory, jobs: Collection[HostJob]) -> SecretMask:
    """Return a mask of every secret of the run. Names from the inventory and text of the scripts never count as secrets."""
    names = [name for job in jobs for name in (job.host.name, job.host.address, getattr(job.host, "user", None) or "")]
    bodies = {
        job.script.body_sha256: job.script.text for job in jobs
    }  # one script of each kind; scripts of a kind differ only in their settings
    settings = (json.dumps(job.script.settings) for job in jobs)
    mask = SecretMask([*bodies.values(), "\n".join([*names, *settings, operator(), str(inventory.path)])])
    mask.add(*(secret for job in jobs for secret in job.secrets))
    return mask
