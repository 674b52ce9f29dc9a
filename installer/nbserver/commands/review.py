"""`nbserver audit` with a file to write: the review of a folder, or what differs, as HTML, JSON, or Markdown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from nbserver.approval import audit
from nbserver.approval.reference import Reference
from nbserver.base import atomic_file, output_file, plain_file, writing
from nbserver.base.errors import UsageError
from nbserver.base.message import phrase, with_values
from nbserver.base.plain_text import clean
from nbserver.language.language import ENGLISH, Language
from nbserver.pages.page import ascii_text
from nbserver.review import comparison, statements
from nbserver.review.comparison import Comparison
from nbserver.review.statements import Review

LONGEST = 1_000_000  # characters of a line; a script has at most four times as many
Outputs = Mapping[str, Path | None]  # by "html", "json", "markdown"
STANDARD_OUTPUT = Path("-")
BEGINS = {
    "html": (b"<",),
    "json": (b'{\n "v": ', b'{"event": '),
    "markdown": (b"# Review of ", b"## Differences"),
}  # of a file that is replaced


def of_folder(folder: Path, reference: Reference, outputs: Outputs, against: Path | None, language: Language = ENGLISH) -> list[str]:
    """Audit a folder, write the requested files, and return the lines to print. Raises ApprovalError and then writes nothing."""
    require_outputs(outputs, folder, *([against] if against else []))
    audited = audit.checked(folder, reference)
    found = statements.review(audited, reference) if any(outputs.values()) else None
    compared = comparison.against(folder, audited, against, reference) if against else None
    done = _write(outputs, found, compared, language)
    if STANDARD_OUTPUT in outputs.values():
        return done
    if done:
        return [phrase("manifest.json: sha256 {sha256}, hosts: {hosts}", sha256=audited.sha256, hosts=len(audited.hosts)), *done]
    return lines(compared) if compared else audit.report(audited)


def of_bodies(one: Path, other: Path, outputs: Outputs, language: Language = ENGLISH) -> list[str]:
    """Compare the bodies of two releases, write the requested files, and return the lines to print."""
    require_outputs(outputs)
    compared = comparison.bodies(one, other)
    return _write(outputs, None, compared, language) or lines(compared)


def lines(compared: Comparison) -> list[str]:
    """Return a comparison as lines for a terminal, in ASCII."""
    found: list[str] = [phrase("compared with {name}", name=compared.name), compared.statement]
    for change in compared.changes:
        found += ["", change.title]
        found += [
            phrase("  {what}: {before} -> {now}", what=row.what, before=_value(row.before), now=_value(row.now)) for row in change.rows
        ]
        found += change.diff
    if not compared.changes:
        found.append(phrase("nothing differs"))
    return [with_values(line, lambda text: ascii_text(clean(text, LONGEST))) for line in found]


def _value(text: str) -> str:
    return text or phrase("(none)")


def _write(outputs: Outputs, found: Review | None, compared: Comparison | None, language: Language) -> list[str]:
    """Write the requested files. Return a line about each, or what goes to standard output."""
    return written({path: _writer(kind, language)(found, compared) for kind, path in outputs.items() if path is not None})


def written(texts: Mapping[Path, str]) -> list[str]:
    """Write these files. Return a line about each, or what goes to standard output."""
    for path, text in texts.items():
        if path != STANDARD_OUTPUT:
            write_file(path, text)
    if STANDARD_OUTPUT in texts:
        return [texts[STANDARD_OUTPUT].rstrip("\n")]
    return [phrase("written: {file}", file=plain_file.shown(path)) for path in texts]


def write_file(path: Path, text: str) -> None:
    """Write a file that the user asked for. Raises UsageError."""
    with writing.refused("review-not-written", "could not write the file ({reason})", where=path, todo="Choose another file"):
        atomic_file.write_bytes(path, text.encode("utf-8"))


def _writer(kind: str, language: Language) -> Callable[[Review | None, Comparison | None], str]:
    from nbserver.review import json_text, markdown, page

    writers: dict[str, Callable[[Review | None, Comparison | None], str]] = {"json": json_text.text, "markdown": markdown.text}
    writers["html"] = partial(page.page, language=language)
    return writers[kind]


def require_outputs(outputs: Outputs, *folders: Path) -> None:
    """Raise UsageError for a file below a folder that is audited, and for one that is not an earlier review."""
    for kind, path in outputs.items():
        if path is not None and path != STANDARD_OUTPUT:
            _require_outside(path, *folders)
            output_file.require_no_other_content(path, *BEGINS[kind])


def _require_outside(path: Path, *folders: Path) -> None:
    """Raise UsageError for a file below a folder that is audited: the next audit would refuse it there."""
    for folder in folders:
        if output_file.is_below(path, folder):
            raise UsageError(
                "review-in-folder",
                "a review cannot be written to the audited folder, because the next audit would refuse it",
                where=plain_file.shown(path),
                todo="Choose a file in another folder",
            )
