"""A notebook as a person sees it: a headless Chromium that trusts one certificate, logs in, runs a cell, looks at the figure.

    NOTEBOOK_PASSWORD=... python -m tests.browser https://HOST:PORT CERTIFICATE.pem NOTEBOOKS_FOLDER PICTURES_FOLDER

does `see_figure` in a process of its own (in a network namespace, say), prints what was seen as JSON and ends with 0.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from nbserver.verify import picture
from tests.checkout import CHECKOUT, PYTHON_PATH

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SECONDS = 300  # for each thing that is waited for: under Wine a kernel takes twenty

COLOUR = (199, 21, 133)
CELL = f"""\
import numpy as np
import matplotlib.pyplot as plt

x = np.linspace(0, 2 * np.pi, 200)
plt.fill_between(x, np.sin(x), color="#{bytes(COLOUR).hex()}")
plt.title("sin x, NumPy %s" % np.__version__)
plt.show()"""

_OUTPUT = ".jp-OutputArea-output img"


@dataclass(frozen=True)
class Seen:
    """What Chromium saw: the TLS version, the figure's size in its PNG and on the screen (pixels), what `Watched` has."""

    protocol: str
    size: tuple[int, int]
    shown: tuple[int, int]
    security: list[str]
    requested: list[str]


@dataclass(frozen=True)
class Watched:
    """A page, what Chromium's log said of the kind "security" about it, and the origins that it asked."""

    page: Page
    security: list[str] = field(default_factory=list)
    requested: set[str] = field(default_factory=set)


def missing() -> str:
    """What this machine lacks for a browser, "" where nothing."""
    lacking = [] if find_spec("playwright") else ["the package playwright (the extra `test-all`)"]
    lacking += [] if shutil.which("chromium") else ["chromium (Debian package chromium)"]
    return f"a browser needs {' and '.join(lacking)}" if lacking else ""


def spki(certificate: Path) -> str:
    """The pin of a certificate (PEM; the first of a chain): SHA-256 of its SubjectPublicKeyInfo, in base64 (RFC 7469, 2.4)."""
    key = x509.load_pem_x509_certificates(certificate.read_bytes())[0].public_key()
    return base64.b64encode(hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()).decode()


@contextmanager
def chromium(pin: str, host: str) -> Iterator[Watched]:
    """An empty page of a fresh Chromium, which forgives the certificate with this pin everything and others nothing.

    It reaches `host` only, so a page that needs something from elsewhere fails.
    """
    arguments = [
        f"--ignore-certificate-errors-spki-list={pin}",
        f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {host}",
        "--no-proxy-server",
    ]
    with launched(arguments) as browser:
        page = opened(browser, viewport={"width": 1280, "height": 900})
        watched = Watched(page)
        page.on("request", lambda request: watched.requested.add(_origin(request.url)))
        log = page.context.new_cdp_session(page)
        log.on("Log.entryAdded", lambda event: _keep_security(event["entry"], watched.security))
        log.send("Log.enable")
        yield watched


@contextmanager
def launched(arguments: Sequence[str] = ()) -> Iterator[Browser]:
    """A fresh Chromium."""
    from playwright.sync_api import sync_playwright

    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=[*arguments, *as_root])
        try:
            yield browser
        finally:
            browser.close()


def opened(browser: Browser, **context: Any) -> Page:
    """An empty page with cookies of its own, which waits `SECONDS` for each thing."""
    page = browser.new_context(**context).new_page()
    page.set_default_timeout(SECONDS * 1000)
    return page


def _origin(url: str) -> str:
    return "/".join(url.split("/", 3)[:3]) if "://" in url else url.partition(":")[0] + ":"


def _keep_security(entry: dict[str, Any], said: list[str]) -> None:
    if entry["source"] == "security":
        said.append(entry["text"])


def wait_on(page: Page) -> None:
    """Answers what Jupyter asks about a shared document while its host is busy: on top of the page, the question takes all clicks."""
    page.add_locator_handler(page.get_by_role("button", name="Continue waiting"), lambda button: button.click())


def log_in(page: Page, password: str) -> None:
    """Types the password into the login page and sends it."""
    page.fill("input[name=password]", password)
    with page.expect_navigation():
        page.click("#login_submit")


def see_figure(url: str, pin: str, password: str, folder: Path, pictures: Path) -> Seen:
    """Opens a notebook that is put into `folder`, which the server at `url` serves; runs its cell; looks at the output.

    `figure.png` (the output on the screen) and `page.png` go to `pictures`. Both notebook and kernel are removed afterwards.
    Raises ValueError where the figure is blank or not what the cell draws, playwright's errors where something does not come.
    """
    pictures.mkdir(parents=True, exist_ok=True)
    name = f"figure-{secrets.token_hex(4)}.ipynb"
    (folder / name).write_text(json.dumps(_notebook(CELL)), encoding="utf-8")
    try:
        with chromium(pin, urlsplit(url).hostname or "") as watched:
            try:
                return _see(watched, f"{url}/notebooks/{name}", password, pictures)
            finally:
                watched.page.screenshot(path=pictures / "page.png")  # where it fails, too
    finally:
        checkpoints = folder / ".ipynb_checkpoints"
        for file in (folder / name, checkpoints / f"{Path(name).stem}-checkpoint.ipynb"):
            file.unlink(missing_ok=True)
        if checkpoints.is_dir() and not any(checkpoints.iterdir()):
            checkpoints.rmdir()


