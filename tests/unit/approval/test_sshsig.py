"""Signatures of SSH: those of ssh-keygen are verified, ssh-keygen verifies ours, and nothing else passes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from nbserver.approval import signing_key, sshsig
from tests import approvals
from tests.checkout import CHECKOUT
from tests.tier import examples

NAMESPACE = "nbserver-approval"
DATA = b'{"v": 1}\n'
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
POINT = PRIVATE.public_key().public_bytes_raw()
KIND = approvals.string(b"ssh-ed25519")
BLOB = KIND + approvals.string(POINT)


def signed(data: bytes = DATA, namespace: str = NAMESPACE, hash_name: str = "sha512") -> bytes:
    raw = PRIVATE.sign(sshsig.signed_data(data, namespace, hash_name))
    return sshsig.armored(BLOB, namespace, KIND + approvals.string(raw), hash_name)


@pytest.fixture(scope="module")
def keygen() -> str:
    found = shutil.which("ssh-keygen")
    if not found:
        pytest.skip("this needs ssh-keygen")
    return found


def test_ssh_keygen_verifies_what_is_signed_here(keygen: str, tmp_path: Path) -> None:
    """With the command in docs/approving.md."""
    key = approvals.key(tmp_path / "id")
    (tmp_path / "allowed_signers").write_text(approvals.line("anna@example.com", key, f'namespaces="{NAMESPACE}"'))
    (tmp_path / "ID.json").write_bytes(DATA)
    (tmp_path / "ID.json.sig").write_bytes(signing_key.load(key, lambda: None).armored(DATA, NAMESPACE))
    (command,) = re.findall(r"^ +(ssh-keygen -Y verify .*)$", (CHECKOUT / "docs" / "approving.md").read_text("utf-8"), re.MULTILINE)
    for data, code in ((DATA, 0), (DATA + b" ", 255)):
        (tmp_path / "ID.json").write_bytes(data)
        done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True)
        assert done.returncode == code, done.stderr


@pytest.mark.parametrize("algorithm", ["sha512", "sha256"])
def test_what_ssh_keygen_signs_is_verified(keygen: str, tmp_path: Path, algorithm: str) -> None:
    key = approvals.key(tmp_path / "id")
    (tmp_path / "file").write_bytes(DATA)
    options = ["-O", f"hashalg={algorithm}", "-n", NAMESPACE, "file"]
    subprocess.run([keygen, "-Y", "sign", "-f", str(key), *options], cwd=tmp_path, capture_output=True, check=True)
    found = sshsig.parse((tmp_path / "file.sig").read_bytes())
    found.verify(DATA, NAMESPACE)
    assert (found.hash_name, found.key.fingerprint) == (algorithm, signing_key.load(key, lambda: None).public.fingerprint)
    with pytest.raises(ValueError, match="does not match the file"):
        found.verify(DATA + b" ", NAMESPACE)
    shown = subprocess.run([keygen, "-lf", str(key)], capture_output=True, text=True, check=True).stdout
    assert found.key.fingerprint in shown


def test_a_key_of_another_type_is_refused(keygen: str, tmp_path: Path) -> None:
    subprocess.run([keygen, "-q", "-t", "ecdsa", "-N", "", "-f", str(tmp_path / "id")], check=True)
    (tmp_path / "file").write_bytes(DATA)
    subprocess.run([keygen, "-Y", "sign", "-f", "id", "-n", NAMESPACE, "file"], cwd=tmp_path, capture_output=True, check=True)
    with pytest.raises(ValueError, match=r"key type is not supported; expected ssh-ed25519 or sk-ssh-ed25519@openssh.com"):
        sshsig.parse((tmp_path / "file.sig").read_bytes())


def test_a_signature_for_another_purpose_is_refused() -> None:
    found = sshsig.parse(signed(namespace="git"))
    with pytest.raises(ValueError, match='expected the namespace "nbserver-approval"'):
        found.verify(DATA, NAMESPACE)
    found.verify(DATA, "git")


def test_a_security_key_must_have_been_touched() -> None:
    sshsig.parse(approvals.security_key_signature(PRIVATE, DATA, NAMESPACE)).verify(DATA, NAMESPACE)
    untouched = sshsig.parse(approvals.security_key_signature(PRIVATE, DATA, NAMESPACE, flags=0))
    with pytest.raises(ValueError, match="without being touched"):
        untouched.verify(DATA, NAMESPACE)
    touched = sshsig.parse(approvals.security_key_signature(PRIVATE, DATA, NAMESPACE, counter=8))
    with pytest.raises(ValueError, match="does not match"):
        type(touched)(touched.key, touched.namespace, touched.hash_name, touched.raw, touched.flags, 9).verify(DATA, NAMESPACE)


def armored(blob: bytes) -> bytes:
    return b"-----BEGIN SSH SIGNATURE-----\n" + approvals.base64_of(blob).encode() + b"\n-----END SSH SIGNATURE-----\n"


def blob(**other: bytes) -> bytes:
    raw = PRIVATE.sign(sshsig.signed_data(DATA, NAMESPACE))
    parts = {"key": BLOB, "namespace": NAMESPACE.encode(), "reserved": b"", "hash": b"sha512", "signature": KIND + approvals.string(raw)}
    head = other.pop("head", b"SSHSIG\0\0\0\1")
    tail = other.pop("tail", b"")
    return head + b"".join(map(approvals.string, (parts | other).values())) + tail


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"head": b"SSHSIG\0\0\0\2"}, "version of the signature format"),
        ({"head": b"SSHSIX\0\0\0\1"}, "not a valid SSH signature"),
        ({"tail": b"\0"}, "not a valid SSH signature"),
        ({"namespace": b""}, "not a valid SSH signature"),
        ({"namespace": b"\xff"}, "not a valid SSH signature"),
        ({"reserved": b"x"}, "not a valid SSH signature"),
        ({"hash": b"md5"}, "hash algorithm of the signature is not supported; expected sha512 or sha256"),
        ({"hash": b"SHA512"}, "hash algorithm"),
        ({"key": KIND + approvals.string(POINT[:31])}, "not a valid SSH signature"),
        ({"key": BLOB + b"\0"}, "not a valid SSH signature"),
        ({"key": approvals.string(b"ssh-ed25519-cert-v01@openssh.com") + approvals.string(POINT)}, "key type is not supported"),
        ({"signature": KIND + approvals.string(bytes(63))}, "not a valid SSH signature"),
        ({"signature": approvals.string(b"ssh-rsa") + approvals.string(bytes(64))}, "not a valid SSH signature"),
    ],
)
def test_every_field_is_checked(other: dict[str, bytes], words: str) -> None:
    sshsig.parse(armored(blob())).verify(DATA, NAMESPACE)
    with pytest.raises(ValueError, match=words):
        sshsig.parse(armored(blob(**other)))


@pytest.mark.parametrize(
    "data",
    [b"", b"x", signed()[:-30], b" " + signed(), signed() + b"\nx", b"\xff" * 100, b"A" * 20_000],
    ids=["empty", "x", "torn", "a space", "more", "no text", "large"],
)
def test_what_is_no_signature_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a valid SSH signature"):
        sshsig.parse(data)


def test_line_ends_of_windows_are_accepted() -> None:
    sshsig.parse(signed().replace(b"\n", b"\r\n")).verify(DATA, NAMESPACE)


@given(st.binary(max_size=300))
@examples(200)
def test_no_bytes_confuse_the_parser(data: bytes) -> None:
    for given_ in (data, armored(data), armored(b"SSHSIG\0\0\0\1" + data), armored(blob()[:20] + data)):
        with pytest.raises(ValueError, match=r"."):
            sshsig.parse(given_).verify(DATA, NAMESPACE)


@given(st.integers(0, len(blob()) - 1), st.integers(1, 255))
@examples(200)
def test_no_byte_of_a_signature_can_be_changed(at: int, change: int) -> None:
    whole = bytearray(blob())
    whole[at] ^= change
    with pytest.raises(ValueError, match=r"."):
        sshsig.parse(armored(bytes(whole))).verify(DATA, NAMESPACE)


@given(st.binary(max_size=100), st.from_regex(re.compile(r"[!-~]{1,30}", re.ASCII), fullmatch=True), st.sampled_from(["sha512", "sha256"]))
@examples(50)
def test_a_signature_comes_back_as_it_was(data: bytes, namespace: str, hash_name: str) -> None:
    found = sshsig.parse(signed(data, namespace, hash_name))
    found.verify(data, namespace)
    assert (found.key.blob, found.namespace, found.hash_name) == (BLOB, namespace, hash_name)
