"""A package index of two wheels: uv, which installs them, and a `notebook` of the tests' own that answers on its port with TLS."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.boxes.mirror import Mirror

SERVER = '''"""Refuses to list kernels and every password, and answers other requests with 200, on the port and with the certificate of the configuration."""
import http.server
import json
import os
import ssl
from types import SimpleNamespace

from jupyter_server.auth.authorizer import AllowAllAuthorizer
from jupyter_server.auth.identity import PasswordIdentityProvider
from jupyter_server.auth.login import LoginFormHandler


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(403 if self.path == "/api/kernels" else 200)
        self.end_headers()

    def do_POST(self):
        self.send_response(401)
        self.end_headers()


class ServerApp:
    @classmethod
    def instance(cls, kernel_spec_manager_class, **others):
        server = cls()
        server.kernel_spec_manager = kernel_spec_manager_class()
        return server

    def initialize(self, argv, starter_extension):
        files = [os.path.join(os.environ["JUPYTER_CONFIG_DIR"], name) for name in ("jupyter_server_config.json", "jupyter_config.json")]
        with open(next(filter(os.path.exists, files)), encoding="utf-8") as file:
            settings = json.load(file)
        vars(self).update(settings["ServerApp"], ip=settings["ServerApp"]["ip"].replace("*", ""))
        self.identity_provider = PasswordIdentityProvider()
        self.identity_provider.login_handler_class = LoginFormHandler
        vars(self.identity_provider).update(settings["IdentityProvider"], **settings["PasswordIdentityProvider"])
        self.authorizer = AllowAllAuthorizer()
        self.kernel_manager = SimpleNamespace(**settings.get("MappingKernelManager", {}))
        self.web_app = SimpleNamespace(settings={})
        self.contents_manager = SimpleNamespace(root_dir=self.root_dir)

    def start(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certfile, self.keyfile)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Answer)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.serve_forever()
'''
# What the starter imports.
FILES = {
    "jupyter_client/__init__.py": "",
    "jupyter_client/kernelspec.py": "class KernelSpecManager: ...\n",
    "jupyter_core/__init__.py": "",
    "jupyter_core/paths.py": "SYSTEM_JUPYTER_PATH, SYSTEM_CONFIG_PATH = [], []\n",
    "jupyter_server/__init__.py": "",
    "jupyter_server/auth/__init__.py": "",
    "jupyter_server/auth/authorizer.py": "class AllowAllAuthorizer: ...\n",
    "jupyter_server/auth/identity.py": "class PasswordIdentityProvider: ...\n",
    "jupyter_server/auth/login.py": "class LoginFormHandler: ...\n",
    "jupyter_server/serverapp.py": SERVER,
    "notebook/__init__.py": "",
    "traitlets/__init__.py": "",
    "traitlets/config.py": "class Config(dict): ...\n",
    "notebook/app.py": "",
}

# What a lock of a site must have besides, and what is imported of it.
EMPTY = {"ipykernel": "ipykernel/kernelapp", "ipython": "IPython/__init__", "pyzmq": "zmq/__init__", "tornado": "tornado/web"}
EMPTY |= {name: f"{name}/__init__" for name in ("matplotlib", "numpy")}
REAL = ("cryptography", "cffi", "pycparser")  # creates the certificate


def write_index(folder: Path, mirror: Mirror) -> list[str]:
    """Makes the index (PEP 503) in `folder`; uv's wheel is the mirror's. Returns the lines of its lock."""
    return [put_notebook(folder, "1.0"), put_uv(folder, mirror)]


def write_whole_index(folder: Path, mirror: Mirror) -> list[str]:
    """The same with a package of every name that packages.lock must have: eleven wheels, and most of them are empty."""
    lines = write_index(folder, mirror)
    lines += [put_package(folder, name, "1.0", {f"{module}.py": ""}) for name, module in EMPTY.items()]
    return lines + [put_locked(folder, mirror, name) for name in REAL]


def use_lock(folder: Path, mirror: Mirror, lines: Iterable[str]) -> None:
    """From now on the site catalog in `folder` has a lock of these lines, small.lock.txt, in place of the mirror's."""
    (folder / "small.lock.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    catalog = folder / "site-catalog.toml"
    catalog.write_text(catalog.read_text("utf-8").replace(str(mirror.lock_file.absolute()), "small.lock.txt"), "utf-8")


def put_notebook(folder: Path, version: str, login: int = 401) -> str:
    """Puts a version of the small server into the index; `login` is its status for a wrong password. Returns its line of a lock."""
    server = SERVER.replace("self.send_response(401)", f"self.send_response({login})")
    return put_package(folder, "notebook", version, {**FILES, "jupyter_server/serverapp.py": server})


def put_package(folder: Path, project: str, version: str, files: Mapping[str, str]) -> str:
    """Puts a version of a package into the index. Returns its line of a lock."""
    wheel = folder / project / f"{project}-{version}-py3-none-any.whl"
    wheel.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{project}-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n")
        archive.writestr(
            f"{project}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{project}-{version}.dist-info/RECORD", "")
    write_page(wheel.parent)
    return f"{project}=={version} --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"


def put_uv(folder: Path, mirror: Mirror) -> str:
    """Puts the mirror's uv into the index. Returns its line of a lock."""
    return put_locked(folder, mirror, "uv")


def put_locked(folder: Path, mirror: Mirror, project: str) -> str:
    """Puts the mirror's wheel of a package into the index. Returns its line of a lock."""
    wheel = next(mirror.wheels.glob(f"{project}-*.whl"))
    (folder / project).mkdir()
    (folder / project / wheel.name).symlink_to(wheel)
    write_page(folder / project)
    return next(line for line in mirror.lock_file.read_text(encoding="utf-8").splitlines() if line.startswith(f"{project}=="))


def write_page(project: Path) -> None:
    """The index's page of a project: a link to each of its wheels."""
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(project.glob("*.whl"))}
    (project / "index.html").write_text("".join(f'<a href="{name}#sha256={digest}">{name}</a>\n' for name, digest in hashes.items()))
