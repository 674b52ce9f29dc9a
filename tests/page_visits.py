"""A self-contained page as people open it: on a wide light screen, on a narrow dark one, and without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests import browser

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@dataclass
class Visits:
    """What Chromium asked for, and what it said in its console, while somebody looked at the page."""

    path: Path
    chromium: Browser
    requested: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def on_two_screens(self, narrow: int) -> Iterator[Page]:
        """The page on a wide light screen, then on a dark one that is `narrow` pixels wide. It fits both, and has their colours."""
        for scheme, width in (("light", 1280), ("dark", narrow)):
            page = browser.opened(self.chromium, viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce")
            page.on("request", lambda request: self.requested.append(request.url))
            page.on("console", lambda message: self.said.append(message.text))
            page.goto(self.path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"the page is wider than {width} pixels"
            light = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
            assert light == (scheme == "light")
            yield page
            page.context.close()

    def without_scripts(self) -> Page:
        page = browser.opened(self.chromium, java_script_enabled=False)
        page.goto(self.path.as_uri())
        return page


@contextmanager
def visits(path: Path) -> Iterator[Visits]:
    """Visits to the page of a file. In the end, Chromium has asked for nothing else, and said nothing."""
    with browser.launched() as chromium:
        found = Visits(path, chromium)
        yield found
    assert {url for url in found.requested if not url.startswith("data:")} == {path.as_uri()} and not found.said
