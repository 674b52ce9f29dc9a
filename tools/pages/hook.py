"""A hook of MkDocs (mkdocs.yml): the pages and files outside docs/ that the site has too, and links that fit both GitHub and the site.

README.md is the home page. A link from docs/ to `../FILE`, and one from a page of the root to `docs/FILE`, leads to FILE in the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "CONTRIBUTING.md",
    "SECURITY.md": "SECURITY.md",
    "STYLE.md": "STYLE.md",
    "CHANGELOG.md": "CHANGELOG.md",
}
LINKED = (
    "nbserver.sample.toml",
    "ps_scripts/bootstrap.ps1",
    "ps_scripts/launcher.ps1",
    "linux_scripts/bootstrap.sh",
    "linux_scripts/launcher.sh",
)

LINK = re.compile(r"(\]\()((?:\.\./)?[\w./-]+)((?:#[\w-]*)?\))")
CODE_IN_TABLE = re.compile(r"`[^`\n]*\\\|[^`\n]*`")
FENCE = re.compile(r"^(```\w+) \w+$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is outside docs/."""
    for name, place in [*PAGES.items(), *((name, name) for name in LINKED)]:
        files.append(File.generated(config, place, content=(ROOT / name).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Return the page as MkDocs reads it: links within the site, `|` in the code of a table, and fences with one word."""
    markdown = LINK.sub(lambda found: f"{found[1]}{place(found[2])}{found[3]}", markdown)
    markdown = CODE_IN_TABLE.sub(lambda found: found[0].replace("\\|", "|"), markdown)
    return FENCE.sub(r"\1", markdown)


def place(target: str) -> str:
    """Return where the site has a file that a page names relative to itself."""
    target = target.removeprefix("../").removeprefix("docs/")
    return PAGES.get(target, target)
