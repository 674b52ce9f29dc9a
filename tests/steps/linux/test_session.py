"""How long a log-in lasts, in a real notebook server with the configuration that the Linux script writes."""

from __future__ import annotations

import hashlib
import hmac
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from nbserver.run.notebook_password import hash_password
from tests.linux import parts
from tests.notebook_server import Certificate, _answers, _stop, make_certificate, missing
from tests.ports import free_port

PASSWORD = "correct horse battery"
HASH = hash_password(PASSWORD, bytes(16))
HOUR = 3600


class Server:
    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.url = f"https://127.0.0.1:{self.port}"
        certificate = make_certificate(folder)
        (folder / "jupyter_config.json").write_text(self._configuration(certificate), encoding="utf-8")
        with (folder / "server.log").open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "notebook", "--no-browser", "--allow-root"],
                env={
                    "PATH": os.environ["PATH"],
                    **{
                        name: str(folder)
                        for name in ("HOME", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
                    },
                },
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _configuration(self, certificate: Certificate) -> str:
        settings = f"CERTIFICATE_FILE={certificate.certificate} KEY_FILE={certificate.key} NB_NOTEBOOK_IP=127.0.0.1 NB_NOTEBOOK_PORT={self.port} NB_NOTEBOOK_DIRECTORY={self.folder}\n"
        done = parts.run(
            settings
            + parts.step("notebook", "user")
            + f'SECRETS[notebook.password_hash]=\'{HASH}\'\nconfiguration_text; expand_secret "$REPLY" notebook.password_hash; printf %s "$REPLY"',
            scope="user",
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    def log_in(self) -> requests.Session:
        session = requests.Session()
        session.verify, session.trust_env = False, False
        session.get(f"{self.url}/login", timeout=30)
        answer = session.post(
            f"{self.url}/login", data={"password": PASSWORD, "_xsrf": session.cookies["_xsrf"]}, allow_redirects=False, timeout=30
        )
        assert answer.status_code == 302, answer.text
        return session

    def cookie_from(self, session: requests.Session, ago: float) -> str:
        """The session's own cookie, signed `ago` seconds before now, with the server's secret as it derives it."""
        from tornado.web import create_signed_value, decode_signed_value

        secret = hmac.new((self.folder / "jupyter_cookie_secret").read_bytes(), digestmod=hashlib.sha256)
        secret.update(HASH.encode())  # ServerApp.password, and the hook of the identity provider
        name = f"username-127-0-0-1-{self.port}"
        own = session.cookies[name].strip('"')
        for _ in range(2):
            value = decode_signed_value(secret.digest(), name, own)
            if value is not None:
                break
            secret.update(HASH.encode())
        assert value is not None, "the server's own cookie can be read with this secret"
        return f"{name}=" + create_signed_value(secret.digest(), name, value, clock=lambda: time.time() - ago).decode()

    def kernels(self, cookie: str) -> int:
        session = requests.Session()
        session.verify, session.trust_env = False, False
        return session.get(f"{self.url}/api/kernels", headers={"Cookie": cookie}, timeout=30).status_code


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    if missing():
        pytest.skip(missing())
    parts.require_bash()
    started = Server(tmp_path)
    try:
        assert _answers(started.process, started.port), (tmp_path / "server.log").read_text(errors="replace")
        yield started
    finally:
        _stop(started.process)


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_a_log_in_lasts_twelve_hours(server: Server) -> None:
    session = server.log_in()
    (cookie,) = [one for one in session.cookies if one.name.startswith("username-")]
    assert cookie.expires is not None and abs(cookie.expires - time.time() - 12 * HOUR) < 60, "the browser forgets it then"
    assert server.kernels(server.cookie_from(session, 0)) == server.kernels(server.cookie_from(session, 11.9 * HOUR)) == 200
    assert server.kernels(server.cookie_from(session, 12.1 * HOUR)) == 403, "and the server takes it no longer, whoever kept it"
