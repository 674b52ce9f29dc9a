"""A WinRM service: WSMan and PSRP over HTTP or HTTPS in front, one `pwsh -s` a shell behind.

with Endpoint(prefix, auth=["basic"]) as endpoint:
    WSMan("127.0.0.1", port=endpoint.port, ssl=False, auth="basic", encryption="never",
          username=endpoint.user, password=endpoint.password)
    endpoint.faults.drop_after_receives = 3
    endpoint.reboot(5)
"""

from __future__ import annotations

import collections
import shutil
import socket
import ssl
import struct
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType

from tests.boxes.wine import environment, linux_path, pwsh_command, windows_path
from tests.boxes.winrm.certificate import Certificate, make_certificate
from tests.boxes.winrm.cmd_shell import CmdShell
from tests.boxes.winrm.engine import Engine
from tests.boxes.winrm.faults import Faults
from tests.boxes.winrm.http_server import Server
from tests.boxes.winrm.negotiate import write_user_file
from tests.boxes.winrm.ps_shell import PSShell
from tests.boxes.winrm.wsman import WSMan

DELETE_PATIENCE = 10.0  # seconds that the answer to Delete waits for the end of a session: the next one can have its engine
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: RST, as a host that went down


def session_configuration(startup: Path | None, language: str = "FullLanguage") -> str:
    """A .pssc whose session runs the script `startup` before the client's first command."""
    scripts = f"; ScriptsToProcess = '{windows_path(startup)}'" if startup else ""
    return (
        f"@{{ SchemaVersion = '2.0.0.0'; GUID = '{uuid.uuid4()}'; SessionType = 'Default'; LanguageMode = '{language}'\n"
        f"   ExecutionPolicy = 'Bypass'{scripts} }}\n"
    )


