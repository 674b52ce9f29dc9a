"""`nbserver mirror`: what it serves, to whom, with which certificate; and what pip and uv install from it."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nbserver import __version__
from nbserver.base.errors import ApprovalError, UsageError
from nbserver.bundle import contents, mirror_certificate, mirror_server
from nbserver.bundle.contents import File
from nbserver.catalog import mirror
from nbserver.commands import mirror as command
from tests.checkout import PYTHON_PATH
from tests.formats import validate
from tests.package_index import put_wheel
from tests.unit.bundle.test_check import put


def put_bundle(folder: Path) -> list[File]:
    """Put a bundle of a program and a real wheel into the folder."""
    put_wheel(folder.parent / "index", "small-tool", "1.0")
    (wheel,) = (folder.parent / "index" / "small-tool").glob("*.whl")
    files = [put(folder, "tool.zip", bytes(range(256)) * 10), put(folder, wheel.name, wheel.read_bytes())]
    (folder / contents.FILE_NAME).write_text(contents.to_text(files, __version__))
    (folder / mirror.PAGE).write_text(contents.page(files))
    return files


class Client:
    def __init__(self, found: command.Mirror) -> None:
        self.port = found.server.port
        self.context = ssl.create_default_context(cafile=str(found.authority))

    def connection(self) -> ssl.SSLSocket:
        return self.context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), 10), server_hostname="127.0.0.1")

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
        lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *(f"{name}: {value}" for name, value in headers.items())]
        with closing(self.connection()) as tls:
            tls.sendall("\r\n".join([*lines, "", ""]).encode())
            data = b""
            while block := tls.recv(65536):
                data += block
        head, _, body = data.partition(b"\r\n\r\n")
        status, *rest = head.decode().split("\r\n")
        return int(status.split()[1]), dict(line.split(": ", 1) for line in rest), body


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mirrored") / "bundle"
    put_bundle(folder)
    return folder


def wanted(bundle: Path) -> command.Wanted:
    return command.Wanted(bundle, "127.0.0.1", 0, None, None, ())


@pytest.fixture(scope="module")
def served(bundle: Path) -> Iterator[command.Mirror]:
    found = command.opened(wanted(bundle), lambda line: None)
    with found.server:
        thread = threading.Thread(target=found.server.serve_forever, args=(0.05,))
        thread.start()
        yield found
        found.server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def client(served: command.Mirror) -> Client:
    return Client(served)


def tool(bundle: Path) -> File:
    return next(one for one in contents.read(bundle) if one.file == "tool.zip")


def test_the_files_of_the_list_are_served(client: Client, bundle: Path) -> None:
    file = tool(bundle)
    data = (bundle / file.path).read_bytes()
    status, headers, body = client.ask(f"/{file.path}")
    assert (status, body, headers["Content-Length"]) == (200, data, str(len(data)))
    assert client.ask(f"/{file.path}", "HEAD")[0::2] == (200, b"")
    assert client.ask("/wheels.html")[1]["Content-Type"].startswith("text/html")
    assert json.loads(client.ask("/bundle.json")[2])["files"]


@pytest.mark.parametrize(
    ("asked", "status", "begin", "end"),
    [
        ("bytes=100-", 206, 100, 2560),
        ("bytes=0-0", 206, 0, 1),
        ("bytes=10-19", 206, 10, 20),
        ("bytes=-5", 206, 2555, 2560),
        ("bytes=2000-99999", 206, 2000, 2560),
        ("bytes=5-3", 200, 0, 2560),
        ("bytes=0-1,5-6", 200, 0, 2560),
        ("bytes=2560-", 416, 0, 0),
    ],
)
def test_parts_of_a_file(client: Client, bundle: Path, asked: str, status: int, begin: int, end: int) -> None:
    file = tool(bundle)
    got, headers, body = client.ask(f"/{file.path}", Range=asked)
    assert (got, body) == (status, (bundle / file.path).read_bytes()[begin:end])
    if status == 206:
        assert headers["Content-Range"] == f"bytes {begin}-{end - 1}/2560"
        assert client.ask(f"/{file.path}", **{"Range": asked, "If-Range": '"other"'})[0] == 200


@pytest.mark.parametrize("path", ["/", "/files", "/files/", "/../bundle.mirror/server.pem", "/%2e%2e/x", "/etc/passwd", "*"])
def test_nothing_else_is_served(client: Client, path: str) -> None:
    assert client.ask(path)[0] == 404
    assert client.ask(path, "POST")[0] == 501
    assert client.ask("/wheels.html", "PUT")[0] == 501


def test_a_file_that_was_changed_or_became_a_link_is_not_served(tmp_path: Path) -> None:
    put_bundle(tmp_path / "bundle")
    found = command.opened(wanted(tmp_path / "bundle"), lambda line: None)
    file = tool(tmp_path / "bundle")
    with found.server:
        threading.Thread(target=found.server.serve_forever, args=(0.05,), daemon=True).start()
        asked = Client(found)
        path = tmp_path / "bundle" / file.path
        os.truncate(path, 7)
        assert asked.ask(f"/{file.path}")[0] == 404
        path.unlink()
        path.symlink_to("/etc/passwd")
        assert asked.ask(f"/{file.path}")[0] == 404
        found.server.shutdown()


def test_a_client_that_says_nothing_does_not_stop_others(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port)):
        assert client.ask("/wheels.html")[0] == 200


def test_a_connection_too_many_waits_and_a_file_too_many_may_come_later(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror_server, "_most_connections", lambda: 1)
    found = command.opened(wanted(bundle), lambda line: None)
    with found.server, ThreadPoolExecutor(2) as pool:
        pool.submit(found.server.serve_forever, 0.05)
        with socket.create_connection(("127.0.0.1", found.server.port)):
            waiting = pool.submit(Client(found).ask, "/wheels.html")
            with pytest.raises(TimeoutError):
                waiting.result(0.1)
        assert waiting.result(20)[0] == 200

        def opened(path: Path) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

        monkeypatch.setattr("nbserver.base.plain_file.opened", opened)
        assert Client(found).ask("/wheels.html")[0] == 503
        found.server.shutdown()


def test_a_bundle_that_is_not_as_listed_is_not_served(tmp_path: Path) -> None:
    put_bundle(tmp_path / "bundle")
    (tmp_path / "bundle" / "extra").write_text("")
    with pytest.raises(ApprovalError, match="extra is not part of the bundle"):
        command.opened(wanted(tmp_path / "bundle"), lambda line: None)


def test_a_port_in_use_is_one_message(served: command.Mirror, bundle: Path) -> None:
    with pytest.raises(UsageError, match=f"could not listen on 127.0.0.1, port {served.server.port}"):
        command.opened(replace(wanted(bundle), port=served.server.port), lambda line: None)


def test_the_certificate_is_kept_and_renewed_when_it_expires_or_lacks_a_name(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority, server = mirror_certificate.require(tmp_path, ["a.example.com", "192.0.2.1"], now)
    first = server.read_bytes()
    assert (server.stat().st_mode & 0o777, b"PRIVATE" in authority.read_bytes()) == (0o600, False)
    mirror_certificate.require(tmp_path, ["192.0.2.1"], now)
    assert server.read_bytes() == first
    mirror_certificate.require(tmp_path, ["b.example.com"], now)
    second = server.read_bytes()
    mirror_certificate.require(tmp_path, ["b.example.com"], now + timedelta(days=391))
    assert len({first, second, server.read_bytes()}) == 3


@pytest.mark.parametrize(("inside", "named", "address"), [("bundle", ".", "*"), ("bundle/files", "..", "0.0.0.0")])
def test_the_certificate_is_next_to_the_bundle_and_has_names_that_hosts_can_use(
    inside: str, named: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_bundle(tmp_path / "bundle")
    monkeypatch.chdir(tmp_path / inside)
    monkeypatch.setattr(socket, "getfqdn", lambda: "b\u00fcro-pc")
    monkeypatch.setattr(socket, "gethostname", lambda: "my pc")  # Windows allows both
    for _ in range(2):  # the second time, the bundle is still as listed
        found = command.opened(replace(wanted(Path(named)), address=address), lambda line: None)
        found.server.server_close()
        assert found.url == f"https://xn--bro-pc-3ya:{found.server.port}"
        assert found.authority == tmp_path / "bundle.mirror" / "authority.pem"


@pytest.mark.parametrize("installer", [["-m", "pip", "install"], ["uv", "pip", "install", "--python", sys.executable]])
def test_pip_and_uv_install_from_it(served: command.Mirror, bundle: Path, tmp_path: Path, installer: list[str]) -> None:
    wheel = next(one for one in contents.read(bundle) if one.kind == "wheel")
    (tmp_path / "lock.txt").write_text(f"small-tool==1.0 --hash=sha256:{wheel.sha256}\n")
    page = f"{served.url}/wheels.html"
    # pip before 23.1 prefers the authorities of these two variables to its own option.
    others = ("PIP_", "UV_", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    environment |= {
        "PIP_FIND_LINKS": page,
        "UV_FIND_LINKS": page,
        "SSL_CERT_FILE": str(served.authority),
        "PIP_CERT": str(served.authority),
    }
    environment |= {"PIP_CONFIG_FILE": os.devnull, "UV_NO_CONFIG": "1", "UV_CACHE_DIR": str(tmp_path / "cache")}
    program = [str(Path(sys.executable).with_name("uv")), *installer[1:]] if installer[0] == "uv" else [sys.executable, *installer]
    command = [*program, "--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-index", "--target", str(tmp_path / "there")]
    done = subprocess.run([*command, "-r", str(tmp_path / "lock.txt")], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "there" / "small_tool-1.0.dist-info").is_dir()


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_the_command_serves_until_ctrl_c(bundle: Path) -> None:
    line = [sys.executable, "-m", "nbserver", "mirror", str(bundle), "--bind", "127.0.0.1", "--port", "0", "--json"]
    environment = {**os.environ, "PYTHONPATH": PYTHON_PATH}
    with subprocess.Popen(line, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        said = json.loads(process.stdout.readline())
        validate("answer", said)
        context = ssl.create_default_context(cafile=said["authority"])
        with urllib.request.urlopen(f"{said['url']}/bundle.json", context=context) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0, process.stderr.read()
