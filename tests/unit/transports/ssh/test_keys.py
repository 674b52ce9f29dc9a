"""The key that many hosts share is decrypted once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncssh
import pytest

from nbserver.base.errors import SecretError
from nbserver.settings import private_key_file, windows_access
from nbserver.settings.windows_access import Access, Entry
from nbserver.transports.ssh import keys


def test_a_key_is_decrypted_once_and_each_connection_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load, loaded = asyncssh.load_keypairs, list[str]()

    def counted(paths: list[str], *given: Any) -> Any:
        loaded.extend(paths)
        return load(paths, *given)

    monkeypatch.setattr(asyncssh, "load_keypairs", counted)
    file = tmp_path / "key"
    first = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
    first.write_private_key(file, "pkcs8-pem", passphrase="secret words")
    file.chmod(0o600)
    (one,), (two,) = (keys.load_key(file, "secret words", host=host) for host in ("lin1", "lin2"))
    assert len(loaded) == 1
    one.set_sig_algorithm(b"rsa-sha2-256")
    two.set_sig_algorithm(b"rsa-sha2-512")
    assert (one.sig_algorithm, two.sig_algorithm) == (b"rsa-sha2-256", b"rsa-sha2-512")
    assert one.public_data == two.public_data == first.public_data

    with pytest.raises(SecretError, match="lin3: key_file: key_password does not decrypt"):
        keys.load_key(file, "other words", host="lin3")
    certificate = first.generate_user_certificate(first, "anna")
    certificate.write_certificate(f"{file}-cert.pub")
    assert [pair.has_cert for pair in keys.load_key(file, "secret words", host="lin1")] == [True, False]
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(file)
    (file.parent / "key-cert.pub").unlink()
    assert keys.load_key(file, None, host="lin1")[0].get_algorithm() == "ssh-ed25519"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_other_users_can_access_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "key"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(file)
    file.chmod(mode)
    with pytest.raises(SecretError, match=f"lin1: other users can access the private key .*chmod 600 {file}"):
        keys.load_key(file, None, host="lin1")
    file.chmod(0o400)
    assert keys.load_key(file, None, host="lin1")


def test_a_key_that_a_broad_group_of_windows_can_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, everyone = (Entry(0, 0, 0x1F01FF, sid) for sid in ("S-1-5-21-1-2-3-1001", "S-1-1-0"))
    lists: list[tuple[Entry, ...] | None] = [(own,), (own, everyone), None]
    monkeypatch.setattr(windows_access, "access_of", lambda path: Access("", lists.pop(0), is_folder=False))
    monkeypatch.setattr(private_key_file.os, "name", "nt")
    file = tmp_path / "key"
    file.touch()
    private_key_file.require_private(file, where="lin1")
    for _ in range(2):
        with pytest.raises(SecretError, match=r"lin1: other users can access the private key .*key: Everyone\. Run: icacls"):
            private_key_file.require_private(file, where="lin1")
