"""The command: prepares a host, lets the contenders take turns, prints the table and writes the page."""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.psrp.ansible import Ansible
from benchmarks.psrp.checks import checks
from benchmarks.psrp.contenders import Contender, contenders, job_of
from benchmarks.psrp.measure import ContenderError, Run, measure
from benchmarks.psrp.page import page
from benchmarks.psrp.prepared_host import PreparedHost, prepared_host
from benchmarks.psrp.results import Results, Row
from benchmarks.psrp.table import table
from benchmarks.psrp.wrong_values import count_refused
from tests.boxes.winrm.endpoint import Endpoint


def main() -> int:
    """0, or 1 when nbserver made more exchanges than promised, or 2 when nothing could be measured."""
    options = _options()
    with contextlib.ExitStack() as stack:
        folder = options.host or Path(tempfile.mkdtemp(prefix="nbserver-benchmark-"))
        if not options.host:
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
        try:
            ansible = None if options.no_ansible else Ansible(options.ansible or folder / "ansible-venv")
            if ansible:
                _say("installing ansible-core ...")
                ansible.install()
            results = _benchmark(stack.enter_context(prepared_host(folder)), ansible, options.runs)
        except (LookupError, RuntimeError, ContenderError) as error:
            print(error, file=sys.stderr)
            return 2
    print(table(results), end="")
    if options.html:
        options.html.write_text(page(results), encoding="utf-8")
    return 0 if results.promise_kept else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.psrp", description="What it costs over PSRP to see that nothing has to be changed."
    )
    parser.add_argument(
        "--runs", type=int, default=5, metavar="N", help="measured runs of each contender, after one that does not count (5)"
    )
    parser.add_argument("--host", type=Path, metavar="FOLDER", help="keep the prepared host there, and use it again the next time")
    parser.add_argument(
        "--ansible", type=Path, metavar="FOLDER", help="a virtual environment with ansible-core and pypsrp; made if not there"
    )
    parser.add_argument("--no-ansible", action="store_true", help="leave Ansible out")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page with bars as well")
    options = parser.parse_args()
    if options.runs < 1:
        parser.error("--runs is at least 1")
    for name in ("host", "ansible"):
        if getattr(options, name):
            setattr(options, name, getattr(options, name).absolute())
    return options


def _benchmark(prepared: PreparedHost, ansible: Ansible | None, runs: int) -> Results:
    wanted = checks(prepared)
    refused = count_refused(wanted, job_of(prepared, wanted))
    _say(f"{len(wanted)} checks; {refused} wrong values in them were tried, and all were refused")
    taking_part = contenders(prepared, wanted, ansible)
    done, failures = take_turns(taking_part, prepared.endpoint, runs)
    rows = [Row(one.name, one.what, done[one.name], failures.get(one.name, "")) for one in taking_part]
    libraries = [f"{name} {importlib.metadata.version(name)}" for name in ("pypsrp", "pywinrm")]
    facts = {
        "measured": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, load average {os.getloadavg()[1]:.1f} over the last five minutes",
        "software": ", ".join([f"Python {platform.python_version()}", *libraries, *([ansible.version()] if ansible else [])]),
        "endpoint": "the tests' WinRM endpoint on the same machine, HTTPS with NTLM, PowerShell 7.4 for Windows under Wine",
        "checks": f"{len(wanted)} ({', '.join(check.step for check in wanted)}); {refused} wrong values in them were tried, and all were refused",
    }
    return Results(rows, facts)


def take_turns(taking_part: Sequence[Contender], endpoint: Endpoint, runs: int) -> tuple[dict[str, list[Run]], dict[str, str]]:
    """Runs by contender, and why the others have none. All take turns, so that a busy minute of the machine meets each of them.

    Raises ContenderError when it is nbserver that fails.
    """
    done: dict[str, list[Run]] = {one.name: [] for one in taking_part}
    failures: dict[str, str] = {}
    for turn in range(runs + 1):  # the first one does not count
        for one in taking_part:
            if one.name in failures:
                continue
            try:
                run = measure(one, endpoint)
            except ContenderError as error:
                if one is taking_part[0]:
                    raise
                failures[one.name], done[one.name] = str(error), []
                _say(str(error))
                continue
            _say(f"{turn or 'warm-up'}: {one.name} {run.exchanges} exchanges, {run.wall:.1f} s")
            if turn:
                done[one.name].append(run)
    return done, failures


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