class Endpoint:
    """Listens on 127.0.0.1 from the start; `close` (or the end of a with block) ends it and all that it started.

    `prefix` is the host's WINEPREFIX, `startup` a .ps1 for every session, `language` its LanguageMode, `pwsh` the engine (default: what the
    environment variable NBSERVER_TEST_PWSH names; LookupError without it). `certificate` makes it HTTPS, and so does
    `https=True` with one made for the purpose. `prewarm` engines are kept in reserve: a shell then opens in 0.3 s
    instead of 1.5 s. With `one_process` shells that follow one another have the same engine, as with UseSharedProcess on Windows: it
    has compiled then what a run needs, which takes two thirds of a run's time. `require_encryption` refuses plain messages over HTTP, as Windows does by default.
    `stats` counts what went by: "http", "401", "connections", operations by name, "fault CODE", "reboots", ...
    """

    def __init__(
        self,
        prefix: Path,
        *,
        startup: Path | None = None,
        language: str = "FullLanguage",
        pwsh: str | None = None,
        variables: Mapping[str, str] | None = None,
        port: int = 0,
        https: bool = False,
        certificate: Certificate | None = None,
        user: str = "vagrant",
        password: str = "vagrant",
        auth: Iterable[str] = ("basic", "negotiate"),
        require_encryption: bool = False,
        prewarm: int = 0,
        one_process: bool = False,
        max_envelope: int = 512000,
        max_shells: int = 50,
    ) -> None:
        self.host, self.port = "127.0.0.1", port
        self.prefix, self.pwsh = prefix, pwsh or pwsh_command()
        self.user, self.password = user, password
        self.auth = frozenset(auth)
        self.require_encryption, self.max_envelope, self.one_process = require_encryption, max_envelope, one_process
        self.environment = environment(prefix, variables)
        self.folder = Path(tempfile.mkdtemp(prefix="winrm-endpoint-"))
        self.configuration: list[str] = []
        if startup is not None or language != "FullLanguage":
            file = self.folder / "session.pssc"
            file.write_text(session_configuration(startup, language), encoding="utf-8")
            self.configuration = ["-ConfigurationFile", windows_path(file)]
        self.user_file = self.folder / "users"
        write_user_file(self.user_file, user, password)
        self.certificate = certificate or (make_certificate(self.folder) if https else None)
        self.tls: ssl.SSLContext | None = None
        if self.certificate:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(self.certificate.certificate, self.certificate.key)
        self.faults = Faults()
        self.wsman = WSMan(
            faults=self.faults,
            new_ps_shell=self._new_ps_shell,
            new_cmd_shell=self._new_cmd_shell,
            owner=user,
            max_envelope=max_envelope,
            max_shells=max_shells,
            delete_patience=DELETE_PATIENCE if one_process else 0,
        )
        self.stats = self.wsman.stats
        self.connections: set[socket.socket] = set()
        self.lock = threading.RLock()
        self.closed = False
        self.server: Server | None = None
        self._listen()
        self.engines: list[Engine] = []
        self.spare: collections.deque[Engine] = collections.deque(self._new_engine() for _ in range(prewarm))

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}/wsman"

    # -- shells

    def _new_engine(self) -> Engine:
        engine = Engine([self.pwsh, "-s", "-NoLogo", "-NoProfile", *self.configuration], self.environment)
        self.engines.append(engine)
        return engine

    def _add_spare(self) -> None:
        with self.lock:
            if not self.closed:
                self.spare.append(self._new_engine())

    def _take_engine(self) -> Engine:
        with self.lock:
            while self.spare:
                engine = self.spare.popleft()
                if not self.one_process:
                    timer = threading.Timer(0.5, self._add_spare)
                    timer.daemon = True
                    timer.start()
                if not engine.dead:
                    return engine
        return self._new_engine()

    def _new_ps_shell(self, shell_id: str, uri: str, creation: bytes) -> PSShell:
        return PSShell(shell_id, uri, self._take_engine, creation, self.spare.append if self.one_process else None)

    def _new_cmd_shell(self, shell_id: str, uri: str, variables: dict[str, str], directory: str) -> CmdShell:
        folder = linux_path(self.prefix, directory) if directory else None
        pwsh = [self.pwsh, *self.configuration]
        return CmdShell(shell_id, uri, pwsh, {**self.environment, **variables}, folder)

    # -- up and down

    def _listen(self) -> None:
        with self.lock:
            if self.server is None and not self.closed:
                self.server = Server((self.host, self.port), self)
                self.port = self.server.server_port
                threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def _hang_up(self) -> None:
        with self.lock:
            server, self.server = self.server, None
        if server:
            server.shutdown()
            server.server_close()
        for connection in list(self.connections):
            try:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def unplug(self) -> None:
        """The network is gone: connections are reset and the port refuses, while the engines go on. Until `plug_in`."""
        self._hang_up()

    def plug_in(self) -> None:
        """The network is back."""
        self._listen()

    def kill_engines(self) -> None:
        """The engines die; the listener stays: what a crash of wsmprovhost looks like."""
        for shell in list(self.wsman.shells.values()):
            shell.kill()
        with self.lock:
            kept = [self.spare.popleft() for _ in range(len(self.spare))] if self.one_process else []
        for engine in kept:
            engine.kill()

    def reboot(self, seconds: float = 5.0, wait: bool = False) -> None:
        """Connections are reset, engines die, the port refuses for some seconds, shells are forgotten."""

        def go() -> None:
            self.power_off()
            time.sleep(seconds)
            self.power_on()

        thread = threading.Thread(target=go, daemon=True)
        thread.start()
        if wait:
            thread.join()

    def power_off(self) -> None:
        """Connections are reset, engines die, shells are forgotten, the port refuses until `power_on`."""
        self._hang_up()
        self.kill_engines()
        self.wsman.shells.clear()

    def power_on(self) -> None:
        self._listen()
        self.stats["reboots"] += 1

    def close(self) -> None:
        with self.lock:
            self.closed = True
        self._hang_up()
        self.kill_engines()
        for engine in self.engines:  # those in reserve, and those whose shell is just being deleted
            engine.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
