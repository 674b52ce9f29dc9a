"""STYLE.md, as far as a program can check it: phrases that no page, message, docstring or comment may contain, and links that lead nowhere."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkout import CHECKOUT, SOURCE
from tests.markdown_code import code_lines
from tools import translated_pages

LINKING = [CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "STYLE.md")] + sorted(
    (CHECKOUT / "docs").glob("*.md")
)
TRANSLATED = translated_pages.translated(CHECKOUT / "docs")
# The word list of STYLE.md contains the phrases, body-hashes.md is a publication, and translations are not in English: their links are
# checked, their words are not.
PAGES = [page for page in LINKING if page.name not in ("STYLE.md", "body-hashes.md") and page not in TRANSLATED]
COLUMNS = 120
# A line break is a space on a page, and Japanese has none.
WRAPPED = [page for page in LINKING if ".ja" not in page.suffixes]
SCRIPTS = sorted(
    path for folder in ("ps_scripts", "linux_scripts") for path in (CHECKOUT / folder).rglob("*.*") if path.suffix in (".ps1", ".sh")
)

# Pattern -> (what to write instead, a sentence that must not pass). A space matches any white space, so also a line break.
PHRASES = {
    r"without (more|a) words?": ("by default", "Without more words the host makes one."),
    r"in other words": ("say what the other message is", "A changed key is refused in other words."),
    r"(is|are|was|were|be) told": ("is reported", "A full disk is told as one."),
    r"tells|told": ("reports, shows, says", "The last line tells the outcome."),
    r"it is said|(is|are) said": ("reports, is documented", "What is said stays."),
    r"stands? (in|beside|there|on|before|behind)": (
        "is in, is next to, cannot be combined with",
        "Secrets never stand here or stand in it.",
    ),
    r"stood in for": ("replaced by a stand-in", "The firewall is stood in for."),
    r"of (its|their|his|our|your) own": ("separate, its own", "It runs in a session of its own."),
    r"of others": ("other, third-party", "A program of others stops."),
    r"mend(s|ed|ing)?": ("fix", "Mend the file."),
    r"knows? no": ("has no, does not support", "The catalog knows no such version."),
    r"(is|are) no (host|file|folder|link|part|name|setting|step|script|secret|group|shell|pair|device)s?": (
        "is not a host",
        "This is no folder.",
    ),
    r"(object|line|hash|wheel|step|file|event|script|folder|pipeline|fork|process|kind) a (line|package|step|host|run|wheel|check|turn)": (
        "one line per package",
        "It writes one line a package.",
    ),
    r"looks? into": ("check", "Look into the log."),
    r"ends? with (code )?[0-9]+": ("exits with code 4", "It ends with 4."),
    r"exit(s|ed)? with [0-9]+": ("exits with code 4", "It exits with 4."),
    r"(puts?|putting) (\w+ )?back": ("restores", "It puts it back."),
    r"taken over|takes? (it|them|one) over|taking over|took over": ("adopted, takes precedence", "A server is taken over."),
    r"capitals|small letters": ("upper case, lower case", "Names in capitals."),
    r"in the end|at last": ("finally, or leave it out", "At last it works."),
    r"(is|are|was|be) let go": ("is discarded", "The lock is let go."),
    r"besides? (the|a|an|each|its|their)": ("next to, in addition to", "It is beside the inventory."),
    r"anew": ("again", "The file is made anew."),
    r"goes on|going on|go on": ("continues", "The script goes on."),
    r"the former": ("the previous", "The former rules stay."),
    r"simply|please|note that": ("leave it out", "Simply run it."),
    r"one more line": ("this line", "One more line is enough."),
    r"root's rights|administrator's rights": ("root, administrator rights", "It needs root's rights."),
    r"gets? (in|out) (too|through)": ("can connect", "Others get in too."),
    r"(?<=[.:]\s)who (wants|controls|has|needs|can)": ("if you want", "It stops. Who wants it writes a line."),
    r"behaviour|colour|licence|neighbour|recognise[ds]?|enrolment|log-ins?": ("American spelling", "The licence is its neighbour."),
}


MARK = "\N{CURRENCY SIGN}"


def blank(found: re.Match[str]) -> str:
    """Return as many lines as the match has, without its text."""
    return re.sub(r"[^\n]", MARK, found.group())


def prose(text: str) -> str:
    """Return a page without its code, which is replaced so that every other character keeps its place."""
    code = code_lines(text)
    lines = (re.sub(r"[^\n]", MARK, line) if number in code else line for number, line in enumerate(text.splitlines(keepends=True)))
    return re.sub(r"`[^`]*`", blank, "".join(lines))


def occurrences(pattern: str, text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each place in prose that a pattern of PHRASES matches."""
    for found in re.finditer(rf"\b(?:{pattern})\b".replace(" ", r"\s+"), prose(text), re.IGNORECASE):
        yield text.count("\n", 0, found.start()) + 1, " ".join(found.group().split())


@pytest.mark.parametrize("pattern", PHRASES)
def test_a_phrase_is_on_no_page(pattern: str) -> None:
    found = [
        f"{page.relative_to(CHECKOUT)}:{line}: {words}" for page in PAGES for line, words in occurrences(pattern, page.read_text("utf-8"))
    ]
    assert not found, f"write: {PHRASES[pattern][0]}\n" + "\n".join(found)


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.name)
def test_no_page_has_a_half_of_a_merge(page: Path) -> None:
    assert re.findall(r"^(?:<{7} .*|={7}|>{7} .*)$", page.read_text("utf-8"), re.M) == []


