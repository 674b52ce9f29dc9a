"""The verifier against a real notebook server: what passes, and what each failure says."""

from __future__ import annotations

import json
import re
import socket
import ssl
import sys
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nbserver.base.errors import CertificateError, ConnectError, VerifyError
from nbserver.commands import verify as verification
from nbserver.inventory import reader
from nbserver.inventory.hosts import AnyHost
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.inventory.local_windows_host import LocalWindowsHost
from nbserver.inventory.windows_host import WindowsHost
from nbserver.run.options import Options
from nbserver.verify.checks import STEPS, stop_advice
from tests.cluster.processes import ClusterProcesses
from tests.notebook_fixtures import certificate, needs_notebook, no_proxies, server  # noqa: F401
from tests.notebook_server import (
    Forwarder,
    NotebookServer,
    kernels,
    notebook_server,
)
from tests.verify.checking import OTHER, Run, host
from tests.waiting import wait_until

_END_TASK = "on the host, run as an administrator: schtasks /change /tn nbserver /disable, then schtasks /end /tn nbserver"


@needs_notebook
def test_a_notebook_server_passes_and_leaves_its_picture(server: NotebookServer, tmp_path: Path) -> None:
    run = Run()
    seen = run.verify(server.port, fingerprint=server.certificate.fingerprint, png_directory=tmp_path / "new" / "png")

    assert run.names == STEPS == tuple(seen.seconds)
    assert all(text for _, text in run.steps)
    assert (seen.host, seen.url, seen.fingerprint) == ("box", server.url, server.certificate.fingerprint)
    for name in ("numpy", "matplotlib", "notebook", "jupyter_server", "tornado", "ipython"):
        assert seen.versions[name] == version(name)
    assert seen.versions["zmq"] == version("pyzmq")
    assert seen.versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert seen.versions["openssl"] == ssl.OPENSSL_VERSION

    assert seen.png == tmp_path / "new" / "png" / "box.png"
    assert [entry.name for entry in seen.png.parent.iterdir()] == ["box.png"]
    with Image.open(seen.png) as image:
        assert image.format == "PNG"
        assert image.size == seen.png_size
        colours = {colour: count for count, colour in image.convert("RGB").getcolors(image.width * image.height) or []}
    assert colours[(31, 119, 180)] > 500
    assert colours[(214, 39, 40)] > 500
    assert max(colours, key=lambda colour: colours[colour]) == (255, 255, 255)
    assert kernels(server) == []


