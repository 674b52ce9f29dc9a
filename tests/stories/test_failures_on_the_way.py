"""What goes wrong on the way to a host, or before it is contacted: one message that says what to do, and the right exit code."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.boxes.mirror import Mirror
from tests.boxes.windows import WindowsBox
from tests.ports import free_port
from tests.site import Site
from tests.stories.failing import https, make_site, refused, repaired, site  # noqa: F401


def test_unknown_host(site: Site) -> None:
    site.write(address="no-such-host.invalid")
    assert "could not resolve the name no-such-host.invalid" in refused(site, "plan", "win1", code=3)


def test_closed_port(site: Site) -> None:
    port = free_port()
    site.write(port=port)
    assert f"127.0.0.1:{port} refused the connection. Check that PowerShell remoting is enabled" in refused(site, "apply", "win1", code=3)


@pytest.mark.parametrize("auth", ["basic", "ntlm", "negotiate"])
def test_wrong_password(site: Site, auth: str) -> None:
    site.write(auth=auth)
    site.secrets["WINDOWS_PASSWORD"] = "not-the-password"
    said = refused(site, "plan", "win1", code=3)
    assert f"rejected the user {site.endpoint.user} (auth: {auth}). Check user, password, and auth" in said


def test_pinned_certificate_that_does_not_match(site: Site) -> None:
    site.write(fingerprint="SHA256:" + "ab" * 32)
    said = refused(site, "apply", "win1", code=3)
    assert "a different certificate" in said and "ab" * 32 in said and site.settings["fingerprint"] in said


def test_certificate_that_nobody_vouches_for(site: Site) -> None:
    site.write(fingerprint=None)
    assert "is not trusted: self" in refused(site, "plan", "win1", code=3)


def test_a_ca_file_is_enough(site: Site) -> None:
    assert site.endpoint.certificate
    site.write(fingerprint=None, ca_file=str(site.endpoint.certificate.certificate))
    assert site.run("plan", "win1").returncode == 4


def test_an_environment_proxy_is_not_used(site: Site) -> None:
    done = site.run("plan", "win1", environment={"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"})
    assert done.returncode == 4, done.stdout + done.stderr


def test_proxy_that_is_not_there(site: Site) -> None:
    proxy = f"http://127.0.0.1:{free_port()}"
    site.write(proxy=proxy)
    assert f"the proxy {proxy} could not connect to" in refused(site, "plan", "win1", code=3)


def test_http_with_ntlm_is_encrypted_and_works(windows_host: WindowsBox, mirror: Mirror, tmp_path: Path) -> None:
    with windows_host.endpoint(auth=["negotiate"], require_encryption=True, password="Tr0ub4dor") as endpoint:
        site = make_site(endpoint, mirror, tmp_path)
        done = site.run("plan", "win1", "--json")
        assert done.returncode == 4, done.stdout + done.stderr
        assert endpoint.stats["refused plain"] == 0


def test_no_such_endpoint(site: Site) -> None:
    with tls_server_that_answers(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", site) as port:
        site.write(port=port)
        assert "answered, but is not a WinRM listener. Check address and port" in refused(site, "plan", "win1", code=3)


@contextmanager
def tls_server_that_answers(answer: bytes, site: Site) -> Iterator[int]:
    """Shows the certificate of the site's endpoint and gives everybody the same answer."""
    import ssl

    assert site.endpoint.certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(site.endpoint.certificate.certificate, site.endpoint.certificate.key)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.wfile.write(answer)
            self.close_connection = True

        def log_message(self, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


# -- before a host is contacted


def test_catalog_entry_without_a_hash(site: Site) -> None:
    site.mirror.write_catalog(site.folder / "site-catalog.toml")
    text = (site.folder / "site-catalog.toml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("sha256")]
    (site.folder / "site-catalog.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    said = refused(site, "apply", "win1", code=2)
    assert "unverified" in said and "3.11" in said
    assert not site.runs(), "refused before a run began"


def test_script_that_was_not_approved(site: Site) -> None:
    assert site.run("render", "win1", "-o", "approved").returncode == 0
    site.write(notebook__directory="C:\\notebooks")
    said = refused(site, "apply", "win1", "--approved", "approved/manifest.json", code=5)
    assert "the script for win1 " in said and "have the script approved again" in said
    assert not site.runs()


def test_rendered_folder_that_was_changed(site: Site) -> None:
    assert site.run("render", "win1", "-o", "rendered").returncode == 0
    script = site.folder / "rendered" / "win1.ps1"
    script.write_bytes(script.read_bytes() + b"# one more line\n")
    assert "win1.ps1 differs" in refused(site, "render", "win1", "-o", "rendered", "--check", code=5)
