"""Verify a notebook server as a browser would use it: certificate, login, and a kernel that computes and draws.

The verification needs only the notebook port and leaves nothing on the host: it shuts down its kernel. Requests and the
WebSocket use the same proxy, if the environment sets one, with CONNECT.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base import atomic_file, this_machine
from nbserver.base.allowance import Allowance
from nbserver.base.errors import VerifyError
from nbserver.base.message import Described, Message, cause, message, phrase
from nbserver.base.plain_text import clean
from nbserver.inventory.by_kind import ByKind
from nbserver.verify import notebook_client, picture
from nbserver.verify.cells import COMPUTE, CURVES, DRAW, MARK, VERSION_CHARACTERS, answer_of, check_results, versions_of
from nbserver.verify.kernel_channel import KernelChannel
from nbserver.verify.notebook_client import Address, NotebookClient
from nbserver.verify.shown_certificate import check_certificate, connect
from nbserver.verify.walk import Walk

if TYPE_CHECKING:
    from nbserver.base.dialing import Dial
    from nbserver.inventory.hosts import AnyHost

KERNEL_SECONDS = 180.0
TOTAL_SECONDS = 900.0
ANSWER_PAUSE = 1.0
STEPS = (
    "certificate",
    "anonymous",
    "token",
    "wrong_password",
    "login",
    "kernel",
    "compute",
    "draw",
    "picture",
    "shutdown",
)

_CLEAN_UP_SECONDS = 30.0


@dataclass(frozen=True)
class Verification:
    """The result of a verification. `fingerprint` is the certificate's, `png_size` is in pixels, `seconds` maps names in STEPS."""

    host: str
    url: str
    fingerprint: str
    versions: dict[str, str]
    png: Path | None
    png_size: tuple[int, int]
    seconds: dict[str, float]


def verify(
    host: AnyHost,
    *,
    password: str,
    fingerprint: str | None,
    png_directory: Path | None,
    url: str | None = None,
    dial: Dial | None = None,
    on_step: Callable[[str, str], None] = lambda name, text: None,
    kernel_seconds: float = KERNEL_SECONDS,
    total_seconds: float = TOTAL_SECONDS,
    wait: float = 0,
    drawn: Callable[[bytes], None] = lambda png: None,
) -> Verification:
    """Log in like a browser, compute with NumPy, draw with Matplotlib, and save the picture.

    `fingerprint` is that of the expected certificate. None uses this workstation's trust store and checks name and validity.
    `url` replaces the address from the settings. `dial` opens the connections, if jump hosts are on the way. A proxy is not used then,
    nor for this machine. The picture is saved as
    HOST.png in `png_directory`, which is created if it is missing. `on_step` is called after each step with its name (in STEPS) and
    its result. A response may take 30 s, the start of the kernel and each cell `kernel_seconds`, and everything `total_seconds`.
    `drawn` gets the picture, a PNG file. Before that, a server that does not answer yet is retried for `wait` seconds.
    Raises ConnectError, CertificateError, and VerifyError, each with host and step, and UsageError for an invalid URL.
    """
    address = Address.parse(url) if url else address_of(host)
    address = replace(address, dial=dial or this_machine.dial_to(address.host, address.port))
    allowance = Allowance(wait + total_seconds)
    walk = Walk(host.name, address, on_step, allowance)
    stop = stop_advice(host)
    with walk.step("certificate") as say:
        shown, end = _once_it_answers(lambda: check_certificate(walk, fingerprint), wait)
        say(phrase("{fingerprint}, valid until {date}", fingerprint=shown, date=f"{end:%Y-%m-%d}"))
    allowance.within(total_seconds)
    with NotebookClient(address, host=host.name, fingerprint=fingerprint, allowance=allowance, stop=stop) as client:
        with walk.step("anonymous") as say:
            client.expect_anonymous_refused()
            say(phrase("access without a password is rejected"))
        with walk.step("token") as say:
            client.expect_any_token_refused()
            say(phrase("a random token is rejected"))
        with walk.step("wrong_password") as say:
            client.expect_wrong_password_refused()
            say(phrase("a wrong password is rejected"))
        with walk.step("login") as say:
            client.login(password)
            say(phrase("logged in"))
        with walk.step("kernel") as say:
            kernel, tries = client.start_kernel(seconds=kernel_seconds)
            say(
                phrase("a kernel is running")
                if tries == 1
                else phrase("a kernel is running, after {tries} attempts: see the server's log on the host", tries=tries)
            )
        try:
            versions, png = _use_kernel(walk, client, kernel, fingerprint, kernel_seconds, host.notebook.port, stop)
            with walk.step("picture") as say:
                size, path = keep_picture(host.name, png, png_directory)
                drawn(png)
                pixels = phrase("{width} x {height} pixels", width=size[0], height=size[1])
                say(phrase("{pixels}, {file}", pixels=pixels, file=path) if path else pixels)
        except BaseException:
            allowance.within(_CLEAN_UP_SECONDS)
            with suppress(Exception):
                client.stop_kernel(kernel)
            raise
        with walk.step("shutdown") as say:
            client.stop_kernel(kernel)
            say(phrase("the kernel is shut down"))
    return Verification(host.name, address.url, shown, versions, path, size, dict(walk.seconds))


