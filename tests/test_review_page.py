"""The review page in a browser: nothing is loaded or refused, the filter works, and it fits a phone and a printed page."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbserver.approval import audit
from nbserver.approval.reference import Reference
from nbserver.review.page import page
from nbserver.review.statements import review
from tests import browser, rendered_folders
from tests.page_visits import visits
from tests.rendered_folders import put


def test_a_person_reads_the_page(tmp_path: Path) -> None:
    if browser.missing():
        pytest.skip(browser.missing())
    reference = Reference.load()
    folder = put(rendered_folders.machines(tmp_path), tmp_path / "rendered")
    path = tmp_path / "review.html"
    path.write_text(page(review(audit.checked(folder, reference), reference)), "utf-8")
    with visits(path) as visit:
        for number, opened in enumerate(visit.on_two_screens(narrow=360)):
            rows = opened.locator("tr[data-host]:visible")
            assert rows.count() == 2
            opened.fill("input[data-filter]", "LIN")
            assert rows.count() == 1 and opened.locator("output").inner_text() == "1 shown"
            opened.fill("input[data-filter]", "")
            assert rows.count() == 2
            opened.keyboard.press("Home")
            opened.evaluate("document.activeElement.blur(); getSelection().removeAllRanges()")
            opened.locator("a.skip").focus()
            opened.keyboard.press("Enter")
            opened.wait_for_function("document.activeElement.id === 'main'")
            opened.click("section:has(#calls) td a >> nth=0")
            opened.wait_for_function("location.hash.startsWith('#linux-machine-')")
            opened.locator(opened.evaluate("location.hash")).wait_for(state="visible")
            if number == 0:
                opened.emulate_media(media="print")
                assert opened.locator("nav").is_hidden() and opened.locator("#steps").is_visible()
        plain = visit.without_scripts()
        assert plain.locator("tr[data-host]:visible").count() == 2 and plain.locator("input[data-filter]").is_hidden()
