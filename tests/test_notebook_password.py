"""The hash that the host gets is one that a real notebook server accepts."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from installer.errors import SecretError
from installer.notebook_password import hash_password


def test_the_form_is_the_one_that_jupyter_writes() -> None:
    security = pytest.importorskip("jupyter_server.auth.security", reason="needs the package jupyter_server")
    ours = hash_password("correct horse", host="win1", port=9999)
    theirs = security.passwd("correct horse")
    shape = [(part if "=" in part or part.startswith("argon2") else len(part)) for part in theirs.split("$")]
    assert [(part if "=" in part or part.startswith("argon2") else len(part)) for part in ours.split("$")] == shape
    assert ours.startswith("argon2:$argon2id$v=19$m=10240,t=10,p=8$")


def test_jupyter_server_accepts_it() -> None:
    security = pytest.importorskip("jupyter_server.auth.security", reason="needs the package jupyter_server")
    hashed = hash_password("pa$$ wörd ☃", host="win1", port=9999)
    assert security.passwd_check(hashed, "pa$$ wörd ☃")
    assert not security.passwd_check(hashed, "pa$$ wörd")


def test_argon2_cffi_computes_the_same() -> None:
    low_level = pytest.importorskip("argon2.low_level", reason="needs the package argon2-cffi")
    salt = hashlib.sha256(b"nbserver:win1:9999").digest()[:16]
    expected = low_level.hash_secret(b"secret", salt, 10, 10240, 8, 32, low_level.Type.ID)
    assert hash_password("secret", host="win1", port=9999) == "argon2:" + expected.decode()


@settings(max_examples=15, deadline=None)
@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_argon2_cffi_verifies_any_password(password: str) -> None:
    argon2 = pytest.importorskip("argon2", reason="needs the package argon2-cffi")
    assume(password == password.strip())
    hashed = hash_password(password, host="h", port=1)
    assert argon2.PasswordHasher().verify(hashed.removeprefix("argon2:"), password)


def test_the_salt_depends_on_host_and_port_only() -> None:
    def salt(password: str, host: str, port: int) -> bytes:
        text = hash_password(password, host=host, port=port).split("$")[4]
        return base64.b64decode(text + "=" * (-len(text) % 4))

    first = salt("a", "win1", 9999)
    assert len(first) == 16
    assert first == salt("b", "win1", 9999)
    assert first != salt("a", "win2", 9999)
    assert first != salt("a", "win1", 9998)


def test_a_second_run_finds_nothing_to_change() -> None:
    assert hash_password("a", host="win1", port=9999) == hash_password("a", host="win1", port=9999)


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "empty"),
        (" hunter2", "white space"),
        ("hunter2\n", "white space"),
        ("hunter2\u00a0", "white space"),
        ("hunt\x1ber2", "control character"),
        ("hunt\ter2", "control character"),
        ("hunter2\ud800", "no valid Unicode"),
    ],
)
def test_a_password_that_could_never_log_in_is_refused(password: str, reason: str) -> None:
    with pytest.raises(SecretError, match=reason) as refused:
        hash_password(password, host="win1", port=9999)
    assert "win1" in str(refused.value)
    assert "hunt" not in str(refused.value)


def test_tornado_strips_what_we_refuse() -> None:
    """The reason for the refusal, in the real form parser: what was typed is not what is checked."""
    web = pytest.importorskip("tornado.web", reason="needs the package tornado")
    httputil = pytest.importorskip("tornado.httputil", reason="needs the package tornado")

    class Connection:
        def set_close_callback(self, callback: object) -> None: ...

    line = httputil.RequestStartLine("POST", "/login", "HTTP/1.0")
    request = httputil.HTTPServerRequest(connection=Connection(), start_line=line)
    request.arguments = {"password": [b" hunt\x01er2\n"]}
    handler = web.RequestHandler(web.Application(), request)
    assert handler.get_argument("password") == "hunt er2"
