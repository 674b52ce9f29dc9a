"""The review as Markdown, for a merge request or a ticket. Scripts are left out: they are in the folder."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from nbserver import __version__
from nbserver.pages.page import ascii_text
from nbserver.review import commands_text
from nbserver.review.comparison import Comparison
from nbserver.review.page import identity, target
from nbserver.review.script_scan import Found
from nbserver.review.statements import Kind, Review


def text(review: Review | None, comparison: Comparison | None = None) -> str:
    """Return the review, or what differs, as Markdown in ASCII."""
    lines: list[str] = []
    if review is not None:
        lines += _verified(review)
    if comparison is not None:
        lines += _comparison(comparison)
    elif review is not None:
        for kind in review.kinds:
            lines += _steps(kind)
        lines += [*_hosts(review), *_downloads(review), *_packages(review)]
        for kind in review.kinds:
            lines += _found(f"Program calls: {kind.system}, scope {kind.scope}", kind, kind.calls)
            lines += _found(f"Deletions: {kind.system}, scope {kind.scope}", kind, kind.deletions)
        lines += _commands(review)
    return "\n".join(lines) + "\n"


def plain(value: str) -> str:
    """Return a text that Markdown and HTML show as it is, on one line, in ASCII."""
    shown = re.sub(r"([\\`*_{}\[\]()#+!|~])", r"\\\1", ascii_text(" ".join(value.split())))
    return shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def code(value: str) -> str:
    """Return a code span, for a cell of a table too."""
    shown = ascii_text(value.replace("\n", " ")).replace("|", "\\|")
    ticks = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    space = " " if shown[:1] in ("`", "") or shown[-1:] == "`" else ""
    return f"{ticks}{space}{shown}{space}{ticks}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)] + [""]


def _verified(review: Review) -> Iterator[str]:
    yield f"# Review of {len(review.hosts)} host{'s' if len(review.hosts) != 1 else ''}, nbserver {__version__}"
    yield from ("", f"manifest.json: SHA-256 `{review.manifest_sha256}`", "", "Verified:", "")
    yield from (f"- {plain(line)}" for line in review.verified)
    yield from ("", "Not verified:", "")
    yield from (f"- {plain(line)}" for line in review.not_verified)
    yield ""
    if review.approvals:
        yield from ("Approvals in this folder:", "")
        rows = ((one.file, one.state, one.by, one.key, one.covers, one.expires) for one in review.approvals)
        yield from table(("File", "State", "Signed by", "Key", "Covers", "Expires"), (tuple(map(plain, row)) for row in rows))


def _comparison(comparison: Comparison) -> Iterator[str]:
    yield from (f"## Differences: {plain(comparison.name)}", "", plain(comparison.statement), "")
    if not comparison.changes:
        yield from ("Nothing differs.", "")
    for change in comparison.changes:
        yield from (f"### {plain(change.title)}", "")
        if change.rows:
            yield from table(("What", "Before", "Now"), ((plain(row.what), code(row.before), code(row.now)) for row in change.rows))
        if change.diff:
            longest = max((len(run) for line in change.diff for run in re.findall(r"~+", line)), default=0)
            fence = "~" * max(10, longest + 1)  # a line of the diff cannot end the block
            yield from (f"{fence} diff", *change.diff, fence, "")


def _steps(kind: Kind) -> Iterator[str]:
    yield from (f"## What will happen: {kind.system}, scope {kind.scope}", "", f"Hosts: {plain(', '.join(kind.hosts))}", "")
    rows = []
    for step in kind.steps:
        reasons = "; ".join(dict.fromkeys(step.left_out.values()))
        left = f"Does not run on {', '.join(step.left_out)}: {reasons}. " if step.left_out else ""
        rows.append((f"`{step.name}`", plain(left + step.changes), plain(step.sees), plain(step.undoes or "Nothing to undo")))
    yield from table(("Step", "What it changes", "How to see it", "How to undo it by hand"), rows)


def _hosts(review: Review) -> Iterator[str]:
    for kind in review.kinds:
        yield from (f"## Hosts and settings: {kind.system}, scope {kind.scope}", "")
        rows = []
        for host in (host for host in review.hosts if host.kind == kind.key):
            values = [code(host.settings.get(name, "")) for name in kind.different]
            rows.append((plain(host.name), code(target(host)), code(identity(host)), f"`{host.sha256}`", *values))
        yield from table(("Host", "Target", "Identity", "SHA-256 of the script", *map(plain, kind.different)), rows)
        yield from table(("Setting of all these hosts", "Value"), ((plain(name), code(value)) for name, value in kind.common.items()))


def _downloads(review: Review) -> Iterator[str]:
    if not review.downloads:
        return
    yield from ("## Downloads", "")
    yield from table(
        ("Program", "URL", "Size", "SHA-256", "Origin of the hash", "Hosts"),
        (
            (
                plain(f"{item.name} {item.version}"),
                code(item.url),
                str(item.size or "not published"),
                f"`{item.sha256}`",
                plain(item.origin),
                plain(", ".join(item.hosts) if len(item.hosts) <= 5 else f"{len(item.hosts)} hosts"),
            )
            for item in review.downloads
        ),
    )


def _packages(review: Review) -> Iterator[str]:
    for lock in review.locks:
        yield from (f"## Packages: {plain(lock.title)}", "", f"SHA-256 `{lock.sha256}`", "")
        yield from table(
            ("Package", "Version", "License", "Summary", "Only if"),
            (tuple(map(plain, (item.name, item.version, item.license, item.summary, item.condition))) for item in lock.packages),
        )


def _found(title: str, kind: Kind, rows: Iterable[Found]) -> Iterator[str]:
    counted = "in the script" if kind.offset is not None else "in the body"
    yield from (f"## {title}", "")
    yield from table((f"Line {counted}", "Code"), ((str(row.line + (kind.offset or 0)), code(row.code)) for row in rows))


def _commands(review: Review) -> Iterator[str]:
    yield from ("## Recompute the hashes", "", f"    {commands_text.of_manifest(review).posix}")
    for kind in review.kinds:
        host = next(host for host in review.hosts if host.name == kind.hosts[0])
        yield from (f"    {command.posix}" for command in commands_text.of_host(host))
