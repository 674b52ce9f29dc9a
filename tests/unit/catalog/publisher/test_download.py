"""Reading an index over real TLS: what is followed, what is refused, and when it gives up."""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nbserver.base.errors import DownloadError, UsageError
from nbserver.catalog.publisher.download import LARGEST_INDEX, IndexDownload
from nbserver.catalog.publisher.urls import redirected
from tests.notebook_server import Forwarder, web_server
from tests.ports import free_port
from tests.publishers import Answer, Site, publishers

Write = Callable[[bytes], object]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with publishers(tmp_path_factory.mktemp("publishers")) as site:
        yield site


@pytest.fixture
def site(server: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    server.publish()
    return server


def read(site: Site, path: str = "x.json") -> bytes:
    with IndexDownload(site.ca_file) as download:
        return download(site.url + path)


def refusal(site: Site, answer: Answer) -> str:
    site.answers["/x.json"] = answer
    with pytest.raises(DownloadError) as error:
        read(site)
    message = str(error.value)
    assert message.startswith(f"{site.url}x.json: ") and "The catalog was not written" in message
    return message.removeprefix(f"{site.url}x.json: ")


def test_what_the_server_has(site: Site) -> None:
    site.answers["/x.json"] = Answer(b"{}")
    assert read(site) == b"{}"
    site.answers["/x.json"] = Answer(gzip.compress(b"[]"), headers={"Content-Encoding": "gzip"})
    assert read(site) == b"[]"


def test_the_largest_index(site: Site) -> None:
    site.answers["/x.json"] = Answer(b" " * LARGEST_INDEX)
    assert len(read(site)) == LARGEST_INDEX == 32 * 1024 * 1024
    assert refusal(site, Answer(b" " * (LARGEST_INDEX + 1))).startswith("the response is larger than 32 MB")


def test_an_endless_answer(site: Site) -> None:
    sent = 0

    def endless(write: Write) -> None:
        nonlocal sent
        while sent < 20 * LARGEST_INDEX:
            write(b" " * 1024 * 1024)
            sent += 1024 * 1024

    assert refusal(site, Answer(endless)).startswith("the response is larger than 32 MB")
    assert sent < 2 * LARGEST_INDEX, "it was left in the middle"


def test_an_endless_answer_with_a_redirect(site: Site) -> None:
    sent = 0

    def endless(write: Write) -> None:
        nonlocal sent
        while sent < 4 * LARGEST_INDEX:
            write(b" " * 1024 * 1024)
            sent += 1024 * 1024

    site.answers["/y.json"] = Answer(endless, status=302, headers={"Location": "/z.json"})
    site.answers["/z.json"] = Answer(b"{}")
    assert read(site, "y.json") == b"{}"
    assert sent < LARGEST_INDEX, "it was not read"


def test_a_small_answer_that_unpacks_to_a_large_one(site: Site) -> None:
    bomb = gzip.compress(b" " * (200 * 1024 * 1024))
    assert len(bomb) < 1024 * 1024
    assert refusal(site, Answer(bomb, headers={"Content-Encoding": "gzip"})).startswith("the response is larger than 32 MB")


def test_an_answer_that_ends_early(site: Site) -> None:
    said = refusal(site, Answer(lambda write: write(b"{}"), headers={"Content-Length": "100"}))
    assert said.startswith("the connection was lost before the response was complete")
    said = refusal(site, Answer(b"not gzip at all", headers={"Content-Encoding": "gzip"}))
    assert said.startswith("the connection was lost before the response was complete")


def test_an_answer_that_drips(site: Site) -> None:
    """A byte now and then keeps a socket's own limit from ever being reached."""
    dripping = True

    def drip(write: Write) -> None:
        while dripping:
            write(b" ")
            time.sleep(0.05)

    site.answers["/x.json"] = Answer(drip)
    try:
        with (
            IndexDownload(site.ca_file, whole_seconds=1.5) as download,
            pytest.raises(DownloadError, match="the server did not send a complete response in time"),
        ):
            download(f"{site.url}x.json")
    finally:
        dripping = False


@pytest.mark.parametrize("status", [204, 304, 401, 403, 404, 407, 500, 503])
def test_a_status_that_is_no_answer(site: Site, status: int) -> None:
    assert refusal(site, Answer(b"{}", status=status)).startswith(f"the server responded with HTTP status {status}")


def test_a_redirect_on_the_same_host(site: Site) -> None:
    site.answers["/a.json"] = Answer(status=301, headers={"Location": "/b.json"})
    site.answers["/b.json"] = Answer(status=307, headers={"Location": f"{site.url}c.json"})
    site.answers["/c.json"] = Answer(b"{}")
    assert read(site, "a.json") == b"{}"


def test_redirects_that_are_refused(site: Site) -> None:
    def to(location: str) -> str:
        return refusal(site, Answer(b"{}", status=302, headers={"Location": location})).partition(". ")[0]

    assert to(site.url.replace("https", "http") + "y.json") == "the redirect is not allowed: must begin with https://"
    assert to("https://evil.example/x.json") == "the redirect is not allowed: the redirect leads to a different host, https://evil.example"
    assert (
        to(f"https://localhost:{site.port}/y.json")
        == f"the redirect is not allowed: the redirect leads to a different host, https://localhost:{site.port}"
    )
    assert (
        to(f"https://127.0.0.1:{site.port + 1}/y.json")
        == f"the redirect is not allowed: the redirect leads to a different host, https://127.0.0.1:{site.port + 1}"
    )
    assert to("/x.json") == "the server responded with more than 3 redirects"
    assert to("/%2e%2e/y.json").startswith("the redirect is not allowed: the path must not contain")
    assert to("file:///etc/passwd").startswith("the redirect is not allowed: must begin with https://")
    assert to("https://[").startswith("the redirect is not allowed: ")
    assert refusal(site, Answer(status=302)) and len(set(site.asked)) == 1, "nothing else was ever asked for"


@pytest.mark.parametrize(
    ("start", "end", "allowed"),
    [
        ("https://github.com/a/b/raw/master/x.json", "https://raw.githubusercontent.com/a/b/master/x.json", True),
        ("https://raw.githubusercontent.com/a/b/master/x.json", "https://github.com/a/b/raw/master/x.json", False),
        ("https://github.com/a/x.json", "http://raw.githubusercontent.com/a/x.json", False),
        ("https://github.com/a/x.json", "https://raw.githubusercontent.com.evil.example/a/x.json", False),
        ("https://github.com/a/x.json", "https://raw.githubusercontent.com:8443/a/x.json", False),
        ("https://github.com/a/x.json", "https://objects.githubusercontent.com/a/x.json", False),
        ("https://www.python.org/x.json", "https://raw.githubusercontent.com/a/x.json", False),
        ("https://www.python.org/x.json", "https://www.python.org:443/y.json", True),
    ],
)
def test_the_one_redirect_to_another_host(start: str, end: str, allowed: bool) -> None:
    if allowed:
        assert redirected(start, end) == end
    else:
        with pytest.raises(ValueError, match=r"leads to a different host|must begin with https"):
            redirected(start, end)


def test_a_certificate_that_is_not_trusted(site: Site) -> None:
    site.answers["/x.json"] = Answer(b"{}")
    for ca_file in (None, site.other_ca_file):
        with IndexDownload(ca_file) as download, pytest.raises(DownloadError, match="the server's certificate is not trusted"):
            download(f"{site.url}x.json")
    assert not site.asked, "nothing was sent"
    other_name = pytest.raises(DownloadError, match=r"not trusted: .*127\.0\.0\.2")
    with Forwarder(site.port, address="127.0.0.2") as way, IndexDownload(site.ca_file) as download, other_name:
        download(f"https://127.0.0.2:{way.port}/x.json")
    assert not site.asked


def test_a_port_where_nothing_listens(site: Site) -> None:
    with IndexDownload(None) as download, pytest.raises(DownloadError, match="the server refused the connection"):
        download(f"https://127.0.0.1:{free_port()}/x.json")


def test_a_name_that_is_not_known() -> None:
    with IndexDownload(None) as download, pytest.raises(DownloadError, match="could not resolve the server's name"):
        download("https://no-such-host.invalid/x.json")


def test_a_server_without_tls(site: Site) -> None:
    with (
        web_server(None, {}) as port,
        IndexDownload(None) as download,
        pytest.raises(DownloadError, match="does not support any TLS version"),
    ):
        download(f"https://127.0.0.1:{port}/x.json")


def test_a_proxy_that_leads_nowhere(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://someone:hunter2@127.0.0.1:{free_port()}")
    with IndexDownload(None) as download, pytest.raises(DownloadError) as error:
        download("https://www.python.org/ftp/python/index-windows.json")
    assert "could not connect through the proxy set in the environment" in str(error.value)
    assert not re.search("hunter2|someone", str(error.value) + repr(error.value))


def test_the_logins_of_the_user_are_not_sent(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login someone password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    site.answers["/x.json"] = Answer(b"{}")
    assert read(site) == b"{}"
    assert "user-agent" in site.headers and not site.headers & {"authorization", "cookie"}


@pytest.mark.parametrize("content", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_an_authority_that_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ca.pem").write_bytes(content)
    with pytest.raises(UsageError, match=r"ca\.pem: the file contains no PEM certificate"):
        IndexDownload(tmp_path / "ca.pem")
