"""What a virtual machine of Azure has for its secrets, in a host's network: the service of its identity, and a key vault.

Run in the namespace of the host: python -m tests.boxes.linux.azure_identity VAULT CERTIFICATE KEY NAME < SECRET. It prints the log of requests.
The rules are those of Microsoft's pages about managed identities and the Key Vault REST API; no token is a real one.
"""

from __future__ import annotations

import http.server
import json
import secrets
import ssl
import sys
import threading
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

IDENTITY = "169.254.169.254"
RESOURCE = "https://vault.azure.net"
TOKEN = secrets.token_urlsafe(900)  # about as long as a real one


class Service(http.server.BaseHTTPRequestHandler):
    """Answers GET with JSON, and prints what was asked and answered."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        status, value = self.answer(address.path, {name: values[0] for name, values in parse_qs(address.query).items()})
        print(type(self).__name__, address.path, int(status), flush=True)
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer(self, path: str, query: dict[str, str]) -> tuple[HTTPStatus, Any]:
        raise NotImplementedError

    def log_message(self, *arguments: Any) -> None:
        pass


class Identity(Service):
    """Gives a token to a program of the machine, which a request through a proxy is not."""

    def answer(self, path: str, query: dict[str, str]) -> tuple[HTTPStatus, Any]:
        if self.headers["Metadata"] != "true" or self.headers["X-Forwarded-For"]:
            return HTTPStatus.BAD_REQUEST, {"error": "invalid_request", "error_description": "Required metadata header not specified"}
        if path != "/metadata/identity/oauth2/token":
            return HTTPStatus.NOT_FOUND, {"error": "not_found"}
        if query != {"api-version": "2018-02-01", "resource": RESOURCE}:
            return HTTPStatus.BAD_REQUEST, {"error": "invalid_resource"}
        return HTTPStatus.OK, {"access_token": TOKEN, "expires_in": "86399", "resource": RESOURCE, "token_type": "Bearer"}


class Vault(Service):
    """Gives its one secret to who has the token, but not at once: the role of a new machine is in effect only after some minutes."""

    name = secret = ""
    refusals = 2

    def answer(self, path: str, query: dict[str, str]) -> tuple[HTTPStatus, Any]:
        if "api-version" not in query:
            return HTTPStatus.BAD_REQUEST, {"error": {"code": "BadParameter"}}
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return HTTPStatus.UNAUTHORIZED, {"error": {"code": "Unauthorized"}}
        if Vault.refusals:
            Vault.refusals -= 1
            return HTTPStatus.FORBIDDEN, {"error": {"code": "Forbidden", "innererror": {"code": "ForbiddenByRbac"}}}
        if path != f"/secrets/{self.name}":
            return HTTPStatus.NOT_FOUND, {"error": {"code": "SecretNotFound"}}
        identifier = f"https://{self.headers['Host']}{path}/{secrets.token_hex(16)}"
        return HTTPStatus.OK, {"value": self.secret, "id": identifier, "attributes": {"enabled": True}}


def serve(vault: str, certificate: str, key: str, name: str) -> None:
    Vault.name, Vault.secret = name, sys.stdin.read()
    identity = http.server.ThreadingHTTPServer((IDENTITY, 80), Identity)
    vaults = http.server.ThreadingHTTPServer((vault, 443), Vault)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    vaults.socket = context.wrap_socket(vaults.socket, server_side=True)
    threading.Thread(target=identity.serve_forever, daemon=True).start()
    print("ready", flush=True)
    vaults.serve_forever()


if __name__ == "__main__":
    serve(*sys.argv[1:])
