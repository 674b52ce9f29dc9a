"""Mode check: whether the host reaches what it would download, over real TLS, through a proxy, and without TLS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import authority
from tests.endless import endless
from tests.linux import parts
from tests.ports import free_port
from tests.served import served
from tests.tls_server import server


@dataclass(frozen=True)
class Pem:
    certificate: Path
    key: Path


PAGE = '<a href="../../small_Tool.x-1.0-py3-none-any.whl">small_Tool.x-1.0-py3-none-any.whl</a>'  # no line feed at its end
LOGIN = "<html><body><h1>Welcome to the hotel</h1><form>Room: <input></form></body></html>\n"


def check(url: str, before: str = "") -> dict[str, Any]:
    code = f'RUN_MODE=check RUN_STEP=preflight\n{before}\nrequire package_index assert_page_answers "$1" small-tool-x 1.0+cpu'
    done = parts.run(code, url)
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.decode("ascii").splitlines()
    finding: dict[str, Any] = json.loads(line)
    return finding


def trusted(folder: Path, names: tuple[str, ...] = ("localhost",)) -> tuple[Pem, str]:
    """A certificate that an authority has signed, and what makes the script trust this authority."""
    root = authority.root("An Inspecting Proxy")
    key = authority.ec_key()
    files = Pem(folder / "server.pem", folder / "key.pem")
    files.certificate.write_text(authority.pem(root.sign(key.public_key(), names)))
    files.key.write_text(authority.key_pem(key))
    (folder / "ca.pem").write_text(authority.pem(root.certificate))
    return files, f"AUTHORITIES=({folder}/ca.pem)"


@contextmanager
def https(folder: Path, status: str, names: tuple[str, ...] = ("localhost",), page: str = PAGE) -> Iterator[tuple[str, list[str], str]]:
    """A server whose certificate an authority has signed: its port, the heads of requests, and what makes the script trust it."""
    files, trust = trusted(folder, names)
    with server(files, lambda head: f"HTTP/1.1 {status}\r\nContent-Length: {len(page)}\r\n\r\n{page}".encode()) as (port, heads):
        yield f"https://localhost:{port}/simple/pip/", heads, trust


def test_a_download_that_answers(tmp_path: Path) -> None:
    with https(tmp_path, "200 OK") as (url, heads, trust):
        finding = check(url, trust)
    assert (finding["state"], finding["code"], finding["values"]["status"]) == ("ok", "url-answers", "200")
    assert heads[-1].startswith("GET /simple/pip/ HTTP/1.0\r\nHost: localhost:")


@pytest.mark.parametrize(
    ("status", "page", "state", "code"),
    [
        ("200 OK", LOGIN, "failed", "page-without-package"),
        ("200 OK", PAGE.replace("1.0", "1.0.1"), "failed", "page-without-package"),
        ("200 OK", PAGE.replace("1.0", "1.0%2Bcpu"), "ok", "url-answers"),
        ("302 Found", LOGIN, "unknown", "url-redirects"),
    ],
)
def test_a_page_that_does_not_offer_the_package(tmp_path: Path, status: str, page: str, state: str, code: str) -> None:
    """A login page of the network answers with status 200, or redirects to itself."""
    with https(tmp_path, status, page=page) as (url, _, trust):
        finding = check(url, trust)
    assert (finding["state"], finding["code"]) == (state, code)
    assert state == "ok" or "in a browser on this host" in finding["todo"]


@pytest.mark.parametrize(("name", "code"), [("127.0.0.1", "url-answers"), ("127.0.0.2", "url-does-not-answer")])
def test_a_certificate_for_an_address(name: str, code: str, tmp_path: Path) -> None:
    with https(tmp_path, "200 OK", (name,)) as (url, _, trust):
        assert check(url.replace("localhost", "127.0.0.1"), trust)["code"] == code


def test_a_download_that_is_refused(tmp_path: Path) -> None:
    with https(tmp_path, "403 Forbidden") as (url, _, trust):
        finding = check(url, trust)
    assert (finding["state"], finding["values"]["status"]) == ("failed", "403") and "packages.index_url" in finding["todo"]


def test_a_certificate_that_the_host_does_not_trust(tmp_path: Path) -> None:
    with https(tmp_path, "200 OK") as (url, heads, _):
        finding = check(url, "AUTHORITIES=(/etc/ssl/certs/ca-certificates.crt)")
        assert not any(heads), "nothing is asked of a server that is not trusted"
    assert (finding["state"], finding["code"]) == ("failed", "url-does-not-answer") and "certificate" in finding["text"]


@pytest.mark.parametrize("part", [b"<p>Welcome to the hotel</p>\n" * 5000, b"<p>" * 50000], ids=["lines", "one line"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_page_that_never_ends_does_not_fill_the_memory(scheme: str, part: bytes, tmp_path: Path) -> None:
    files, trust = trusted(tmp_path)
    with endless(part, files if scheme == "https" else None) as port:
        finding = check(f"{scheme}://localhost:{port}/simple/", f"{trust}\nLONGEST_PAGE=2000000")
    assert (finding["state"], finding["code"]) == ("unknown", "page-read-in-part")
    assert 2000000 <= int(finding["values"]["bytes"]) <= 2010000 and "in a browser on this host" in finding["todo"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_page_that_is_too_slow(scheme: str, tmp_path: Path) -> None:
    files, trust = trusted(tmp_path)
    with endless(b"<p>", files if scheme == "https" else None, pause=0.2) as port:
        finding = check(f"{scheme}://localhost:{port}/simple/", f"{trust}\nDOWNLOAD_SECONDS=1")
    assert (finding["state"], finding["code"]) == ("unknown", "page-read-in-part")


def test_without_tls_and_through_a_proxy(tmp_path: Path) -> None:
    for name, page in (("simple", PAGE), ("login", LOGIN)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(page)
    with served(tmp_path) as url:
        assert check(f"{url}simple/")["values"]["status"] == "200"
        assert check(f"{url}login/")["code"] == "page-without-package"
        through = check("http://index.invalid/simple/", f"NB_DOWNLOADS_PROXY={url}")
        assert through["values"].get("status") == "404", "the proxy was asked"


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nobody_answers(scheme: str) -> None:
    finding = check(f"{scheme}://127.0.0.1:{free_port()}/simple/")
    assert (finding["state"], finding["code"]) == ("failed", "url-does-not-answer") and "downloads.proxy" in finding["todo"]


def test_a_password_is_not_sent_and_not_shown() -> None:
    finding = check("https://anna:geheim@index.example.com/simple/")
    assert finding["state"] == "unknown" and "geheim" not in json.dumps(finding)


def test_of_a_mirror_the_page_with_the_wheels_is_asked_for(tmp_path: Path) -> None:
    with https(tmp_path, "200 OK") as (url, heads, trust):
        mirror = url.removesuffix("/simple/pip/")
        settings = (
            f"NB_DOWNLOADS_SOURCE=mirror MIRROR_PAGE={mirror}/wheels.html LOCK_MARK=/nonexistent/lock LOCK=('small-tool.x==1.0 --hash')"
        )
        done = parts.run(f"RUN_MODE=check RUN_STEP=preflight\n{trust}\n{settings}\ncheck_downloads")
    (finding,) = map(json.loads, done.stdout.decode("ascii").splitlines())
    assert (finding["name"], finding["code"], finding["state"]) == ("package_index", "url-answers", "ok")
    assert heads[-1].startswith("GET /wheels.html HTTP/1.0\r\n")


@pytest.mark.parametrize(
    ("setting", "code"), [("", "default-index-not-checked"), ("http://127.0.0.1:{port}/simple", "url-does-not-answer")]
)
def test_only_an_index_of_the_inventory_is_asked(setting: str, code: str) -> None:
    setting = setting.format(port=free_port())
    settings = f"NB_PACKAGES_INDEX_URL={setting} NB_PACKAGES_SOURCE=lock LOCK_MARK=/nonexistent/lock LOCK=('numpy==2.3.5 --hash')"
    done = parts.run(f"RUN_MODE=check RUN_STEP=preflight\n{settings}\ncheck_downloads")
    (finding,) = map(json.loads, done.stdout.decode("ascii").splitlines())
    assert (finding["name"], finding["code"]) == ("package_index", code)
    assert finding["state"] == ("failed" if setting else "unknown") and "packages.index_url" in finding["todo"]
