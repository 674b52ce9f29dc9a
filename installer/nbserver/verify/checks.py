"""Does the notebook server do what a browser needs? Certificate, login, a kernel that computes and draws.

It needs nothing on the host but the notebook's port, and leaves nothing there: its kernel is shut down.
Requests and the WebSocket take the same proxy, if the environment names one, through CONNECT.
"""

from __future__ import annotations

import json
import math
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
import urllib3
import websocket

from nbserver.base import atomic_file, pinned_tls
from nbserver.base.allowance import Allowance, TooMuch
from nbserver.base.errors import CertificateError, ConnectError, HostError, VerifyError
from nbserver.base.plain_text import clean
from nbserver.verify import notebook_client, picture
from nbserver.verify.kernel_channel import KernelChannel, Output
from nbserver.verify.notebook_client import NOT_A_NOTEBOOK, Address, NotebookClient

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
_MOST_VERSIONS = 50
_VERSION_CHARACTERS = 100
_MARK = "nbserver-verify "
_CURVES = ((31, 119, 180), (214, 39, 40))  # the colours that the cell draws with

_COMPUTE = """
import glob, json, os, platform, ssl
from importlib import metadata
import ipykernel.connect
import numpy

terms = numpy.arange(1.0, TERMS + 1.0)
matrix = numpy.array([[4.0, 1.0, 0.0], [1.0, 3.0, 1.0], [0.0, 1.0, 2.0]])
versions = {"python": platform.python_version(), "openssl": ssl.OPENSSL_VERSION}
names = {"ipython": "ipython", "zmq": "pyzmq"}
for name in ("numpy", "matplotlib", "notebook", "jupyter_server", "tornado", "zmq", "ipython"):
    try:
        versions[name] = metadata.version(names.get(name, name))
    except metadata.PackageNotFoundError:
        pass
runtime = glob.escape(os.path.dirname(ipykernel.connect.get_connection_file()))
accepts_token = False
for path in sorted(glob.glob(os.path.join(runtime, "*server-*.json")), key=os.path.getmtime):
    try:
        with open(path, encoding="utf-8") as file:
            server = json.load(file)
        if server["port"] == PORT:  # the newest one: others were left by servers that were killed
            accepts_token = bool(server["token"])
    except (OSError, ValueError, LookupError, TypeError):
        pass
print("MARK" + json.dumps({
    "accepts_token": accepts_token,
    "sum": float(numpy.sum(1.0 / terms**2)),
    "solution": numpy.linalg.solve(matrix, matrix @ numpy.array([1.0, 2.0, 3.0])).tolist(),
    "versions": versions,
}))
"""

_DRAW = """
import json
import matplotlib
import matplotlib.pyplot as plt
import numpy

print("MARK" + json.dumps({"backend": matplotlib.get_backend()}))
x = numpy.linspace(0.0, 4.0 * numpy.pi, 400)
figure, axes = plt.subplots(figsize=(8, 4.5), dpi=100)
axes.plot(x, numpy.sin(x) * numpy.exp(-x / 10.0), color="#1f77b4", linewidth=2.5, label="sin(x) exp(-x/10)")
axes.plot(x, numpy.cos(x) * numpy.exp(-x / 10.0), color="#d62728", linewidth=2.5, label="cos(x) exp(-x/10)")
axes.set_title(f"NumPy {numpy.__version__} and Matplotlib {matplotlib.__version__}")
axes.set_xlabel("x")
axes.set_ylabel("y")
axes.grid(True, alpha=0.3)
axes.legend()
plt.show()
"""


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
    walk = _Walk(host.name, address, on_step, allowance)
    stop = stop_advice(host)
    with walk.step("certificate") as say:
        shown, end = _once_it_answers(lambda: _check_certificate(walk, fingerprint), wait)
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


def stop_advice(host: AnyHost) -> str:
    """What to do with a server that lets everybody in: end it, and start it with nothing but nbserver's configuration."""
    if host.system == "windows" and (
        host.transport != "local" or host.scope == "machine"
    ):  # its task would start it again within five minutes
        command = "on the host, as an administrator: schtasks /change /tn nbserver /disable, then schtasks /end /tn nbserver"
    elif host.transport == "local":
        command = f"nbserver stop {host.name}"
    else:
        command = "on the host, as root: systemctl disable --now nbserver"
    return (
        f"Stop it at once ({command}). If other settings than nbserver's were in effect, nbserver apply {host.name} starts it "
        "with nbserver's only; if it is another server, look for what else listens on the port"
    )


