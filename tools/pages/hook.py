"""A hook of MkDocs (mkdocs.yml): the pages and files outside docs/ that the site has too, and links that fit both GitHub and the site.

README.md is the home page. A link from docs/ to `../FILE`, and one from a page of the root to `docs/FILE`, leads to FILE in the site.

The site is built once per language. A page without a translation is English in all of them. A translated page has the anchors of
its English page, too, because English pages link to them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

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
    "ps_scripts/ssh-bootstrap.ps1",
    "ps_scripts/launcher.ps1",
    "linux_scripts/bootstrap.sh",
    "linux_scripts/launcher.sh",
    "tools/first-contact.ps1",
)
NAMES = {"en": "English", "fr": "Français", "ja": "日本語"}

LINK = re.compile(r"(\]\()((?:\.\./)?[\w./-]+)((?:#[\w-]*)?\))")
CODE_IN_TABLE = re.compile(r"`[^`\n]*\\\|[^`\n]*`")
FENCE = re.compile(r"^(```\w+) \w+$", re.MULTILINE)
HEADING = re.compile(r"^#{2,} (.+)$", re.MULTILINE)
TRANSLATED = re.compile(r"([\w-]+)\.(fr|ja)\.md")


@event_priority(-200)  # after the plugin i18n, which keeps only what is in docs/
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is outside docs/. The pages are in each language, in English."""
    language = config.plugins["i18n"].current_language
    for name, place in PAGES.items():
        page = File.generated(config, place, content=(ROOT / name).read_text("utf-8"))
        page.dest_uri = folder_of(language) + page.dest_uri
        files.append(page)
    for name in LINKED:
        files.append(File.generated(config, name, content=(ROOT / name).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Return the page as MkDocs reads it: links within the site, `|` in the code of a table, fences with one word, English anchors."""
    if found := TRANSLATED.fullmatch(page.file.src_uri):
        markdown = with_anchors(markdown, (ROOT / "docs" / f"{found[1]}.md").read_text("utf-8"))
    markdown = LINK.sub(lambda found: f"{found[1]}{place(found[2])}{found[3]}", markdown)
    markdown = CODE_IN_TABLE.sub(lambda found: found[0].replace("\\|", "|"), markdown)
    return FENCE.sub(r"\1", markdown)


@event_priority(-200)  # after the plugin, whose links begin with a slash, which not every place of the site allows
def on_page_context(context: Any, page: Page, config: MkDocsConfig, **_: Any) -> Any:
    """Link the page to itself in the other languages."""
    own = folder_of(config.plugins["i18n"].current_language)
    here = page.url.removeprefix(own).removeprefix("./")
    config.extra.alternate = [  # as an attribute: so the plugin sets it
        {"name": name, "link": (folder_of(language) + here) or "./", "lang": language} for language, name in NAMES.items()
    ]
    return context


def folder_of(language: str) -> str:
    """Return the folder of a language in the site, with a slash; English is in the root."""
    return "" if language == "en" else f"{language}/"


def place(target: str) -> str:
    """Return where the site has a file that a page names relative to itself."""
    target = target.removeprefix("../").removeprefix("docs/")
    return PAGES.get(target, target)


def with_anchors(translated: str, english: str) -> str:
    """Return a translated page with the anchor of the English heading before each of its headings, which have the same order."""
    anchors = iter([anchor(heading) for heading in HEADING.findall(english)])
    return HEADING.sub(lambda found: f'<a id="{next(anchors)}"></a>\n\n{found[0]}', translated)


def anchor(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
