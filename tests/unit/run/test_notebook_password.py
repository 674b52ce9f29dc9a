"""The hash that the host gets is one that a real notebook server accepts."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nbserver.base.errors import SecretError
from nbserver.cli import passwords, program
from nbserver.run import notebook_password, site_salt
from nbserver.run.notebook_password import PasswordHashes, check_password, hash_password
from nbserver.transports.transport import StopRequested
from tests.tier import examples

SALT = bytes(range(16))


def test_the_form_is_the_one_that_jupyter_writes() -> None:
    security = pytest.importorskip("jupyter_server.auth.security", reason="needs the package jupyter_server (the extra `test-all`)")
    ours = hash_password("correct horse", SALT)
    theirs = security.passwd("correct horse")
    assert [len(part) for part in ours.split("$") if "=" not in part] == [len(part) for part in theirs.split("$") if "=" not in part]
    assert ours.startswith("argon2:$argon2id$v=19$m=65536,t=3,p=4$")


def test_the_parameters_are_the_second_recommended_ones_of_rfc_9106() -> None:
    """As argon2-cffi has them, which names them after the RFC."""
    profiles = pytest.importorskip("argon2.profiles", reason="needs the package argon2-cffi (the extra `test`)")
    low = profiles.RFC_9106_LOW_MEMORY
    ours = (
        notebook_password.ITERATIONS,
        notebook_password.MEMORY_KIB,
        notebook_password.LANES,
        notebook_password.SALT_BYTES,
        notebook_password.HASH_BYTES,
    )
    assert ours == (low.time_cost, low.memory_cost, low.parallelism, low.salt_len, low.hash_len) == (3, 65536, 4, 16, 32)


def test_jupyter_server_accepts_it() -> None:
    security = pytest.importorskip("jupyter_server.auth.security", reason="needs the package jupyter_server (the extra `test-all`)")
    hashed = hash_password("pa$$ w\u00f6rd \u2603", SALT)
    assert security.passwd_check(hashed, "pa$$ w\u00f6rd \u2603")
    assert not security.passwd_check(hashed, "pa$$ w\u00f6rd")


def test_argon2_cffi_computes_the_same() -> None:
    low_level = pytest.importorskip("argon2.low_level", reason="needs the package argon2-cffi (the extra `test`)")
    expected = low_level.hash_secret(b"secret", SALT, 3, 65536, 4, 32, low_level.Type.ID)
    assert hash_password("secret", SALT) == "argon2:" + expected.decode()


@examples(3)
@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=40))
def test_argon2_cffi_verifies_any_password(password: str) -> None:
    argon2 = pytest.importorskip("argon2", reason="needs the package argon2-cffi (the extra `test`)")
    assume(password == password.strip())
    assert argon2.PasswordHasher().verify(hash_password(password, SALT).removeprefix("argon2:"), password)


def test_the_salt_in_the_hash_is_the_one_of_the_site() -> None:
    assert hash_password("a", SALT).split("$")[4] == site_salt.encoded(SALT)


def test_the_former_salt_is_the_one_of_0_1_0() -> None:
    """As that release computed it for win1 and port 9999; the value was written down from it."""
    assert site_salt.encoded(notebook_password.former_salt(host="win1", port=9999)) == "pCDfcyuXvW26irT9B8HsEw"


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "empty"),
        (" hunter2", "whitespace"),
        ("hunter2\n", "whitespace"),
        ("hunter2\u00a0", "whitespace"),
        ("hunt\x1ber2", "control character"),
        ("hunt\ter2", "control character"),
        ("hunter2\ud800", "not valid Unicode"),
    ],
)
def test_a_password_that_could_never_log_in_is_refused(password: str, reason: str) -> None:
    with pytest.raises(SecretError, match=reason) as refused:
        check_password(password, host="win1")
    assert "win1" in str(refused.value)
    assert "hunt" not in str(refused.value)


@pytest.mark.parametrize(
    ("password", "minimum", "refused"),
    [
        ("x" * 11, 12, True),
        ("x" * 12, 12, False),
        ("\u00e9" * 11, 12, True),
        ("\u2603" * 12, 12, False),
        ("x" * 8, 8, False),
        ("x" * 19, 20, True),
    ],
)
def test_a_short_password_is_refused(password: str, minimum: int, refused: bool) -> None:
    """Characters count, not bytes."""
    if not refused:
        return check_password(password, host="win1", minimum=minimum)
    with pytest.raises(SecretError, match=f"must have at least {minimum} characters, but it has only {len(password)}") as error:
        check_password(password, host="win1", minimum=minimum)
    assert "notebook.password_minimum" in str(error.value) and password not in str(error.value)


def test_each_password_is_hashed_once_and_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[tuple[str, bytes, str]] = []

    def note(password: str, salt: bytes) -> str:
        hashed.append((password, salt, threading.current_thread().name))
        return f"argon2:{password}"

    monkeypatch.setattr(notebook_password, "hash_password", note)
    hashes = PasswordHashes(SALT, threading.Event())
    waiting = [hashes.of(password) for password in ["one"] * 50 + ["two", "three"]]
    assert hashed == []
    threads = [threading.Thread(target=wait) for wait in waiting[:-1]]  # the last one's host does not answer
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(password for password, _, _ in hashed) == ["one", "two"] and {salt for _, salt, _ in hashed} == {SALT}
    assert len({name for _, _, name in hashed}) == 1, "one thread does it"
    assert waiting[0]() == "argon2:one"
    hashes.close()


def test_after_a_stop_nothing_is_hashed() -> None:
    stop = threading.Event()
    stop.set()
    hashes = PasswordHashes(SALT, stop)
    with pytest.raises(StopRequested):
        hashes.of("a")()
    hashes.close()


def test_tornado_strips_what_we_refuse() -> None:
    """The reason for the refusal, in the real form parser: what was typed is not what is checked."""
    web = pytest.importorskip("tornado.web", reason="needs the package tornado (the extra `test-all`)")
    httputil = pytest.importorskip("tornado.httputil", reason="needs the package tornado (the extra `test-all`)")

    class Connection:
        def set_close_callback(self, callback: object) -> None: ...

    line = httputil.RequestStartLine("POST", "/login", "HTTP/1.0")
    request = httputil.HTTPServerRequest(connection=Connection(), start_line=line)
    request.arguments = {"password": [b" hunt\x01er2\n"]}
    handler = web.RequestHandler(web.Application(), request)
    assert handler.get_argument("password") == "hunt er2"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["set-password", "local", "Correct-Horse-99"], "the file does not exist"),
        (["set-password", "Correct-Horse-99"], "the file does not exist"),
        (["hash-password", "win1", "Correct-Horse-99"], "prompts for the password"),
    ],
)
def test_a_password_on_the_command_line_is_not_repeated(
    line: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["nbserver", *line])
    with pytest.raises(SystemExit) as ended:
        program.main()
    said = capsys.readouterr()
    assert ended.value.code == 2 and words in said.err and "Correct-Horse" not in said.out + said.err


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("g\u00e9heim\r\n".encode(), "g\u00e9heim"),
        ("\ufeffg\u00e9heim\n".encode(), "g\u00e9heim"),
        ("g\u00e9heim\n".encode("cp1252"), "g\u00e9heim"),
        (b"geheim\nmore\n", "geheim"),
        (b"", ""),
        (b"\xff\x81", "\u00ff\udc81"),  # cp1252 has no such character, and no password may have this one
    ],
)
def test_a_password_from_a_pipe_is_utf_8_on_windows_as_well(monkeypatch: pytest.MonkeyPatch, data: bytes, expected: str) -> None:
    """There, standard input has the encoding of older programs: the hash would be that of another password."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="cp1252"))
    assert passwords._line() == expected