def address_of(host: AnyHost) -> Address:
    """Return the public URL if it is set, and otherwise the host's address and the notebook port."""
    if host.notebook.public_url:
        return Address.parse(str(host.notebook.public_url))
    return Address(str(host.address), host.notebook.port)


# The command that stops a server with open access. On Windows, the task would restart it within five minutes.
END_TASK = message(
    "end-task", "on the host, run as an administrator: schtasks /change /tn nbserver /disable, then schtasks /end /tn nbserver"
)
END_UNIT = message("end-unit", "on the host, run as root: systemctl disable --now nbserver")
_end_command = ByKind(
    windows=lambda host: END_TASK,
    linux=lambda host: END_UNIT,
    local_windows=lambda host: END_TASK if host.scope == "machine" else _stop_local(host.name),
    local_linux=lambda host: _stop_local(host.name),
)


def _stop_local(name: str) -> Message:
    return message("stop-local", "nbserver stop {name}", name=name)


def stop_advice(host: AnyHost) -> Message:
    """Return what to do with a server with open access: stop it, and start it with nbserver's configuration only."""
    return message(
        "stop-server",
        "Stop the server immediately ({command}). If it is the notebook server with changed settings, run "
        "nbserver apply {name}, which starts it with nbserver's settings. Otherwise, find out which program "
        "is listening on the port",
        command=_end_command(host),
        name=host.name,
    )


def _once_it_answers(ask: Callable[[], tuple[str, datetime]], seconds: float) -> tuple[str, datetime]:
    """Return the result of `ask`, which is retried for `seconds` while there is no answer. A wrong answer is not retried."""
    until = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except OSError:
            if time.monotonic() >= until:
                raise
        time.sleep(ANSWER_PAUSE)


def _use_kernel(
    walk: Walk, client: NotebookClient, kernel: str, fingerprint: str | None, seconds: float, port: int, stop: Described
) -> tuple[dict[str, str], bytes]:
    """Return the versions that the kernel reports, and the picture that it drew."""
    with ExitStack() as open_channels:
        with walk.step("compute") as say:
            channel = open_channels.enter_context(_open_channel(walk, client, kernel, fingerprint, seconds))
            terms = 50_000 + secrets.randbelow(50_000)  # random, so that no canned answer matches
            cell = COMPUTE.replace("MARK", MARK).replace("TERMS", str(terms)).replace("PORT", str(port))
            answer = answer_of(channel.run(cell, seconds=seconds), walk.host)
            check_results(answer, terms, walk.host)
            if answer.get("accepts_token"):
                raise VerifyError(
                    "token-accepted",
                    "in addition to the password, the server accepts a token that nbserver did not set",
                    host=walk.host,
                    todo="{advice}",
                    advice=stop,
                )
            versions = versions_of(answer["versions"])
            say(phrase("NumPy {numpy} computes correctly on Python {python}", numpy=versions.get("numpy"), python=versions.get("python")))
        with walk.step("draw") as say:
            output = channel.run(DRAW.replace("MARK", MARK), seconds=seconds)
            backend = clean(str(answer_of(output, walk.host).get("backend")), VERSION_CHARACTERS)
            if len(output.pictures) != 1:
                raise VerifyError(
                    "pictures-drawn",
                    "the test cell drew {count} plots, expected 1 (Matplotlib backend: {backend})",
                    host=walk.host,
                    todo="On the host, unset MPLBACKEND and remove backend from matplotlibrc, because notebooks require the inline backend",
                    count=len(output.pictures),
                    backend=backend,
                )
            say(phrase("Matplotlib {version} draws", version=versions.get("matplotlib")))
    return versions, output.pictures[0]


def _open_channel(walk: Walk, client: NotebookClient, kernel: str, fingerprint: str | None, seconds: float) -> KernelChannel:
    address = client.address
    path = f"/api/kernels/{kernel}/channels"
    walk.allowance.exchange(notebook_client.REQUEST_SECONDS)
    return KernelChannel(
        connect(address, fingerprint, client.proxy, walk.allowance),
        url=f"wss://{address.netloc}{address.path}{path}",
        origin=address.origin,
        cookie=client.cookies_for(path),
        host=client.host,
        seconds=seconds,
        allowance=walk.allowance,
    )


def keep_picture(host: str, png: bytes, directory: Path | None) -> tuple[tuple[int, int], Path | None]:
    """Return the size of a picture and its path. It is written only if there is a folder. Raises VerifyError."""
    try:
        size = picture.check(png, colours=CURVES)
    except ValueError as error:
        raise VerifyError(
            "picture-unexpected",
            "the kernel drew an unexpected plot: {reason}",
            host=host,
            todo="Open a notebook in a browser, and check whether Matplotlib draws plots correctly",
            reason=cause(error),
        ) from None
    if directory is None:
        return size, None
    path = directory / f"{host}.png"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        atomic_file.write_bytes(path, png)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise VerifyError(
            "picture-not-written",
            "could not write {path} ({reason})",
            host=host,
            todo="Choose another folder with --png",
            path=path,
            reason=reason,
        ) from None
    return size, path