def pieces(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each string with several words, docstrings included, and of each comment of a Python file."""
    text = path.read_text("utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def test_no_message_docstring_or_comment_has_such_a_phrase() -> None:
    found = [
        f"{path.relative_to(CHECKOUT)}:{line}: {words}, write: {PHRASES[pattern][0]}"
        for path in sorted(SOURCE.rglob("*.py"))
        for line, text in pieces(path)
        for pattern in PHRASES
        for _, words in occurrences(pattern, text)
    ]
    assert not found, "\n".join(found)


def script_pieces(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each comment of a script, and of each literal of several words."""
    for number, line in enumerate(text.splitlines(), 1):
        comment = re.search(r"(?:^|\s)# (.*)", line)
        if comment:
            yield number, comment[1]
        for literal in re.findall(r"'([^']*\s[^']*)'", line[: comment.start()] if comment else line):
            yield number, literal


def test_no_script_has_such_a_phrase() -> None:
    found = [
        f"{path.relative_to(CHECKOUT)}:{number}: {words}, write: {PHRASES[pattern][0]}"
        for path in SCRIPTS
        for number, text in script_pieces(path.read_text("ascii"))
        for pattern in PHRASES
        for _, words in occurrences(pattern, text)
    ]
    assert not found, "\n".join(found)


def test_the_text_of_a_script_is_read() -> None:
    text = "# It is told.\nfail code 'It is told' name \"$x\"   # of others\nx='told'\n"
    assert list(script_pieces(text)) == [(1, "It is told."), (2, "of others"), (2, "It is told")]


@pytest.mark.parametrize("pattern", PHRASES)
def test_a_phrase_would_be_found(pattern: str) -> None:
    assert [line for line, _ in occurrences(pattern, f"# A page\n\n{PHRASES[pattern][1]}\n")][:1] == [3]


def test_code_is_not_prose() -> None:
    text = "Run this:\n\n    echo tells\n\n```text\ntells\n```\n\nand `tells`, which tells.\n"
    assert list(occurrences("tells|told", text)) == [(9, "tells")]
    nested = "1.  Run:\n\n        echo tells\n\n    It tells.\n\n- This\n  tells.\n"
    assert list(occurrences("tells|told", nested)) == [(5, "tells"), (8, "tells")]
    assert list(occurrences("of its own", "in a session of\nits own.\n")) == [(1, "of its own")]


def test_the_readme_is_short() -> None:
    assert len((CHECKOUT / "README.md").read_text("utf-8").splitlines()) <= 150


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", blank, text, flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        anchor = re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
        count = 0
        while f"{anchor}-{count}".removesuffix("-0") in found:
            count += 1
        found.add(f"{anchor}-{count}".removesuffix("-0"))
    return found


def links(text: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the target of each link of a page to something in the repository."""
    for found in re.finditer(r"\]\(([^)\s]+)\)", prose(text)):
        if not re.match(r"https?:", found.group(1)):
            yield text.count("\n", 0, found.start()) + 1, found.group(1)


def leads_nowhere(page: Path, target: str) -> bool:
    name, _, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    return not path.exists() or (bool(anchor) and anchor not in anchors(path.read_text("utf-8")))


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_a_link_leads_somewhere(page: Path) -> None:
    found = [
        f"{page.relative_to(CHECKOUT)}:{line}: {target}" for line, target in links(page.read_text("utf-8")) if leads_nowhere(page, target)
    ]
    assert not found, "\n".join(found)


def too_long(text: str) -> Iterator[int]:
    """Yield the numbers of the lines of prose with more than 120 columns. A single word cannot be wrapped."""
    code = code_lines(text)
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > COLUMNS and number - 1 not in code and not line.startswith("|") and " " in line.strip()[2:]:
            yield number


@pytest.mark.parametrize("page", WRAPPED, ids=lambda page: page.relative_to(CHECKOUT).as_posix())
def test_prose_is_wrapped(page: Path) -> None:
    found = [f"{page.relative_to(CHECKOUT)}:{line}" for line in too_long(page.read_text("utf-8"))]
    assert not found, f"wrap at {COLUMNS} columns:\n" + "\n".join(found)


def test_a_long_line_would_be_found() -> None:
    long = "word " * 30
    assert list(too_long(f"{long}\n\n    {long}\n\n| {long} |\n\n- {long}\n")) == [1, 7]


def test_a_broken_link_would_be_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n\n## What's `new` here?\n\n## Twice\n\n## Twice\n\n[a](#whats-new-here), [b](#twice-1) and\n[c](gone.md).\n", "utf-8"
    )
    assert [target for _, target in links(page.read_text("utf-8")) if leads_nowhere(page, target)] == ["gone.md"]
    assert leads_nowhere(page, "page.md#twice-2") and not leads_nowhere(page, "page.md#twice")
    assert list(links("[a](https://example.com/x) `[b](c)` [d](e)\n")) == [(1, "e")]


def test_every_page_is_in_the_readme() -> None:
    named = {target.partition("#")[0] for _, target in links((CHECKOUT / "README.md").read_text("utf-8"))}
    pages = set(LINKING) - set(TRANSLATED)
    assert {page.relative_to(CHECKOUT).as_posix() for page in pages} - named == {"README.md", "STYLE.md"}