@dataclass
class _Walk:
    """Times the steps, tells about them, and gives every error its host and step."""

    host: str
    address: Address
    on_step: Callable[[str, str], None]
    allowance: Allowance
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        found: list[str] = []
        start = time.monotonic()
        try:
            yield found.append
        except HostError as error:
            error.where = self._where(name)
            raise
        except pinned_tls.FingerprintMismatch as error:
            raise error.for_host(self.host, where=self._where(name), todo=_OTHER_CERTIFICATE) from None
        except TooMuch as error:
            what = f"{self.address.netloc} {error}"
            raise VerifyError(what, host=self.host, where=self._where(name), todo=NOT_A_NOTEBOOK) from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, websocket.WebSocketException, OSError, UnicodeError) as error:
            raise self._connect_error(error, self._where(name)) from None
        self.seconds[name] = time.monotonic() - start
        self.on_step(name, " ".join(found))

    def _where(self, name: str) -> str:
        return f"{self.host}: verify: {name}"

    def _connect_error(self, error: Exception, where: str) -> HostError:
        there = self.address.netloc
        if seconds := self.allowance.over():
            what = f"{there} did not answer completely in {seconds:.0f} s"
            todo = "Check the load of the host and the network, and that it is the notebook server which answers there"
        elif isinstance(error, (socket.gaierror, UnicodeError)):
            what, todo = f"the name {self.address.host} is not known", "Check address and public_url in the inventory"
        elif isinstance(error, ConnectionRefusedError):
            what, todo = f"nothing listens at {there}", "Check the port, and on the host that the service nbserver runs"
        elif isinstance(error, (TimeoutError, requests.Timeout, websocket.WebSocketTimeoutException)):
            what = f"no answer from {there} in time"
            todo = "Check the firewall, the cloud's rules for the port, and that the service nbserver runs"
        elif isinstance(error, pinned_tls.ProxyRefused):
            what, todo = str(error), "Check HTTPS_PROXY and NO_PROXY on this workstation"
        elif isinstance(error, ssl.SSLError):
            what = f"{there} does not speak TLS ({error.reason or 'no handshake'})"
            todo = "Check the port: the notebook server speaks HTTPS only"
        else:
            reason = getattr(error, "strerror", None) or type(error).__name__
            what = f"the connection to {there} failed ({reason})"
            todo = "Check the network, then run nbserver verify again"
        return ConnectError(what, host=self.host, where=where, todo=todo)


