"""A notebook server that means harm gets a message with its name, and neither the workstation's memory nor its time."""

from __future__ import annotations

import functools
import json
import socket
import ssl
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nbserver.base.errors import CertificateError, ConnectError, HostError, VerifyError
from nbserver.base.pinned_tls import fingerprint_of
from nbserver.verify.checks import verify
from tests.hostile_server import KERNEL, Connection, HostileServer, Stage, hostile_server
from tests.notebook_fixtures import certificate, no_proxies  # noqa: F401
from tests.notebook_server import PASSWORD, Certificate, make_certificate

MEGABYTE = 1024 * 1024
TAKEN = 30 * MEGABYTE  # what a limit of 10 MB lets a server send: the systems' buffers take some more
STAGES = ("GET /api/kernels", "GET /login", "POST /login", "POST /api/kernels", "handshake")


@pytest.fixture
def hostile(certificate: Certificate) -> Iterator[HostileServer]:
    with hostile_server(certificate) as server:
        yield server


def _refused(server: HostileServer, *, seconds: float = 20, kernel_seconds: float = 20) -> HostError:
    """The error of a verification, which neither took much longer nor let the server send much more."""
    box = SimpleNamespace(
        name="box",
        kind="linux",
        transport="ssh",
        address="127.0.0.1",
        hops=(),
        notebook=SimpleNamespace(port=server.port, public_url=None),
    )
    start = time.monotonic()
    with pytest.raises(HostError) as refused:
        verify(
            box, password=PASSWORD, fingerprint=server.fingerprint, png_directory=None, kernel_seconds=kernel_seconds, total_seconds=seconds
        )
    assert time.monotonic() - start < seconds + 15
    assert server.accepted < TAKEN
    text = str(refused.value)
    assert text.startswith("box: verify: ")
    assert all(character.isprintable() or character == "\n" for character in text)
    assert len(text) < 5000
    return refused.value


@functools.cache
def bomb() -> bytes:
    """400 MB of nothing in 400 KB of gzip."""
    packer = zlib.compressobj(9, wbits=31)
    nothing = bytes(4 * MEGABYTE)
    return b"".join(packer.compress(nothing) for _ in range(100)) + packer.flush()


@pytest.mark.parametrize("stage", STAGES[:4])
def test_a_compressed_answer_is_not_unpacked(hostile: HostileServer, stage: str) -> None:
    packed = bomb()
    hostile.stages[stage] = lambda client: client.answer(200, packed, "Content-Encoding: gzip", "Set-Cookie: _xsrf=1")
    tracemalloc.start()
    try:
        refused = _refused(hostile)
        assert tracemalloc.get_traced_memory()[1] < 20 * MEGABYTE
    finally:
        tracemalloc.stop()
    assert isinstance(refused, VerifyError)
    assert "encoding" in refused.what


def test_the_body_of_a_redirect_is_not_unpacked(hostile: HostileServer) -> None:
    packed = bomb()
    hostile.stages["POST /login"] = lambda client: client.answer(302, packed, "Content-Encoding: gzip", "Location: /x")
    assert "encoding" in _refused(hostile).what


