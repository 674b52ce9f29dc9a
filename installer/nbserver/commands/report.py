"""`nbserver report`: write what a run did as a page."""

from __future__ import annotations

import sys
from pathlib import Path

from nbserver.base import atomic_file, output_file, plain_file, standard_streams
from nbserver.base.errors import OutputError, UsageError
from nbserver.base.message import counted, phrase
from nbserver.base.standard_streams import text_for_reader
from nbserver.language.language import ENGLISH, Language
from nbserver.report import before, run_files, statements
from nbserver.report.statements import Report

STANDARD_OUTPUT = Path("-")
MODE = 0o600  # as the files of the run: who may see it is for the user to decide


def write(run: str, runs: Path | None, previous: str | None, output: Path, language: Language = ENGLISH) -> list[str]:
    """Write the report of a run and return the lines to print. `previous` is the run to compare with, by default the one before.

    With STANDARD_OUTPUT, there are no lines. Raises UsageError and ApprovalError for what is not a run, and OutputError if the
    report cannot be written.
    """
    from nbserver.report.page import page

    folder = run_files.folder_of(run, runs)
    if output != STANDARD_OUTPUT:
        _require_outside(output, folder)
        output_file.require_no_other_content(output)
    found = statements.report(folder, language)
    earlier = run_files.folder_of(previous, runs) if previous else before.before(folder.resolve(), found)
    compared = before.compare(found, earlier, language) if earlier else None
    data = page(found, compared, language).encode("utf-8")
    try:
        if output == STANDARD_OUTPUT:
            _print(data)
            return []
        atomic_file.write_bytes(output, data, mode=MODE)
    except OSError as error:
        raise OutputError(
            "report-not-written",
            "could not write the report ({reason})",
            where="standard output" if output == STANDARD_OUTPUT else plain_file.shown(output),
            todo="Choose another file",
            reason=error.strerror or type(error).__name__,
        ) from None
    return [_said(found), phrase("written: {file}", file=plain_file.shown(output))]


def _print(data: bytes) -> None:
    """Write to standard output, whatever its encoding is: the page declares its own. Raises OSError."""
    sys.stdout.buffer.write(data)
    sys.stdout.flush()
    found = standard_streams.failure(sys.stdout)
    if found is not None and found.errno not in standard_streams.CLOSED:
        raise found


def _said(found: Report) -> str:
    counts = ", ".join(
        text_for_reader(phrase("{count} {outcome}", count=count, outcome=phrase(name))) for name, count in sorted(found.outcomes.items())
    )
    count = len(found.hosts)
    said = counted("{run}: {count} host, {outcomes}", "{run}: {count} hosts, {outcomes}", count, run=found.head.run, outcomes=counts)
    if found.ended:
        return said
    return phrase("{run}, without an end: nbserver was killed, or the run is still in progress", run=said)


def _require_outside(path: Path, folder: Path) -> None:
    """Raise UsageError for a file in the run directory, whose files the chain lists."""
    if output_file.is_below(path, folder):
        raise UsageError(
            "report-in-run",
            "a report cannot be written to the run directory, because nbserver audit --run would refuse it",
            where=plain_file.shown(path),
            todo="Choose a file in another folder",
        )
