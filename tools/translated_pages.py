#!/usr/bin/env python3
"""Lists the translated pages of docs/ that are stale: the English page has changed since it was translated.

    python tools/translated_pages.py               # lists them; exits with code 1 if there is one
    python tools/translated_pages.py FILE...       # says that these pages follow the English ones as they are now

The first line of a translated page names the English page, and has its SHA-256.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
LANGUAGES = ("fr", "ja")
_FIRST = re.compile(r"<!-- Translation of ([\w-]+\.md), SHA-256 ([0-9a-f]{64}) -->\n")


def main(arguments: list[str]) -> int:
    for name in arguments:
        page = Path(name)
        page.write_text(renewed(page), "utf-8")
    found = stale(DOCS)
    for page in found:
        print(f"{page.name} is stale: translate what changed in {english_of(page).name}")
    return int(bool(found))


def translated(docs: Path) -> list[Path]:
    """Return the translated pages in a folder, sorted."""
    return sorted(page for page in docs.glob("*.md") if page.suffixes[:-1] and page.suffixes[-2][1:] in LANGUAGES)


def english_of(page: Path) -> Path:
    """Return the English page of `NAME.LANGUAGE.md`, in the same folder."""
    return page.with_name(page.name.partition(".")[0] + ".md")


def stale(docs: Path) -> list[Path]:
    """Return the translated pages whose first line does not have the name and SHA-256 of the English page now."""
    return [page for page in translated(docs) if not page.read_text("utf-8").startswith(_first_line(english_of(page)))]


def renewed(page: Path) -> str:
    """Return the text of a translated page with a first line that fits the English page now."""
    text = page.read_text("utf-8")
    return (
        _first_line(english_of(page)) + _FIRST.sub("", text, count=1) if _FIRST.match(text) else _first_line(english_of(page)) + "\n" + text
    )


def _first_line(english: Path) -> str:
    return f"<!-- Translation of {english.name}, SHA-256 {hashlib.sha256(english.read_bytes()).hexdigest()} -->\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
