"""A wheel named notebook in place of Jupyter, for tests of what is around the server: what the starter imports, and a small server.

It listens on the port and with the certificate of the configuration, and refuses every request: 403.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

SERVER = '''
import http.server
import json
import os
import ssl
import sys
import types
from jupyter_server.auth.authorizer import AllowAllAuthorizer
from jupyter_server.auth.identity import PasswordIdentityProvider


class Refuse(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()


class ServerApp:
    """Its values are those of the configuration."""

    @classmethod
    def instance(cls, jpserver_extensions, kernel_spec_manager_class):
        made = cls()
        made.kernel_spec_manager = kernel_spec_manager_class()
        return made

    def initialize(self, argv, starter_extension):
        with open(sys.argv[1], encoding="utf-8") as file:
            settings = json.load(file)
        self.identity_provider, self.authorizer = PasswordIdentityProvider(), AllowAllAuthorizer()
        for section, owner in (("ServerApp", self), ("PasswordIdentityProvider", self.identity_provider), ("IdentityProvider", self.identity_provider)):
            vars(owner).update(settings[section])
        self.ip = "" if self.ip == "*" else self.ip
        self.contents_manager = types.SimpleNamespace(root_dir=self.root_dir)
        self.web_app = types.SimpleNamespace(settings={})

    def start(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certfile, self.keyfile)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Refuse)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.serve_forever()
'''
MODULES = {
    "jupyter_core/__init__.py": "",
    "jupyter_core/paths.py": "SYSTEM_JUPYTER_PATH, SYSTEM_CONFIG_PATH = [], []\n",
    "jupyter_client/__init__.py": "",
    "jupyter_client/kernelspec.py": "class KernelSpecManager: pass\n",
    "jupyter_server/__init__.py": "",
    "jupyter_server/auth/__init__.py": "",
    "jupyter_server/auth/authorizer.py": "class AllowAllAuthorizer: pass\n",
    "jupyter_server/auth/login.py": "class LoginFormHandler: pass\n",
    "jupyter_server/auth/identity.py": "from jupyter_server.auth.login import LoginFormHandler\n\nclass PasswordIdentityProvider:\n    login_handler_class = LoginFormHandler\n",
    "jupyter_server/serverapp.py": SERVER,
    "notebook/__init__.py": "",
    "notebook/app.py": "",
}


def write_wheel(folder: Path, version: str = "1.0", more: Mapping[str, str] = MappingProxyType({})) -> str:
    """Puts the wheel, with `more` files in it, into the folder and returns its line of a lock."""
    wheel = folder / f"notebook-{version}-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    information = f"notebook-{version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in {**MODULES, **more}.items():
            archive.writestr(name, text)
        archive.writestr(f"{information}/METADATA", f"Metadata-Version: 2.1\nName: notebook\nVersion: {version}\n")
        archive.writestr(f"{information}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{information}/RECORD", "")
    return f"notebook=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"
