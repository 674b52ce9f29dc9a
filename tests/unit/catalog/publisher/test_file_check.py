"""Asking publishers for the headers of their files: real TLS, and servers that misbehave."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nbserver.base.errors import UsageError
from nbserver.catalog.publisher import file_check
from tests.notebook_server import Forwarder
from tests.ports import free_port
from tests.publishers import Answer, Site, publishers
from tests.served import served

Write = Callable[[bytes], object]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with publishers(tmp_path_factory.mktemp("publishers")) as site:
        yield site


@pytest.fixture
def site(server: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    server.publish()
    return server


def answer(site: Site, path: str, answered: Answer | None = None, **options: float) -> file_check.Answer:
    if answered:
        site.answers[f"/{path}"] = answered
    url = site.url + path
    return file_check.ask([url], site.ca_file, **options)[url]


def reason(found: file_check.Answer) -> str:
    assert found.error is not None and found.status is None and not found.is_there and not found.is_gone
    return found.error.what


def test_a_file_that_is_there(site: Site) -> None:
    found = answer(site, "x.zip", Answer(b"12345"))
    assert (found.status, found.size, found.is_there) == (200, 5, True)
    assert site.asked == [f"HEAD {site.url}x.zip"] and "authorization" not in site.headers


def test_a_file_that_is_gone(site: Site) -> None:
    assert answer(site, "gone.zip").is_gone and answer(site, "gone2.zip", Answer(status=410)).is_gone


@pytest.mark.parametrize("status", [403, 405, 501])
def test_a_server_that_refuses_head_is_asked_for_one_byte(site: Site, status: int) -> None:
    site.answers["HEAD /x.zip"] = Answer(status=status)
    found = answer(site, "x.zip", Answer(b"1", status=206, headers={"Content-Range": "bytes 0-0/12345"}))
    assert (found.size, found.is_there) == (12345, True) and "range" in site.headers


def test_a_server_that_ignores_the_range_is_not_read(site: Site) -> None:
    site.answers["HEAD /x.zip"] = Answer(status=405)

    def endless(write: Write) -> None:
        while True:
            write(b" " * 65536)

    assert answer(site, "x.zip", Answer(endless)).is_there


def test_redirects(site: Site) -> None:
    site.answers["/b.zip"] = Answer(b"123")
    assert answer(site, "a.zip", Answer(status=302, headers={"Location": "/b.zip"})).size == 3
    assert "more than 5 redirects" in reason(answer(site, "c.zip", Answer(status=302, headers={"Location": "/c.zip"})))
    for location in (site.url.replace("https", "http") + "b.zip", "file:///etc/passwd", f"https://a:b@127.0.0.1:{site.port}/b.zip"):
        assert "is not allowed" in reason(answer(site, "d.zip", Answer(status=302, headers={"Location": location})))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 12",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nLocation: \xff\r\n",
    ],
    ids=["nothing", "another-protocol", "cut", "many-headers", "long-header", "no-status", "headers-cut"],
)
def test_what_is_no_answer(site: Site, raw: bytes) -> None:
    found = answer(site, "x.zip", Answer(lambda write: write(raw)))
    assert found.error is not None or (found.status == 200 and found.size in (None, 12))


@pytest.mark.parametrize("length", ["-1", "1e9", "9" * 30, "", "x"])
def test_a_length_that_is_none(site: Site, length: str) -> None:
    assert answer(site, "x.zip", Answer(headers={"Content-Length": length})).size is None


def test_a_server_that_drips_is_given_up(site: Site) -> None:
    over = threading.Event()

    def drip(write: Write) -> None:
        write(b"HTTP/1.1 200 OK\r\n")
        while not over.wait(0.05):
            write(b"X")

    begin = time.monotonic()
    try:
        assert "in time" in reason(answer(site, "x.zip", Answer(drip), whole_seconds=1))
    finally:
        over.set()
    assert time.monotonic() - begin < 30


def test_servers_that_cannot_be_asked(site: Site) -> None:
    url = f"https://127.0.0.1:{free_port()}/x.zip"
    assert "refused the connection" in reason(file_check.ask([url], None)[url])
    url = f"{site.url}x.zip"
    assert "is not trusted" in reason(file_check.ask([url], None)[url])
    url = "https://no-such-host.invalid/x.zip"
    assert "could not resolve" in reason(file_check.ask([url], None)[url])


def test_many_urls_a_few_at_once(site: Site) -> None:
    now, most, lock = 0, 0, threading.Lock()
    reached = threading.Event()

    def slow(write: Write) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
            if now == file_check.AT_ONCE:
                reached.set()
        reached.wait(20)
        write(b"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n")
        with lock:
            now -= 1

    urls = [f"{site.url}{number}.zip" for number in range(9)]
    for number in range(9):
        site.answers[f"/{number}.zip"] = Answer(slow)
    found = file_check.ask([*urls, urls[0]], site.ca_file)
    assert list(found) == urls and all(one.is_gone for one in found.values()) and most == file_check.AT_ONCE


def test_a_mirror_without_tls(site: Site, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"123")
    with served(tmp_path) as url:
        assert file_check.ask([f"{url}x.zip"], None)[f"{url}x.zip"].size == 3


def test_through_a_proxy(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with Forwarder(site.port, proxy=True) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert answer(site, "x.zip", Answer(b"1")).size == 1
        assert proxy.sent[0].startswith(b"CONNECT 127.0.0.1:")
    monkeypatch.setenv("HTTPS_PROXY", f"http://someone:hunter2@127.0.0.1:{free_port()}")
    said = reason(answer(site, "x.zip"))
    assert "could not connect through the proxy" in said and "hunter2" not in said


def test_a_ca_file_without_certificates(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(UsageError, match="no PEM certificate"):
        file_check.ask(["https://127.0.0.1/"], tmp_path / "ca.pem")
