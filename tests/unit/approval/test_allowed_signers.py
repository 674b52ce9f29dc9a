"""The file of allowed signers: what it allows is what ssh-keygen allows, and what it cannot mean is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
from datetime import UTC, datetime, tzinfo
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.approval import allowed_signers, signing_key
from nbserver.base.errors import ApprovalError
from tests import approvals
from tests.approvals import ANNA
from tests.tier import examples

NAMESPACE = "nbserver-approval"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return approvals.key(tmp_path_factory.mktemp("key") / "id")


def refusal(folder: Path, text: str, key: Path, name: str = ANNA) -> str:
    (folder / "allowed").write_text(text, "utf-8")
    public = signing_key.load(key, lambda: None).public
    found = allowed_signers.read(folder / "allowed").refusal(name, public, NAMESPACE, NOW)
    return str(found or "").replace(str(folder), "")


CASES = [  # principals, options, whether it allows anna@example.com to approve now
    ("anna@example.com", "", True),
    ("*@example.com", "", True),
    ("ben@example.com,anna@example.com", "", True),
    ('"ben@example.com,anna@example.com"', "", True),
    ("anna@example.???", "", True),
    ("*", "", True),
    ("Anna@example.com", "", False),
    ("anna@example.co", "", False),
    ("anna@example.co?m", "", False),
    ("*,!anna@example.com", "", False),
    ("!ben@example.com", "", False),
    ("[a]nna@example.com", "", False),
    ("anna@example.com", 'namespaces="nbserver-approval"', True),
    ("anna@example.com", 'namespaces="git,nbserver-*"', True),
    ("anna@example.com", 'NAMESPACES="nbserver-approval"', True),
    ("anna@example.com", 'namespaces="git"', False),
    ("anna@example.com", 'namespaces="*,!nbserver-approval"', False),
    ("anna@example.com", 'valid-after="20200101"', True),
    ("anna@example.com", 'valid-after="20200101Z",valid-before="209912312359Z"', True),
    ("anna@example.com", 'valid-after="20200101000000",namespaces="nbserver-approval"', True),
    ("anna@example.com", 'valid-before="20200101"', False),
    ("anna@example.com", 'valid-after="20990101Z"', False),
]


@pytest.mark.parametrize(("principals", "options", "allowed"), CASES)
def test_it_allows_what_it_says(tmp_path: Path, key: Path, principals: str, options: str, allowed: bool) -> None:
    assert bool(refusal(tmp_path, approvals.line(principals, key, options), key)) != allowed


def test_ssh_keygen_allows_the_same(tmp_path: Path, key: Path) -> None:
    keygen = shutil.which("ssh-keygen")
    if not keygen:
        pytest.skip("this needs ssh-keygen")
    (tmp_path / "sig").write_bytes(signing_key.load(key, lambda: None).armored(b"x", NAMESPACE))
    command = [keygen, "-Y", "verify", "-f", "allowed", "-I", ANNA, "-n", NAMESPACE, "-s", "sig"]
    for principals, options, allowed in CASES:
        (tmp_path / "allowed").write_text(approvals.line(principals, key, options))
        done = subprocess.run(command, input=b"x", cwd=tmp_path, capture_output=True)
        assert (done.returncode == 0) == allowed, (principals, options, done.stderr)


def test_the_reason_is_named(tmp_path: Path, key: Path) -> None:
    other = approvals.key(tmp_path / "other")
    fingerprint = signing_key.load(key, lambda: None).public.fingerprint
    assert refusal(tmp_path, approvals.line(ANNA, other), key) == f"/allowed does not allow {ANNA} to sign with the key {fingerprint}"
    assert refusal(tmp_path, "# none\n" + approvals.line(ANNA, key, 'valid-before="20200101"'), key) == (
        "the key on line 2 of /allowed has expired or is not valid yet"
    )
    assert refusal(tmp_path, approvals.line(ANNA, key, 'namespaces="git"'), key) == (
        'line 1 of /allowed does not allow the namespace "nbserver-approval"'
    )


def test_a_later_line_can_allow_what_an_earlier_one_does_not(tmp_path: Path, key: Path) -> None:
    lines = [approvals.line(ANNA, key, 'valid-before="20200101"'), approvals.line("ben@example.com", key), approvals.line(ANNA, key)]
    assert refusal(tmp_path, "\r\n".join(line.strip() for line in lines) + "\r\n\r\n# end", key) == ""


class OnWindows(datetime):
    """Windows converts local times from 1970 to 3000 only."""

    def astimezone(self, tz: tzinfo | None = None) -> datetime:
        if self.tzinfo is None and not 1971 <= self.year <= 2999:
            raise OSError(22, "Invalid argument")
        return super().astimezone(tz)


@pytest.mark.parametrize(
    "option", ['valid-before="99991231"', 'valid-before="99991231235959"', 'valid-after="19700101"', 'valid-after="00010101"']
)
@pytest.mark.parametrize("kind", [OnWindows, datetime])
def test_a_key_can_be_valid_for_ever(tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch, kind: type, option: str) -> None:
    monkeypatch.setattr(allowed_signers, "datetime", kind)
    assert refusal(tmp_path, approvals.line(ANNA, key, option), key) == ""


def test_keys_of_other_types_may_be_listed(tmp_path: Path, key: Path) -> None:
    rsa = approvals.base64_of(approvals.string(b"ssh-rsa") + b"anything")
    assert refusal(tmp_path, f"git@example.com ssh-rsa {rsa} comment\n{approvals.line(ANNA, key)}", key) == ""


BLOB = approvals.base64_of(approvals.string(b"ssh-ed25519") + approvals.string(bytes(32)))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "lists no signers"),
        ("# nobody\n", "lists no signers"),
        (f"x cert-authority ssh-ed25519 {BLOB}", "cert-authority is not supported; list the key of each person"),
        (f'x namespaces="a",CERT-AUTHORITY ssh-ed25519 {BLOB}', "cert-authority is not supported"),
        (f"x no-touch-required ssh-ed25519 {BLOB}", "the option is not supported"),
        (f"x namespaces=git ssh-ed25519 {BLOB}", "the option is not supported"),
        (f'x namespaces="a",namespaces="b" ssh-ed25519 {BLOB}', "the option namespaces is set twice"),
        (f'x namespaces="" ssh-ed25519 {BLOB}', "a pattern must be 1 to"),
        (f'x namespaces="a", ssh-ed25519 {BLOB}', "must not end with a comma"),
        (f'x namespaces="a ssh-ed25519 {BLOB}', "expected the names of signers"),
        (f'x valid-after="2026-11-29" ssh-ed25519 {BLOB}', "a time must have the form"),
        (f'x valid-after="20261332" ssh-ed25519 {BLOB}', "a time must have the form"),
        (f'x valid-before="20200101",valid-after="20210101" ssh-ed25519 {BLOB}', "valid-before must be later"),
        (f"x,,y ssh-ed25519 {BLOB}", "a pattern must be 1 to"),
        (f"x,! ssh-ed25519 {BLOB}", "a pattern must be 1 to"),
        (f"{'x' * 300} ssh-ed25519 {BLOB}", "a pattern must be 1 to 200 characters long"),
        ("x", "expected the names of signers"),
        ("x ssh-ed25519", "expected the names of signers"),
        ("x \u00a0", "expected the names of signers"),
        ("x ssh-ed25519 AAAA!", "the key is not valid Base64"),
        (f"x ssh-rsa {BLOB}", "the key type does not match the key data"),
        (f"x ssh-ed25519 {BLOB[:-8]}", "the key is not a complete Ed25519 key"),
        (f"x\0 ssh-ed25519 {BLOB}", "control character"),
        (f"x ssh-ed25519 {BLOB} {'c' * 9000}", "longer than 8000 characters"),
    ],
)
def test_what_it_cannot_mean_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "allowed").write_text(text and "\n" + text, "utf-8")
    with pytest.raises(ApprovalError, match=words) as raised:
        allowed_signers.read(tmp_path / "allowed")
    assert raised.value.exit_code == 5 and (raised.value.where.endswith("allowed:2") or "no signer" in words)


def test_a_large_file_or_one_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "allowed"
    for data, words in ((b"#" * 2_000_000, "larger than 1000000 bytes"), (b"\xff\xff", "not UTF-8")):
        path.write_bytes(data)
        with pytest.raises(ApprovalError, match=words):
            allowed_signers.read(path)


pieces = st.sampled_from(
    ["x", "*", "!", ",", " ", "\t", '"', "=", "namespaces", "valid-after", "20200101Z", "ssh-ed25519", BLOB, "#", "\u00e9"]
)


@given(st.lists(pieces, max_size=12).map("".join) | st.text(max_size=60))
@examples(200)
def test_no_text_confuses_the_parser(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "allowed"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        found = allowed_signers.read(path)
    except ApprovalError as error:
        assert str(error).isprintable()
    else:
        assert all(approvals.base64_of(line.key) == BLOB for line in found.lines)


@given(st.text("ab*?", max_size=8), st.text("ab", max_size=8))
@examples(200)
def test_a_pattern_means_what_a_regular_expression_says(pattern: str, name: str) -> None:
    expression = "".join({"*": ".*", "?": "."}.get(character, character) for character in pattern)
    expected = bool(pattern) and re.fullmatch(expression, name) is not None
    assert (bool(pattern) and allowed_signers.matches(name, pattern)) == expected


def test_a_pattern_costs_no_more_than_the_product_of_both_lengths() -> None:
    assert not allowed_signers.matches("a" * 100, "*a" * 100 + "b")
