"""A package index of two wheels: uv, which installs them, and a `notebook` of the tests' own that answers on its port with TLS."""

from __future__ import annotations

from pathlib import Path

from tests.hosts.mirror import Mirror
from tests.small_jupyter import write_wheel

SERVER = '''"""Answers every request with 200, on the port and with the certificate of the configuration: Windows' file or Linux'."""
import http.server
import json
import os
import ssl


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()


def main(arguments):
    files = [os.path.join(os.environ["JUPYTER_CONFIG_DIR"], name) for name in ("jupyter_server_config.json", "jupyter_config.json")]
    with open(next(filter(os.path.exists, files)), encoding="utf-8") as file:
        settings = json.load(file)["ServerApp"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings["certfile"], settings["keyfile"])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", settings["port"]), Answer)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
'''


def write_index(folder: Path, mirror: Mirror) -> list[str]:
    """Makes the index (PEP 503) in `folder`; uv's wheel is the mirror's. Returns the lines of its lock."""
    line = write_wheel(folder / "notebook", more={"notebook/app.py": SERVER, "notebook/__main__.py": "from notebook import app\n\napp.main([])\n"})
    uv = next(mirror.wheels.glob("uv-*.whl"))
    (folder / "uv").mkdir()
    (folder / "uv" / uv.name).symlink_to(uv)
    for project in folder.iterdir():
        (project / "index.html").write_text("".join(f'<a href="{path.name}">{path.name}</a>\n' for path in project.glob("*.whl")))
    uv_line = next(line for line in mirror.lock_file.read_text(encoding="utf-8").splitlines() if line.startswith("uv=="))
    return [line, uv_line]
