"""The translated pages of docs/: each follows its English page as it is now, with the same headings, code, and links."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.checkout import CHECKOUT
from tests.markdown_code import code_lines
from tools import translated_pages
from tools.translated_pages import english_of

PAGES = translated_pages.translated(CHECKOUT / "docs")
COMMENT = re.compile(r"(^|\s+)# .*$")


def parts(text: str) -> dict[str, list[str]]:
    """Return what a translation keeps: the levels of headings, the code without comments, the names in backticks, and the links."""
    code = code_lines(text)
    lines = list(enumerate(text.splitlines()))
    prose = "\n".join("" if number in code else line for number, line in lines)
    return {
        "headings": re.findall(r"^#+(?= )", prose, re.MULTILINE),
        "code": list(filter(None, (COMMENT.sub("", line) for number, line in lines if number in code))),
        "names": sorted(" ".join(name.split()) for name in re.findall(r"`[^`]+`", prose)),
        "links": sorted(re.sub(r"#.*|\.\w\w(?=\.md)", "", target) for target in re.findall(r"\]\(([^)\s]+)\)", prose)),
    }


def test_no_translated_page_is_stale() -> None:
    stale = [page.name for page in translated_pages.stale(CHECKOUT / "docs")]
    assert not stale, f"translate what changed, then run: python tools/translated_pages.py {' '.join(f'docs/{name}' for name in stale)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_translated_page_has_what_the_english_one_has(page: Path) -> None:
    assert parts(page.read_text("utf-8")) == parts(english_of(page).read_text("utf-8"))


def test_a_stale_page_is_found_and_renewed(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(translated_pages, "DOCS", tmp_path)
    (tmp_path / "page.md").write_text("# A page\n", "utf-8")
    page = tmp_path / "page.fr.md"
    page.write_text("# Une page\n", "utf-8")
    assert translated_pages.main([]) == 1 and "page.fr.md is stale: translate what changed in page.md" in capsys.readouterr().out
    assert translated_pages.main([str(page)]) == 0 and page.read_text("utf-8").endswith(" -->\n\n# Une page\n")
    (tmp_path / "page.md").write_text("# Another page\n", "utf-8")
    assert translated_pages.stale(tmp_path) == [page]
    assert translated_pages.main([str(page)]) == 0 and page.read_text("utf-8").count("Translation of") == 1


def test_what_a_translation_loses_is_found() -> None:
    english = "# A page\n\nRun `up`, see [this](other.md#one).\n\n    nbserver up   # sets it up\n"
    assert parts("# Une page\n\nVoir [ceci](other.fr.md#un) et exécuter `up`.\n\n    nbserver up   # installe\n") == parts(english)
    for lost in ("`up`", "other.md", "nbserver up", "# A"):
        assert parts(english.replace(lost, "")) != parts(english), lost


def test_the_navigation_is_in_each_language() -> None:
    before, _, nav = (CHECKOUT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")
    titles = re.findall(r"^ +- ([^:\n]+):", nav, re.MULTILINE)
    for language in translated_pages.LANGUAGES:
        names = before.partition(f"locale: {language}\n")[2].partition("- locale:")[0]
        assert re.findall(r"^ {12}([^:\n]+): .", names, re.MULTILINE) == titles, language