_OTHER_CERTIFICATE = (
    "If it was replaced on purpose, run nbserver apply to record it; if not, somebody may stand between: "
    "do not type the password into a browser"
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


def _check_certificate(walk: _Walk, fingerprint: str | None) -> tuple[str, datetime]:
    """The fingerprint that the server shows and the end of its validity, once it is clear that it is the right one."""
    from cryptography import x509

    address = walk.address
    proxy = pinned_tls.proxy_for(address.url)
    seconds = notebook_client.REQUEST_SECONDS
    walk.allowance.exchange(seconds)
    try:
        with _connect(address, fingerprint, proxy, walk.allowance) as tls:
            der = tls.getpeercert(binary_form=True) or b""
    except ssl.SSLCertVerificationError as error:
        shown = pinned_tls.certificate_at(address.host, address.port, timeout=min(seconds, walk.allowance.left()), proxy=proxy)
        reason = f"{pinned_tls.fingerprint_of(shown)}: {error.verify_message}"
        todo = "Run nbserver apply, which records the certificate, or make the authority that signed it trusted here"
        raise CertificateError(f"this workstation does not trust the certificate {reason}", host=walk.host, todo=todo) from None
    try:
        certificate = x509.load_der_x509_certificate(der)
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except (ValueError, x509.InvalidVersion):
        what = f"the certificate {pinned_tls.fingerprint_of(der)} cannot be read"
        raise CertificateError(what, host=walk.host, todo="Run nbserver apply, which makes a new one") from None
    if not start <= datetime.now(UTC) <= end:
        what = f"the certificate is valid from {start:%Y-%m-%d} to {end:%Y-%m-%d} only, a browser refuses it"
        todo = "Run nbserver apply, which makes a new one, or set this workstation's clock"
        raise CertificateError(what, host=walk.host, todo=todo)
    return pinned_tls.fingerprint_of(der), end


def _use_kernel(
    walk: _Walk, client: NotebookClient, kernel: str, fingerprint: str | None, seconds: float, port: int, stop: str
) -> tuple[dict[str, str], bytes]:
    """The versions that the kernel reports, and the picture that it drew."""
    with ExitStack() as open_channels:
        with walk.step("compute") as say:
            channel = open_channels.enter_context(_open_channel(walk, client, kernel, fingerprint, seconds))
            terms = 50_000 + secrets.randbelow(50_000)  # so that no ready-made answer fits
            cell = _COMPUTE.replace("MARK", _MARK).replace("TERMS", str(terms)).replace("PORT", str(port))
            answer = _answer(channel.run(cell, seconds=seconds), walk.host)
            _check_results(answer, terms, walk.host)
            if answer.get("accepts_token"):
                raise VerifyError("the server accepts a token that nbserver did not set, beside the password", host=walk.host, todo=stop)
            versions = _versions(answer["versions"])
            say(f"NumPy {versions.get('numpy')} computes right on Python {versions.get('python')}")
        with walk.step("draw") as say:
            output = channel.run(_DRAW.replace("MARK", _MARK), seconds=seconds)
            backend = clean(str(_answer(output, walk.host).get("backend")), _VERSION_CHARACTERS)
            if len(output.pictures) != 1:
                what = f"the cell drew {len(output.pictures)} pictures, expected 1 (Matplotlib's backend is {backend})"
                todo = "Remove MPLBACKEND and the backend in matplotlibrc on the host: a notebook needs the inline one"
                raise VerifyError(what, host=walk.host, todo=todo)
            say(f"Matplotlib {versions.get('matplotlib')} draws")
    return versions, output.pictures[0]


def _connect(address: Address, fingerprint: str | None, proxy: str | None, allowance: Allowance) -> ssl.SSLSocket:
    timeout = min(notebook_client.REQUEST_SECONDS, allowance.left())
    return pinned_tls.connect(address.host, address.port, fingerprint=fingerprint, timeout=timeout, proxy=proxy, allowance=allowance)


def _open_channel(walk: _Walk, client: NotebookClient, kernel: str, fingerprint: str | None, seconds: float) -> KernelChannel:
    address = client.address
    path = f"/api/kernels/{kernel}/channels"
    walk.allowance.exchange(notebook_client.REQUEST_SECONDS)
    return KernelChannel(
        _connect(address, fingerprint, client.proxy, walk.allowance),
        url=f"wss://{address.netloc}{address.path}{path}",
        origin=address.origin,
        cookie=client.cookies_for(path),
        host=client.host,
        seconds=seconds,
        allowance=walk.allowance,
    )


def _versions(answer: dict[str, Any]) -> dict[str, str]:
    """Names and versions that fit on a line; what is no text is left out."""
    items = sorted((name, version) for name, version in answer.items() if isinstance(version, str))[:_MOST_VERSIONS]
    cleaned = ((clean(name, _VERSION_CHARACTERS), clean(version, _VERSION_CHARACTERS)) for name, version in items)
    return {name: version for name, version in cleaned if name and version}


def _answer(output: Output, host: str) -> dict[str, Any]:
    """The one line of JSON that a cell prints behind the mark."""
    lines = [line.removeprefix(_MARK) for line in output.stdout.splitlines() if line.startswith(_MARK)]
    try:
        (line,) = lines
        answer = json.loads(line)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise VerifyError("the cell did not print what it should", host=host, todo=_NOT_OURS)
    return answer


_NOT_OURS = "Look at the kernel's start-up files on the host (IPYTHONDIR, sitecustomize): something changes its output"


def _check_results(answer: dict[str, Any], terms: int, host: str) -> None:
    """Against what this workstation computes: a sum of 1/k^2, and a linear system whose solution is 1, 2, 3."""
    expected = [math.fsum(1.0 / k**2 for k in range(1, terms + 1)), 1.0, 2.0, 3.0]
    try:
        results = [float(number) for number in [answer["sum"], *answer["solution"]]]
        complete = len(results) == len(expected) and isinstance(answer["versions"], dict)
    except (KeyError, TypeError, ValueError, OverflowError):
        complete = False
    if not complete:
        raise VerifyError("the cell did not print what it should", host=host, todo=_NOT_OURS)
    if not all(math.isclose(is_, should, rel_tol=1e-9) for is_, should in zip(results, expected, strict=True)):
        what = f"NumPy computes {results}, expected {expected}"
        raise VerifyError(what, host=host, todo="Run nbserver apply: the installed packages may be damaged")


def _keep_picture(host: str, png: bytes, directory: Path | None) -> tuple[tuple[int, int], Path | None]:
    try:
        size = picture.check(png, colours=_CURVES)
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
