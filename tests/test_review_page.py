"""The review page in a browser: nothing is loaded or refused, the filter works, and it fits a phone and a printed page."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from nbserver.approval import audit
from nbserver.approval.reference import Reference
from nbserver.review.page import page
from nbserver.review.statements import review
from tests import browser, rendered_folders
from tests.rendered_folders import put


def test_a_person_reads_the_page(tmp_path: Path) -> None:
    if browser.missing():
        pytest.skip(browser.missing())
    from playwright.sync_api import sync_playwright

    reference = Reference.load()
    folder = put(rendered_folders.machines(tmp_path), tmp_path / "rendered")
    path = tmp_path / "review.html"
    path.write_text(page(review(audit.checked(folder, reference), reference)), "utf-8")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        requested: list[str] = []
        said: list[str] = []
        for scheme, width in (("light", 1280), ("dark", 360)):
            context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
            opened = context.new_page()
            opened.on("request", lambda request: requested.append(request.url))
            opened.on("console", lambda message: said.append(message.text))
            opened.goto(path.as_uri())
            assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"the page is wider than {width} pixels"
            light = opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
            assert light == (scheme == "light")
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
            if scheme == "light":
                opened.emulate_media(media="print")
                assert opened.locator("nav").is_hidden() and opened.locator("#steps").is_visible()
            context.close()
        plain = chromium.new_context(java_script_enabled=False).new_page()
        plain.goto(path.as_uri())
        assert plain.locator("tr[data-host]:visible").count() == 2 and plain.locator("input[data-filter]").is_hidden()
        chromium.close()
    assert set(requested) == {path.as_uri()} and not said