FLOODS: dict[str, Stage] = {
    "long": lambda client: client.flood(b"x" * MEGABYTE, head=b"HTTP/1.1 200 X\r\nContent-Length: 99999999999\r\n\r\n"),
    "without_an_end": lambda client: client.flood(b"x" * MEGABYTE, head=b"HTTP/1.1 200 X\r\nConnection: close\r\n\r\n"),
    "chunked": lambda client: client.flood(
        b"40000\r\n" + b"x" * 0x40000 + b"\r\n", head=b"HTTP/1.1 302 X\r\nLocation: /x\r\nTransfer-Encoding: chunked\r\n\r\n"
    ),
    "long_chunk_size": lambda client: client.flood(b"0" * MEGABYTE, head=b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "trailers": lambda client: client.flood(b"X: y\r\n" * 10000, head=b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"),
    "headers": lambda client: client.flood(b"X: y\r\n" * 10000, head=b"HTTP/1.1 200 X\r\n"),
    "long_headers": lambda client: client.flood(b"X: " + b"y" * 60000 + b"\r\n", head=b"HTTP/1.1 200 X\r\n"),
    "cookies": lambda client: client.flood(b"Set-Cookie: " + b"y" * 60000 + b"=1\r\n", head=b"HTTP/1.1 200 X\r\n"),
    "status_line": lambda client: client.flood(b"x" * MEGABYTE, head=b"HTTP/1.1 200 "),
    "continue": lambda client: client.flood(b"HTTP/1.1 100 Continue\r\n\r\n" * 10000),
}


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("stage", ["GET /login", "handshake"])
def test_an_answer_without_an_end_is_refused(hostile: HostileServer, stage: str, flood: str) -> None:
    hostile.stages[stage] = FLOODS[flood]
    _refused(hostile)


DRIPS: dict[str, Stage] = {
    "body": lambda client: client.drip(b"x", head=b"HTTP/1.1 403 X\r\nContent-Length: 100000\r\n\r\n"),
    "headers": lambda client: client.drip(b"X: y\r\n"[:1], head=b"HTTP/1.1 403 X\r\nX"),
}


@pytest.mark.parametrize(("stage", "drip"), [("GET /api/kernels", "body"), ("GET /api/kernels", "headers"), ("handshake", "headers")])
def test_an_answer_that_drips_ends_with_the_time_for_all(hostile: HostileServer, stage: str, drip: str) -> None:
    hostile.stages[stage] = DRIPS[drip]
    refused = _refused(hostile, seconds=1)
    assert "within 1 s" in refused.what


def test_a_request_has_a_time_of_its_own(hostile: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbserver.verify.notebook_client.REQUEST_SECONDS", 1.0)
    hostile.stages["GET /login"] = DRIPS["body"]
    refused = _refused(hostile, seconds=60)
    assert isinstance(refused, ConnectError)
    assert refused.where == "box: verify: wrong_password"


def test_a_handshake_that_never_ends(hostile: HostileServer) -> None:
    def drip(client: socket.socket) -> None:
        client.sendall(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")  # a ServerHello of 16 KB follows, slowly
        while not hostile.gone.wait(0.1):
            client.sendall(b"\0")

    hostile.before_tls = drip
    assert isinstance(_refused(hostile, seconds=1), ConnectError)


MESSAGES: dict[str, Stage] = {
    "one_message": lambda client: client.flood(b"x" * MEGABYTE, head=client.frame(b"", length=2**40)),
    "longest_message": lambda client: client.flood(b"x" * MEGABYTE, head=client.frame(b"", length=2**63 - 1)),
    "fragments": lambda client: client.flood(client.frame(b"x", opcode=0, final=False) * 20000, head=client.frame(b"x", final=False)),
    "empty_fragments": lambda client: client.flood(client.frame(b"", opcode=0, final=False) * 20000, head=client.frame(b"x", final=False)),
    "pings": lambda client: client.flood(client.frame(b"x" * 100, opcode=9) * 1000),
    "pongs": lambda client: client.flood(client.frame(b"x" * 100, opcode=10) * 1000),
    "binary": lambda client: client.flood(client.frame(b"x" * MEGABYTE, opcode=2)),
    "other_messages": lambda client: client.flood(client.frame(b'{"header": {}, "parent_header": {}, "content": {}}') * 1000),
    "deep": lambda client: client.send(client.frame(b"[" * 1_000_000)),
    "no_utf8": lambda client: client.send(client.frame(b"\xff\xfe\xfa")),
    "huge_number": lambda client: client.send(client.frame(b"9" * 100_000)),
    "reserved_bits": lambda client: client.send(b"\xf1\x00"),
    "closed": lambda client: client.send(client.frame(b"\x03\xe8bye", opcode=8)),
    "long_ping": lambda client: client.send(client.frame(b"x" * 1000, opcode=9)),
}


@pytest.mark.parametrize("message", MESSAGES)
def test_a_web_socket_that_floods_or_sends_what_is_no_message(hostile: HostileServer, message: str) -> None:
    hostile.stages["WS"] = MESSAGES[message]
    assert _refused(hostile).where == "box: verify: compute"
    assert hostile.requests[-1] == f"DELETE /api/kernels/{KERNEL}"


def test_a_web_socket_that_drips(hostile: HostileServer) -> None:
    hostile.stages["WS"] = lambda client: client.drip(client.frame(b"", opcode=9))
    assert "within 1 s" in _refused(hostile, kernel_seconds=1).what


def _says(*messages: tuple[Any, dict[str, Any]]) -> Stage:
    def stage(client: Connection) -> None:
        parent = client.cell()
        for kind, content in messages:
            client.say(parent, kind, **content)
        client.until_it_leaves()

    return stage


IDLE = ("status", {"execution_state": "idle"})
OK = ("execute_reply", {"status": "ok"})
DEEP: Any = []
for _ in range(400):
    DEEP = [DEEP]


def _prints(answer: Any) -> Stage:
    return _says(("stream", {"name": "stdout", "text": f"nbserver-verify {json.dumps(answer)}\n"}), OK, IDLE)


KERNELS: dict[str, Stage] = {
    "states": _says(("status", {"execution_state": ["dead"]}), ("status", {"execution_state": {}}), OK, IDLE),
    "kinds": _says(({"a": 1}, {}), ([], {}), (None, {}), OK, IDLE),
    "no_texts": _says(("stream", {"name": [], "text": DEEP}), ("stream", {"name": "stdout", "text": 5}), OK, IDLE),
    "pictures": _says(*[("display_data", {"data": {"image/png": "AAAA"}})] * 1000, OK, IDLE),
    "no_base64": _says(("display_data", {"data": {"image/png": "\u0661\ud800"}}), OK, IDLE),
    "picture_is_no_text": _says(("display_data", {"data": {"image/png": DEEP}}), OK, IDLE),
    "traceback": _says(("execute_reply", {"status": [], "ename": DEEP, "evalue": {}, "traceback": 5}), IDLE),
    "long_error": _says(
        (
            "execute_reply",
            {"status": "error", "ename": "E" * 90000, "evalue": "\x1b]0;x\x07\u202e\nroot#", "traceback": ["\r" * 90000, "\u202e" * 90000]},
        ),
        IDLE,
    ),
    "no_answer": _says(OK, IDLE),
    "deep_answer": _says(("stream", {"name": "stdout", "text": "nbserver-verify " + "[" * 200_000}), OK, IDLE),
    "not_a_number": _prints({"sum": float("nan"), "solution": [1, 2, 3], "versions": {}}),
    "infinite": _prints({"sum": 10**400, "solution": [1, 2, 3], "versions": {}}),
    "long_numbers": _prints({"sum": "9" * 100_000, "solution": [1, 2, 3], "versions": {}}),
    "no_numbers": _prints({"sum": [], "solution": 7, "versions": {}}),
    "other_numbers": _prints({"sum": 1, "solution": {"a": 1}, "versions": []}),
}


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_that_answers_what_it_likes(hostile: HostileServer, kernel: str) -> None:
    hostile.stages["WS"] = KERNELS[kernel]
    assert isinstance(_refused(hostile, kernel_seconds=5), VerifyError)


@pytest.mark.parametrize(
    "answer",
    [b"[" * 1_000_000, b'{"id": "../../x"}', b'{"id": "a\\r\\nX: y"}', b'{"id": {}}', b"\xff", b'{"id": "' + b"1" * 100_000 + b'"}', b"5"],
)
def test_a_kernel_with_an_id_that_is_not_one(hostile: HostileServer, answer: bytes) -> None:
    hostile.stages["POST /api/kernels"] = lambda client: client.answer(201, answer)
    assert "does not contain a valid kernel ID" in _refused(hostile).what


@pytest.mark.parametrize("path", ["/api/kernels", "/api/contents"])
@pytest.mark.parametrize("way", ["Authorization: token ", "?token="])
def test_a_server_that_takes_any_token_is_refused(hostile: HostileServer, path: str, way: str) -> None:
    hostile.stages[f"GET {path}"] = lambda client: client.answer(200 if way in client.head else 403)
    refused = _refused(hostile)
    assert refused.where == "box: verify: token"
    assert refused.what.startswith("anyone can use the server: the server accepts any token instead of the password (")
    assert refused.todo.startswith("Stop the server immediately")
    assert "POST /login" not in hostile.requests


@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")  # one may come from the garbage of another test
def test_a_cookie_that_cannot_be_read_puts_nothing_on_the_screen(hostile: HostileServer, capfd: pytest.CaptureFixture[str]) -> None:
    """Python's cookie jar warns of it with a traceback."""
    hostile.stages["GET /login"] = lambda client: client.answer(200, b"", "Set-Cookie: _xsrf=1; Max-Age=" + "9" * 400)
    assert "expected 200 with an _xsrf cookie" in _refused(hostile).what
    assert capfd.readouterr() == ("", "")


def test_a_cookie_that_takes_long_to_read_is_not_read(hostile: HostileServer) -> None:
    """The pattern of http.cookies takes quadratic time for backslashes in Python before 3.12.6, where no limit of a socket is looked at."""

    def sets_a_cookie(client: Connection) -> None:
        hostile.open(client, 'Set-Cookie: a="' + "\\" * 50_000 + '"')
        client.until_it_leaves()

    hostile.stages["handshake"] = sets_a_cookie
    start = time.process_time()
    assert "sent more than 16 KB" in _refused(hostile, kernel_seconds=5).what
    assert time.process_time() - start < 3


def test_a_certificate_of_an_unknown_version_is_refused(tmp_path: Path) -> None:
    """TLS takes it, and so does a pin; what reads it afterwards does not."""
    good = make_certificate(tmp_path)
    der = ssl.PEM_cert_to_DER_cert(good.certificate.read_text())
    assert der.count(b"\xa0\x03\x02\x01\x02") == 1
    bad = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07")
    good.certificate.write_text(ssl.DER_cert_to_PEM_cert(bad))
    with hostile_server(replace(good, fingerprint=fingerprint_of(bad))) as server:
        refused = _refused(server)
    assert isinstance(refused, CertificateError) and "is not a valid X.509 certificate" in refused.what


def test_files_without_a_login_are_refused(hostile: HostileServer) -> None:
    hostile.stages["GET /api/contents"] = lambda client: client.answer(200)
    assert "accepts requests without a password (GET /api/contents " in _refused(hostile).what


def test_one_server_cannot_set_cookies_for_another(hostile: HostileServer, certificate: Certificate) -> None:
    """websocket keeps the cookies of all connections of a process."""

    def sets_a_cookie(client: Connection) -> None:
        hostile.open(client, "Set-Cookie: evil=1; Domain=127.0.0.1")
        raise ConnectionError

    hostile.stages["handshake"] = sets_a_cookie
    with hostile_server(certificate) as other:
        heads: list[str] = []
        other.stages["handshake"] = lambda client: heads.append(client.head) or client.answer(500)
        _refused(hostile)
        _refused(other)
    assert "Cookie: _xsrf=1" in heads[0]
    assert "evil" not in heads[0]
