"""A served notebook in Chromium: what opens, for whom, and that a cell draws."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from nbserver.render.first_page import first_page
from tests import browser
from tests.notebook_server import NotebookServer, kernels, make_certificate, missing, notebook_server
from tests.tier import points
from tests.waiting import wait_until

LACKS = missing() or browser.missing()
pytestmark = pytest.mark.skipif(bool(LACKS), reason=LACKS)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NotebookServer]:
    with notebook_server(tmp_path_factory.mktemp("server")) as running:
        yield running


def url(server: NotebookServer) -> str:
    return f"https://localhost:{server.port}"


def pin(server: NotebookServer) -> str:
    return browser.spki(server.certificate.certificate)


STATUS = "path => fetch(path).then(answer => answer.status)"


def test_a_cell_draws_and_the_figure_is_on_the_screen(server: NotebookServer, tmp_path: Path) -> None:
    home = server.log.parent / "home"
    seen = browser.see_figure(url(server), pin(server), server.password, home, tmp_path)
    assert min(*seen.size, *seen.shown) > 100
    assert max(abs(natural - shown) for natural, shown in zip(seen.size, seen.shown, strict=True)) <= 2, "not scaled, not cut"
    assert seen.protocol in ("TLS 1.2", "TLS 1.3")
    assert seen.security == []
    assert seen.requested == [url(server)], "nothing comes from elsewhere"
    assert (tmp_path / "page.png").stat().st_size > 10_000
    assert kernels(server) == []
    assert not list(home.rglob("figure-*"))


def test_with_the_pin_of_another_certificate_nothing_opens(server: NotebookServer, tmp_path: Path) -> None:
    from playwright.sync_api import Error

    other = browser.spki(make_certificate(tmp_path).certificate)
    with browser.chromium(other, "localhost") as watched:
        with pytest.raises(Error, match="ERR_CERT_AUTHORITY_INVALID"):
            watched.page.goto(url(server))
        assert watched.page.locator("input[name=password]").count() == 0


def test_a_stranger_sees_the_login_page_only(server: NotebookServer) -> None:
    (server.log.parent / "home" / "plan.ipynb").write_text(json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    with browser.chromium(pin(server), "localhost") as watched:
        page = watched.page
        for path in ("/", "/tree", "/lab", "/notebooks/plan.ipynb", "/files/plan.ipynb"):
            page.goto(url(server) + path)
            assert page.url.startswith(url(server) + "/login?"), path
            assert page.locator("input[name=password]").is_visible()
            assert "plan" not in page.inner_text("body")
        assert [page.evaluate(STATUS, api) for api in ("/api/contents", "/api/kernels", "/api/sessions")] == [403, 403, 403]


def test_a_wrong_password_is_refused_in_the_page_and_the_right_one_lets_in(server: NotebookServer) -> None:
    with browser.chromium(pin(server), "localhost") as watched:
        page = watched.page
        page.goto(url(server) + "/tree")
        browser.log_in(page, server.password + "x")
        assert page.url.startswith(url(server) + "/login?")
        assert page.locator(".message.error").is_visible()
        assert page.evaluate(STATUS, "/api/contents") == 403

        browser.log_in(page, server.password)
        assert page.url == url(server) + "/tree"
        assert page.evaluate(STATUS, "/api/contents") == 200
        (session,) = (cookie for cookie in page.context.cookies() if cookie["name"].startswith("username-"))
        assert session["secure"] and session["httpOnly"]


def test_what_chromium_calls_insecure_is_noticed(server: NotebookServer) -> None:
    """`security` is not empty for want of looking."""
    with browser.chromium(pin(server), "localhost") as watched:
        watched.page.goto(url(server) + "/login")
        assert watched.security == []
        watched.page.evaluate("fetch('http://notebook.test/').catch(() => null)")
        # playwright hands out what Chromium logged while it waits for something
        assert wait_until(lambda: watched.page.wait_for_timeout(50) or [text for text in watched.security if "Mixed Content" in text])


@pytest.mark.parametrize("language", points(["en", "fr", "ja"], "ja"))
def test_the_first_page_runs_in_the_browser(server: NotebookServer, tmp_path: Path, language: str) -> None:
    """Every cell: two plots, a sound to play, a video, and a page of the server in a frame."""
    file = server.log.parent / "home" / f"Welcome-{language}.ipynb"
    file.write_text(first_page(language), "utf-8")
    seen = browser.run_all(url(server), pin(server), server.password, file.name, tmp_path / "page.png", frame_has=file.name)
    assert (seen.pictures, seen.sounds, seen.animations, seen.frames, seen.errors) == (2, 1, 1, 1, 0)
