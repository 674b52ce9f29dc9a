"""`nbserver audit --evidence`: compare what hosts have kept about runs with the run directories of this workstation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base.errors import ApprovalError
from nbserver.base.message import counted, phrase
from nbserver.base.plain_text import clean
from nbserver.base.standard_streams import say, text_for_reader
from nbserver.commands.review import STANDARD_OUTPUT, require_outputs, write_file
from nbserver.run import evidence_check, operation, runs_here
from nbserver.run.journal import FOLDER
from nbserver.run.result import exit_code
from nbserver.view.one_summary import OneSummary

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost, Inventory
    from nbserver.run.evidence_check import Compared
    from nbserver.run.options import Options
    from nbserver.run.view import View
    from nbserver.settings.secret import Ask


def audit(inventory: Inventory, hosts: Sequence[AnyHost], options: Options, ask: Ask | None, view: View, json_file: Path | None) -> int:
    """Show for each host which runs do not match. Return the exit code: 5 if anything does not match.

    `json_file` is where the same is written as JSON, one object per line; - is standard output.

    Raises NbserverError before any host is contacted.
    """
    require_outputs({"json": json_file})
    runs = options.runs or inventory.path.parent / FOLDER
    here = runs_here.read(runs, [host.name for host in hosts])
    shown = OneSummary(view)
    results = operation.operate("evidence", inventory, hosts, options, ask, shown)
    code = exit_code(results)
    if code:
        shown.show("evidence", results)
    found = [evidence_check.compare(name, one.kept, here[name]) for name, one in results.items() if one.outcome == "ok"]
    lines = [json.dumps(compared.as_json()) for compared in found]
    if json_file == STANDARD_OUTPUT:
        for line in lines:
            say(line)
    else:
        for compared in found:
            _show(compared, runs)
    if json_file is not None and json_file != STANDARD_OUTPUT:
        write_file(json_file, "".join(f"{line}\n" for line in lines))
    return ApprovalError.exit_code if any(compared.findings for compared in found) else code


def _show(compared: Compared, runs: Path) -> None:
    say(
        counted(
            "{name}  {count} run on the host or in {folder}, {matching} match",
            "{name}  {count} runs on the host or in {folder}, {matching} match",
            compared.runs,
            name=compared.host,
            folder=clean(str(runs)),
            matching=compared.matching,
        )
    )
    for name in compared.running:
        say(phrase("    {run}  still running", run=name))
    for finding in compared.findings:
        say(f"    {finding.run}  {clean(text_for_reader(finding.text), 2000)}")
