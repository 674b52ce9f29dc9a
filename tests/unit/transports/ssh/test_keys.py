"""The key that many hosts share is decrypted once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import asyncssh
import pytest

from nbserver.base.errors import SecretError
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
