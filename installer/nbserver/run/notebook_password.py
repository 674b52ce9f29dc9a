"""Hash the notebook password on the workstation, so that the plain password never leaves it."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from nbserver.base.errors import SecretError
from nbserver.base.message import phrase
from nbserver.settings.secret_store import Need, SecretStore
from nbserver.settings.types import PASSWORD_MINIMUM

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    from nbserver.inventory.hosts import AnyHost

# The second recommended option of RFC 9106 (Argon2), section 4: t=3 iterations, p=4 lanes, m=2^16 KiB (64 MiB),
# a salt of 128 bits, and a tag of 256 bits. The server reads these parameters from the hash.
ITERATIONS = 3
LANES = 4
MEMORY_KIB = 65536
SALT_BYTES = 16
HASH_BYTES = 32


_CONTROL = re.compile(r"[\x00-\x1f]")


def hash_password(password: str, salt: bytes) -> str:
    """Return `argon2:$argon2id$v=19$m=65536,t=3,p=4$SALT$HASH`, for `PasswordIdentityProvider.hashed_password`.

    Takes a tenth of a second and 64 MiB. Raises SecretError if this Python cannot compute it.
    """
    try:
        return f"argon2:{_argon2id(salt).derive_phc_encoded(password.encode())}"
    except MemoryError:
        raise SecretError(
            "password-hash-memory",
            "hashing the password requires {limit} MiB of memory, but not enough is free",
            where="notebook.password",
            todo="Close other programs on this workstation, then run the command again",
            limit=MEMORY_KIB // 1024,
        ) from None


def _argon2id(salt: bytes) -> Argon2id:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    try:
        return Argon2id(salt=salt, length=HASH_BYTES, iterations=ITERATIONS, lanes=LANES, memory_cost=MEMORY_KIB)
    except UnsupportedAlgorithm:
        raise SecretError(
            "no-argon2id",
            "the Python package cryptography was built without Argon2id",
            where="notebook.password",
            todo="Install cryptography from a wheel, which includes an OpenSSL with Argon2id",
        ) from None


def former_salt(*, host: str, port: int) -> bytes:
    """Return the salt that nbserver 0.1.0 used for this host, by which its hashes are recognized and replaced."""
    return hashlib.sha256(f"nbserver:{host}:{port}".encode()).digest()[:SALT_BYTES]


class PasswordHashes:
    """The hashes of one run. Each password is hashed once, when the first host that has answered needs it.

    All hashes are computed in one thread: a hash needs 64 MiB, and OpenSSL's threads are shared (with cryptography 50, a
    concurrent derivation raises MemoryError). Raises SecretError if this Python has no Argon2id.
    """

    def __init__(self, salt: bytes, stop: threading.Event) -> None:
        _argon2id(salt)
        self._salt, self._stop = salt, stop
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="password-hash")
        self._lock = threading.Lock()
        self._found: dict[str, Future[str]] = {}

    def of(self, password: str) -> Callable[[], str]:
        """Return a function that waits for the password's hash and returns it. It raises SecretError, and StopRequested after `stop`."""

        def wait() -> str:
            with self._lock:
                future = self._found.get(password)
                if future is None:
                    future = self._found[password] = self._thread.submit(self._hash, password)
            return future.result()

        return wait

    def _hash(self, password: str) -> str:
        from nbserver.transports.transport import StopRequested

        if self._stop.is_set():
            raise StopRequested
        return hash_password(password, self._salt)

    def close(self) -> None:
        """Stop the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def need(host: AnyHost, *, confirm: bool = False) -> Need:
    """Return what to resolve for a host whose inventory has notebook.password."""
    assert host.notebook.password is not None
    return Need(host.notebook.password, "notebook.password", host.name, confirm)


def plain(host: AnyHost, secrets: SecretStore) -> str:
    """Return the host's plain notebook password. Raises SecretError."""
    if host.notebook.password is None:
        if secrets.ask is None:
            raise SecretError(
                "password-not-set",
                "the notebook password is not set, and there is no terminal to ask for it",
                where=host.name,
                todo="Set notebook.password in the inventory",
            )
        return secrets.ask(phrase("Notebook password of {name}: ", name=host.name))
    return secrets.get(need(host))


def check_password(password: str, *, host: str, minimum: int = PASSWORD_MINIMUM) -> None:
    """Raise SecretError for a password that is too short, or that the login form would change.

    The notebook server strips whitespace around the entered password and replaces control characters
    (`get_argument` of tornado 6.6, tornado/web.py), so such a password would never match its hash.
    """
    if not password:
        raise SecretError("password-empty", "the notebook password is empty", where=host, todo="Choose another password")
    if password != password.strip():
        raise SecretError(
            "password-outer-space", "the notebook password begins or ends with whitespace", where=host, todo="Choose another password"
        )
    if _CONTROL.search(password):
        raise SecretError(
            "password-control-character", "the notebook password contains a control character", where=host, todo="Choose another password"
        )
    if any("\ud800" <= character <= "\udfff" for character in password):
        raise SecretError("password-not-unicode", "the notebook password is not valid Unicode", where=host, todo="Choose another password")
    if len(password) < minimum:
        raise SecretError(
            "password-too-short",
            "the notebook password must have at least {minimum} characters, but it has only {count}",
            where=host,
            todo="Choose a longer password, such as four random words (notebook.password_minimum in the inventory sets the limit)",
            count=len(password),
            minimum=minimum,
        )
