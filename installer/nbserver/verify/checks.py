"""Does the notebook server do what a browser needs? Certificate, login, a kernel that computes and draws.

It needs nothing on the host but the notebook's port, and leaves nothing there: its kernel is shut down.
Requests and the WebSocket take the same proxy, if the environment names one, through CONNECT.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from nbserver.base import atomic_file
from nbserver.base.allowance import Allowance
from nbserver.base.errors import VerifyError
from nbserver.base.plain_text import clean
from nbserver.inventory.by_kind import ByKind
from nbserver.verify import notebook_client, picture
from nbserver.verify.cells import COMPUTE, CURVES, DRAW, MARK, VERSION_CHARACTERS, answer_of, check_results, versions_of
from nbserver.verify.kernel_channel import KernelChannel
from nbserver.verify.notebook_client import Address, NotebookClient
from nbserver.verify.shown_certificate import check_certificate, connect
from nbserver.verify.walk import Walk

if TYPE_CHECKING:
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
    """What was seen. `fingerprint` is the certificate's, `png_size` in pixels, `seconds` by the names in STEPS."""

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
    on_step: Callable[[str, str], None] = lambda name, text: None,
    kernel_seconds: float = KERNEL_SECONDS,
    total_seconds: float = TOTAL_SECONDS,
    wait: float = 0,
) -> Verification:
    """Logs in as a browser does, computes with NumPy, draws with Matplotlib and keeps the picture.

    `fingerprint` is the expected certificate's; None asks this workstation's trust store and checks name and validity.
    `url` replaces the address that the settings give. `png_directory` is made where it is missing; the picture is
    HOST.png in it. `on_step` is called after each step with its name (of STEPS) and what was found. A whole
    answer may take 30 s, the kernel's start and each cell `kernel_seconds`, everything `total_seconds`. So many seconds as
    `wait` a server that does not answer yet is asked again, before that time begins.
    Raises ConnectError, CertificateError, VerifyError (each names host and step), UsageError for a URL that is none.
    """
    address = Address.parse(url) if url else address_of(host)
    allowance = Allowance(wait + total_seconds)
    walk = Walk(host.name, address, on_step, allowance)
    stop = stop_advice(host)
    with walk.step("certificate") as say:
        shown, end = _once_it_answers(lambda: check_certificate(walk, fingerprint), wait)
        say(f"{shown}, valid until {end:%Y-%m-%d}")
    allowance.within(total_seconds)
    with NotebookClient(address, host=host.name, fingerprint=fingerprint, allowance=allowance, stop=stop) as client:
        with walk.step("anonymous") as say:
            client.expect_anonymous_refused()
            say("access without a password is refused")
        with walk.step("token") as say:
            client.expect_any_token_refused()
            say("a random token is refused")
        with walk.step("wrong_password") as say:
            client.expect_wrong_password_refused()
            say("a wrong password is refused")
        with walk.step("login") as say:
            client.login(password)
            say("logged in")
        with walk.step("kernel") as say:
            kernel, tries = client.start_kernel(seconds=kernel_seconds)
            say("a kernel runs" if tries == 1 else f"a kernel runs, at try {tries}: the server's log on the host says why not at once")
        try:
            versions, png = _use_kernel(walk, client, kernel, fingerprint, kernel_seconds, host.notebook.port, stop)
            with walk.step("picture") as say:
                size, path = _keep_picture(host.name, png, png_directory)
                say(f"{size[0]} x {size[1]} pixels" + (f", {path}" if path else ""))
        except BaseException:
            allowance.within(_CLEAN_UP_SECONDS)
            with suppress(Exception):
                client.stop_kernel(kernel)
            raise
        with walk.step("shutdown") as say:
            client.stop_kernel(kernel)
            say("the kernel is shut down")
    return Verification(host.name, address.url, shown, versions, path, size, dict(walk.seconds))


def address_of(host: AnyHost) -> Address:
    """The public URL where the settings have one, else the host's address and the notebook's port."""
    if host.notebook.public_url:
        return Address.parse(str(host.notebook.public_url))
    return Address(str(host.address), host.notebook.port)


# The command that ends a server that lets everybody in. The task of Windows would start it again within five minutes.
END_TASK = "on the host, as an administrator: schtasks /change /tn nbserver /disable, then schtasks /end /tn nbserver"
_end_command = ByKind(
    windows=lambda host: END_TASK,
    linux=lambda host: "on the host, as root: systemctl disable --now nbserver",
    local_windows=lambda host: END_TASK if host.scope == "machine" else f"nbserver stop {host.name}",
    local_linux=lambda host: f"nbserver stop {host.name}",
)


def stop_advice(host: AnyHost) -> str:
    """What to do with a server that lets everybody in: end it, and start it with nothing but nbserver's configuration."""
    return (
        f"Stop it at once ({_end_command(host)}). If other settings than nbserver's were in effect, nbserver apply {host.name} starts it "
        "with nbserver's only; if it is another server, look for what else listens on the port"
    )


def _once_it_answers(ask: Callable[[], tuple[str, datetime]], seconds: float) -> tuple[str, datetime]:
    """What is asked, again each second for so long while there is no answer; a wrong answer is not waited on."""
    until = time.monotonic() + seconds
    while True:
        try:
            return ask()
        except OSError:
            if time.monotonic() >= until:
                raise
        time.sleep(ANSWER_PAUSE)


def _use_kernel(
    walk: Walk, client: NotebookClient, kernel: str, fingerprint: str | None, seconds: float, port: int, stop: str
) -> tuple[dict[str, str], bytes]:
    """The versions that the kernel reports, and the picture that it drew."""
    with ExitStack() as open_channels:
        with walk.step("compute") as say:
            channel = open_channels.enter_context(_open_channel(walk, client, kernel, fingerprint, seconds))
            terms = 50_000 + secrets.randbelow(50_000)  # so that no ready-made answer fits
            cell = COMPUTE.replace("MARK", MARK).replace("TERMS", str(terms)).replace("PORT", str(port))
            answer = answer_of(channel.run(cell, seconds=seconds), walk.host)
            check_results(answer, terms, walk.host)
            if answer.get("accepts_token"):
                raise VerifyError("the server accepts a token that nbserver did not set, beside the password", host=walk.host, todo=stop)
            versions = versions_of(answer["versions"])
            say(f"NumPy {versions.get('numpy')} computes right on Python {versions.get('python')}")
        with walk.step("draw") as say:
            output = channel.run(DRAW.replace("MARK", MARK), seconds=seconds)
            backend = clean(str(answer_of(output, walk.host).get("backend")), VERSION_CHARACTERS)
            if len(output.pictures) != 1:
                what = f"the cell drew {len(output.pictures)} pictures, expected 1 (Matplotlib's backend is {backend})"
                todo = "Remove MPLBACKEND and the backend in matplotlibrc on the host: a notebook needs the inline one"
                raise VerifyError(what, host=walk.host, todo=todo)
            say(f"Matplotlib {versions.get('matplotlib')} draws")
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


def _keep_picture(host: str, png: bytes, directory: Path | None) -> tuple[tuple[int, int], Path | None]:
    try:
        size = picture.check(png, colours=CURVES)
    except ValueError as error:
        raise VerifyError(str(error), host=host, todo="Draw it in a browser and compare") from None
    if directory is None:
        return size, None
    path = directory / f"{host}.png"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        atomic_file.write_bytes(path, png)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise VerifyError(f"{path} cannot be written ({reason})", host=host, todo="Choose another folder") from None
    return size, path
