"""The notebook's password as its server stores it: computed here, so that the plain one never leaves the workstation."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from installer.errors import SecretError

# What jupyter_server.auth.passwd writes (jupyter_server 2.21, jupyter_server/auth/security.py, with argon2-cffi's lengths).
MEMORY_KIB = 10240
ITERATIONS = 10
LANES = 8
HASH_BYTES = 32
SALT_BYTES = 16

_CONTROL = re.compile(r"[\x00-\x1f]")


def hash_password(password: str, *, host: str, port: int) -> str:
    """`argon2:$argon2id$v=19$m=10240,t=10,p=8$SALT$HASH`, for `PasswordIdentityProvider.hashed_password`.

    The salt comes from the host's name in the inventory and the notebook's port, so that a second run finds nothing
    to change. Raises SecretError for a password with which nobody could log in.
    """
    return hasher(password, host=host, port=port)()


def hasher(password: str, *, host: str, port: int) -> Callable[[], str]:
    """What computes the hash, which takes a twentieth of a second of a processor; all that can be refused is refused here.

    One at a time: OpenSSL's threads are shared, and a second derivation beside the first finds none (cryptography 50: MemoryError).
    Raises SecretError.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    check_password(password, host=host)
    salt = hashlib.sha256(f"nbserver:{host}:{port}".encode()).digest()[:SALT_BYTES]
    try:
        argon2id = Argon2id(salt=salt, length=HASH_BYTES, iterations=ITERATIONS, lanes=LANES, memory_cost=MEMORY_KIB)
    except UnsupportedAlgorithm:
        raise SecretError(
            "this Python's cryptography has no Argon2id",
            where=host,
            todo="Install the cryptography wheel, which brings an OpenSSL that has it",
        ) from None
    return lambda: f"argon2:{argon2id.derive_phc_encoded(password.encode())}"


def check_password(password: str, *, host: str) -> None:
    """Raises SecretError for a password that the login form would not pass on as it is.

    The notebook server strips white space around what was typed and replaces control characters
    (`get_argument` of tornado 6.6, tornado/web.py), so such a password would never match its hash.
    """
    todo = "Choose another one"
    if not password:
        raise SecretError("the notebook password is empty", where=host, todo=todo)
    if password != password.strip():
        raise SecretError("the notebook password begins or ends with white space", where=host, todo=todo)
    if _CONTROL.search(password):
        raise SecretError("the notebook password has a control character in it", where=host, todo=todo)
    if any("\ud800" <= character <= "\udfff" for character in password):
        raise SecretError("the notebook password is no valid Unicode text", where=host, todo=todo)
