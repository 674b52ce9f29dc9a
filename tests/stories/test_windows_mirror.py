"""A Windows host that gets Python, OpenSSL, and small wheels from `nbserver mirror` over HTTPS, with pip.

Wine compares no address with the names of a certificate, so the mirror has a name. Under Wine, uv refuses the certificate, because
Wine cannot say whether it was revoked.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nbserver.inventory import reader
from nbserver.transports.psrp.transport import PsrpTransport
from tests.boxes.mirror import Mirror
from tests.boxes.windows import WindowsBox
from tests.checkout import PYTHON_PATH
from tests.faults.small_packages import use_lock, write_index
from tests.ports import free_port
from tests.served import served
from tests.site import Site, steps

TRUST = r"""
$certificate = New-Object Security.Cryptography.X509Certificates.X509Certificate2 'C:\authority.cer'
$store = New-Object Security.Cryptography.X509Certificates.X509Store 'Root', 'LocalMachine'
$store.Open('ReadWrite')
$store.Add($certificate)
$store.Close()
'trusted'
"""


@contextmanager
def mirrored(host: WindowsBox, site: Site) -> Iterator[None]:
    """The host trusts the mirror of the bundle, and the inventory names it."""
    folder = site.folder
    options = ("--bind", "127.0.0.1", "--port", "0", "--name", "localhost", "--json")
    line = [sys.executable, "-m", "nbserver", "mirror", "bundle", *options]
    with subprocess.Popen(line, cwd=folder, env={**os.environ, "PYTHONPATH": PYTHON_PATH}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = json.loads(process.stdout.readline())
            host.path(r"C:\authority.cer").write_bytes((folder / said["authority"]).read_bytes())
            transport = PsrpTransport(reader.load(folder / "nbserver.toml").hosts["win1"], "Tr0ub4dor", threading.Event())
            try:
                assert list(transport.run(TRUST, ["-"])) == ["trusted"]
            finally:
                transport.close()
            site.settings |= {"downloads.source": "mirror", "downloads.mirror": said["url"], "packages.installer": "pip"}
            site.write(packages__index_url=None)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0


def succeeds(site: Site, *command: str) -> None:
    done = site.run(*command)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.second_tier("installs a Windows host")
def test_a_windows_host_with_a_mirror(windows_host: WindowsBox, mirror: Mirror, tmp_path: Path) -> None:
    lines = write_index(tmp_path / "index", mirror)
    with windows_host.endpoint(auth=["negotiate"], https=True, password="Tr0ub4dor") as endpoint, served(tmp_path / "index") as url:
        site = Site(tmp_path, endpoint, mirror, port=free_port(), windows_password="Tr0ub4dor", notebook_password="correct horse")
        use_lock(tmp_path, mirror, lines)
        site.write(packages__index_url=url)
        succeeds(site, "download", "win1", "-o", "bundle")
        try:
            with mirrored(windows_host, site):
                succeeds(site, "check", "win1", "--json")
                succeeds(site, "apply", "win1", "--json")
            assert {"python", "openssl", "packages"} <= {*steps(site.last_events(), "changed")}
        finally:
            site.run("undo", "win1")


@pytest.mark.second_tier("installs all wheels of the shipped lock on a Windows host")
def test_a_windows_host_draws_its_plot_with_a_mirror(windows_host: WindowsBox, mirror: Mirror, tmp_path: Path) -> None:
    with windows_host.endpoint(auth=["negotiate"], https=True, password="Tr0ub4dor") as endpoint:
        site = Site(tmp_path, endpoint, mirror, port=free_port(), windows_password="Tr0ub4dor", notebook_password="correct horse")
        succeeds(site, "download", "win1", "-o", "bundle")
        asked = len(mirror.requests)
        try:
            with mirrored(windows_host, site):
                succeeds(site, "apply", "win1", "--json")
            succeeds(site, "verify", "win1", "--png", ".")
            assert list(tmp_path.glob("*.png"))
            assert len(mirror.requests) == asked
        finally:
            site.run("undo", "win1")