@dataclass(frozen=True)
class Ran:
    """What a notebook shows after all its cells have run: the number of outputs of each kind, and the text of all."""

    pictures: int
    sounds: int
    animations: int
    frames: int
    errors: int
    text: str


def run_all(url: str, pin: str, password: str, name: str, picture: Path, *, frame_has: str = "") -> Ran:
    """Opens a notebook that the server at `url` has, runs all cells from the menu, and looks at them; the page goes to `picture`.

    With `frame_has`, the page in the notebook's frame must have this text. Raises playwright's errors if something does not come.
    """
    with chromium(pin, urlsplit(url).hostname or "") as watched:
        page = watched.page
        page.set_viewport_size({"width": 1280, "height": 5000})
        page.goto(f"{url}/notebooks/{name}")
        with page.expect_websocket(lambda socket: "/channels" in socket.url):
            log_in(page, password)
        page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        page.click(".jp-CodeCell .cm-content")
        page.click(".lm-MenuBar-itemLabel >> text=Run")
        page.click(".lm-Menu-itemLabel >> text=/^Run All Cells$/")
        page.wait_for_function(_ALL_RAN)
        page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        if frame_has:
            page.frame_locator(".jp-OutputArea-output iframe").locator(f"text={frame_has}").first.wait_for()
        counts = [page.locator(selector).count() for selector in _OUTPUTS]
        text = "\n".join(page.locator(".jp-OutputArea-output[data-mime-type*=text], .jp-OutputArea-output pre").all_inner_texts())
        page.screenshot(path=picture)
        page.evaluate(_END_KERNEL)
    return Ran(*counts, text)


def type_in_both(url: str, pin: str, password: str, name: str, picture: Path) -> tuple[str, str]:
    """Opens a notebook in two browsers, types into its first cell in each of them, and waits until the other one shows it.

    Returns the cell as both show it then; the page of the second goes to `picture`. Raises playwright's errors if something does not come.
    """
    with chromium(pin, urlsplit(url).hostname or "") as watched:
        first, browser = watched.page, watched.page.context.browser
        assert browser, "it belongs to a browser"
        second = opened(browser, viewport={"width": 1280, "height": 900})
        for page in (first, second):
            wait_on(page)
            page.goto(f"{url}/notebooks/{name}")
            log_in(page, password)
            page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
        for page, other, text in ((first, second, "typed_by_the_first"), (second, first, "typed_by_the_second")):
            page.click(_FIRST_CELL)
            page.keyboard.press("Control+End")
            page.keyboard.type(f"\n{text}")
            other.wait_for_selector(f"{_FIRST_CELL} >> text={text}")
        second.screenshot(path=picture)
        shown = first.inner_text(_FIRST_CELL), second.inner_text(_FIRST_CELL)
        first.evaluate(_END_KERNEL)
    return shown


_FIRST_CELL = ":nth-match(.jp-CodeCell .cm-content, 1)"
_ALL_RAN = """() => {
    const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(prompt => prompt.textContent);
    return prompts.at(-1) === `[${prompts.length}]:`;
}"""
_OUTPUTS = (
    ".jp-RenderedImage img",
    ".jp-OutputArea-output audio",
    ".jp-OutputArea-output .animation",
    ".jp-OutputArea-output iframe",
    ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr'], .jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']",
)


def see_figure_apart(url: str, password: str, certificate: Path, folder: Path, pictures: Path) -> subprocess.CompletedProcess[str]:
    """The same in a process of its own: what it prints is what was seen, as JSON."""
    return subprocess.run(
        [sys.executable, "-m", "tests.browser", url, str(certificate), str(folder), str(pictures)],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": PYTHON_PATH, "NOTEBOOK_PASSWORD": password},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )


def _see(watched: Watched, url: str, password: str, pictures: Path) -> Seen:
    page = watched.page
    answer = page.goto(url)
    details = answer and answer.security_details()
    assert details, f"{url} came without TLS"
    with page.expect_websocket(lambda socket: "/channels" in socket.url):  # before, the page calls a kernel it lacks idle
        log_in(page, password)
    page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]')
    page.click(".jp-CodeCell .cm-content")
    page.keyboard.press("Shift+Enter")
    page.wait_for_function(f"document.querySelector('{_OUTPUT}')?.complete")
    image = page.locator(_OUTPUT)
    width, height = image.evaluate("image => [image.naturalWidth, image.naturalHeight]")
    figure = image.screenshot(path=pictures / "figure.png")
    shown = picture.check(figure, colours=[COLOUR])
    page.evaluate(_END_KERNEL)
    return Seen(str(details.get("protocol")), (width, height), shown, watched.security, sorted(watched.requested))


_END_KERNEL = """async () => {
    const token = document.cookie.match(/_xsrf=([^;]*)/)[1];
    const path = decodeURIComponent(location.pathname.split('/').pop());
    for (const session of await (await fetch('/api/sessions')).json())
        if (session.path === path)
            await fetch('/api/sessions/' + session.id, {method: 'DELETE', headers: {'X-XSRFToken': token}});
}"""


def _notebook(source: str) -> dict[str, Any]:
    """One code cell without outputs (nbformat 4.5)."""
    return {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        "cells": [{"cell_type": "code", "id": "figure", "metadata": {}, "execution_count": None, "outputs": [], "source": source}],
    }


def main() -> None:
    url, certificate, folder, pictures = sys.argv[1:]
    seen = see_figure(url, spki(Path(certificate)), os.environ["NOTEBOOK_PASSWORD"], Path(folder), Path(pictures))
    print(json.dumps(asdict(seen)))


if __name__ == "__main__":
    main()