@needs_notebook
def test_from_a_worker_of_a_cluster(
    server: NotebookServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NOTEBOOK_PASSWORD", server.password)
    monkeypatch.setattr("nbserver.verify.checks.verify", pytest.fail)
    (tmp_path / "nbserver.toml").write_text(
        '[defaults]\nsystem = "linux"\naddress = "127.0.0.1"\nuser = "root"\nnotebook.password = { env = "NOTEBOOK_PASSWORD" }\n'
        f"[hosts.box]\nnotebook.port = {server.port}\n[hosts.gone]\nnotebook.port = 1024\n"
    )
    known = {"box": {"fingerprint": server.certificate.fingerprint, "run": "run-1", "time": "2026-11-29T10:00:00Z"}}
    (tmp_path / "nbserver.known").write_text(json.dumps({"v": 1, "hosts": known}))
    loaded = reader.load(tmp_path / "nbserver.toml")
    cluster = ClusterProcesses(tmp_path / "cluster")
    try:
        options = Options(**cluster.with_workers("").options())  # type: ignore[arg-type]
        code = verification.verify_all(loaded, loaded.select(["box", "gone"]), tmp_path / "png", None, True, options=options)
    finally:
        cluster.close()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 3 and [line["step"] for line in lines[:-1] if line["host"] == "box"] == list(STEPS)
    box, gone = (lines[-1]["hosts"][name] for name in ("box", "gone"))
    assert (box["outcome"], box["png"], gone["code"]) == ("ok", str(tmp_path / "png" / "box.png"), "notebook-nothing-listening")
    assert (tmp_path / "png" / "box.png").read_bytes().startswith(b"\x89PNG")
    assert next(line["text"] for line in lines if line.get("step") == "picture").endswith("pixels")
    assert server.password not in cluster.logs()


@needs_notebook
def test_through_a_port_translation_with_a_public_url(server: NotebookServer) -> None:
    with Forwarder(server.port) as front:
        url = f"https://localhost:{front.port}/"
        seen = Run().verify(1, address="no.invalid", public_url=url, fingerprint=server.certificate.fingerprint)
    assert seen.url == f"https://localhost:{front.port}"
    assert seen.png is None


class Late(Forwarder):
    """Closes the first two connections at once, as the port of a server that is just starting does."""

    def _forward(self, client: socket.socket) -> None:
        self.tries = getattr(self, "tries", 0) + 1
        if self.tries > 2:
            super()._forward(client)
        client.close()


@needs_notebook
def test_a_server_that_answers_late_is_waited_for(server: NotebookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nbserver.verify.checks.ANSWER_PAUSE", 0.05)
    with Late(server.port) as front:
        with pytest.raises(ConnectError):
            Run().verify(front.port, fingerprint=server.certificate.fingerprint)
        run = Run()
        run.verify(front.port, fingerprint=server.certificate.fingerprint, wait=60)
        assert front.tries > 2 and run.names == STEPS
        with pytest.raises(CertificateError):  # no reason to wait
            Run().verify(front.port, fingerprint=OTHER, wait=3600)


@needs_notebook
def test_over_ipv6(server: NotebookServer) -> None:
    try:
        front = Forwarder(server.port, address="::1")
    except OSError:
        pytest.skip("needs IPv6 on the loopback interface")
    with front:
        seen = Run().verify(front.port, address="::1", fingerprint=server.certificate.fingerprint)
    assert seen.url == f"https://[::1]:{front.port}"


@needs_notebook
def test_through_a_proxy_that_sees_no_password(server: NotebookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with Forwarder(server.port, proxy=True) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        seen = Run().verify(9999, address="win1.example.com", fingerprint=server.certificate.fingerprint)
    assert seen.url == "https://win1.example.com:9999"
    sent = b"".join(proxy.sent)
    connects = re.findall(rb"CONNECT (\S+) HTTP/1.[01]\r\n", sent)
    assert set(connects) == {b"win1.example.com:9999"}
    assert len(connects) >= 3  # the certificate, the requests, the WebSocket
    assert b"password" not in sent


@needs_notebook
@pytest.mark.parametrize("address", ["localhost", "Notebooks.LocalHost", "127.0.0.1"])
def test_this_machine_needs_neither_etc_hosts_nor_a_proxy(address: str, server: NotebookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def without_hosts(name: str, *given: Any, **more: Any) -> Any:
        return resolve(name, *given, **{**more, "flags": socket.AI_NUMERICHOST})

    monkeypatch.setattr(socket, "getaddrinfo", without_hosts)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(CertificateError, match=server.certificate.fingerprint):
        Run().verify(server.port, address=address)


@needs_notebook
@pytest.mark.skipif(sys.platform != "linux", reason="needs a system whose trust SSL_CERT_FILE can replace (Linux)")
def test_without_a_fingerprint_the_systems_trust_decides(server: NotebookServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CertificateError) as refused:
        Run().verify(server.port, fingerprint=None)
    assert server.certificate.fingerprint in str(refused.value)
    monkeypatch.setenv("SSL_CERT_FILE", str(server.certificate.certificate))
    assert Run().verify(server.port, fingerprint=None).fingerprint == server.certificate.fingerprint


@needs_notebook
def test_a_wrong_password_says_so_and_is_not_told(server: NotebookServer) -> None:
    run = Run()
    with pytest.raises(VerifyError) as refused:
        run.verify(server.port, password="hunter2-wrong", fingerprint=server.certificate.fingerprint)
    assert str(refused.value).startswith("box: verify: login: the server rejected the password. ")
    assert refused.value.host == "box"
    assert run.names == ("certificate", "anonymous", "token", "wrong_password")
    assert "hunter2" not in f"{refused.value!r} {refused.value.__dict__} {run.steps}"


@needs_notebook
@pytest.mark.skipif(sys.platform == "win32", reason="the kernel's program is a shell script")
def test_a_kernel_that_does_not_start_at_once_is_asked_for_again_and_told(tmp_path: Path) -> None:
    """The program of its kernelspec is there at the second try only; where it never is, the answer is told."""
    program = tmp_path / "kernel"
    spec = tmp_path / "jupyter_data_dir" / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(
        json.dumps(
            {"argv": [str(program), "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "x", "language": "python"}
        )
    )
    (tmp_path / "new").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tmp_path / "new").chmod(0o755)
    with notebook_server(tmp_path, environment={"JUPYTER_PREFER_ENV_PATH": "0"}) as server:

        def refusals() -> int:
            return server.log.read_text(errors="replace").count(
                "Uncaught exception POST /api/kernels"
            )  # the server logs it before it answers

        with pytest.raises(VerifyError, match=r"kernel: the server could not start a kernel \(HTTP status 500\)"):
            Run().verify(server.port, fingerprint=server.certificate.fingerprint)
        assert refusals() == 2
        thread = threading.Thread(target=lambda: wait_until(lambda: refusals() > 2) and (tmp_path / "new").rename(program))
        thread.start()
        run = Run()
        run.verify(server.port, fingerprint=server.certificate.fingerprint)
        thread.join()
    assert dict(run.steps)["kernel"].startswith("a kernel is running, after 2 attempts: ") and run.names == STEPS


@needs_notebook
def test_another_certificate_ends_it_before_anything_is_sent(server: NotebookServer) -> None:
    run = Run()
    with pytest.raises(CertificateError) as refused:
        run.verify(server.port, fingerprint=OTHER)
    assert OTHER in str(refused.value)
    assert server.certificate.fingerprint in str(refused.value)
    assert str(refused.value).startswith("box: verify: certificate: ")
    assert run.steps == []


@needs_notebook
def test_a_server_without_a_password_is_refused(tmp_path: Path) -> None:
    with notebook_server(tmp_path, password=None) as open_server, pytest.raises(VerifyError) as refused:
        Run().verify(open_server.port, fingerprint=open_server.certificate.fingerprint)
    assert str(refused.value).startswith(
        "box: verify: anonymous: anyone can use the server: the server accepts requests without a password ("
    )
    assert "Stop the server immediately (on the host, run as root: systemctl disable --now nbserver)" in str(refused.value)


@needs_notebook
def test_a_server_with_a_token_of_another_configuration_is_refused(tmp_path: Path) -> None:
    with notebook_server(tmp_path, token="left-by-an-image") as server, pytest.raises(VerifyError) as refused:
        Run().verify(server.port, fingerprint=server.certificate.fingerprint)
    assert str(refused.value).startswith(
        "box: verify: compute: in addition to the password, the server accepts a token that nbserver did not set. Stop the server immediately"
    )
    assert "left-by-an-image" not in str(refused.value)


WINDOWS = {
    "name": "box",
    "system": "windows",
    "address": "w",
    "user": "u",
    "password": {"env": "W"},
    "notebook": {"password": {"env": "N"}},
}


@pytest.mark.parametrize(
    ("host", "command"),
    [
        (WindowsHost.model_validate(WINDOWS), _END_TASK),
        (LocalWindowsHost.model_validate({"scope": "machine", "notebook": {"password": {"env": "N"}}}), _END_TASK),
        (LocalWindowsHost(), "nbserver stop local"),
        (host(9999, "l"), "on the host, run as root: systemctl disable --now nbserver"),
        (LocalLinuxHost(), "nbserver stop local"),
        (LocalLinuxHost.model_validate({"scope": "machine"}), "nbserver stop local"),
    ],
)
def test_the_advice_ends_the_server_that_lets_everybody_in(host: AnyHost, command: str) -> None:
    advice = str(stop_advice(host))
    assert advice.startswith(f"Stop the server immediately ({command}). ")
    assert f"nbserver apply {host.name}" in advice


@needs_notebook
@pytest.mark.parametrize(
    ("backend", "reason"),
    [
        ("module://no_such_backend", "the test cell failed with ModuleNotFoundError: No module named 'no_such_backend'\n"),
        ("agg", "the test cell drew 0 plots, expected 1 (Matplotlib backend: agg)"),
    ],
)
def test_a_matplotlib_that_does_not_draw(tmp_path: Path, backend: str, reason: str) -> None:
    run = Run()
    with notebook_server(tmp_path, environment={"MPLBACKEND": backend}) as server:
        with pytest.raises(VerifyError) as refused:
            run.verify(server.port, fingerprint=server.certificate.fingerprint, png_directory=tmp_path / "png")
        assert kernels(server) == []
    assert f"box: verify: draw: {reason}" in str(refused.value)
    assert "\x1b" not in str(refused.value)
    assert run.names[-1] == "compute"
    assert not (tmp_path / "png").exists()


@given(st.dictionaries(st.text(max_size=300), st.one_of(st.text(max_size=300), st.integers(), st.none(), st.lists(st.text())), max_size=80))
def test_versions_that_a_kernel_says_fit_on_a_line(answer: dict[str, Any]) -> None:
    from nbserver.verify.cells import versions_of

    versions = versions_of(answer)
    assert len(versions) <= 50
    assert all(text and text.isprintable() and len(text) <= 100 for text in [*versions, *versions.values()])
