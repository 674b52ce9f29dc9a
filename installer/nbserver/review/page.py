"""The review as one HTML page that loads nothing: its style and its script are in it, and its policy allows only these two."""

from __future__ import annotations

import base64
import hashlib
import importlib.resources
import json
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from nbserver import __version__
from nbserver.review import commands_text, highlighting
from nbserver.review.comparison import Comparison
from nbserver.review.statements import Host, Kind, Review


def page(review: Review | None, comparison: Comparison | None = None) -> str:
    """Return the page. With a comparison it shows what differs, and nothing else."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"ascii": ascii_text, "tojson_ascii": json.dumps}
    css, js = _file("page.css"), _file("page.js")
    kinds = review.kinds if review and not comparison else ()
    full = bool(kinds)
    values: dict[str, Any] = {
        "review": review,
        "release": __version__,
        "title": _title(review, full),
        "comparison": comparison,
        "full": full,
        "css": Markup(css),
        "js": Markup(js),
        "policy": f"default-src 'none'; style-src {_source(css)}; script-src {_source(js)}; base-uri 'none'; form-action 'none'",
        "sections": _sections(review, full),
        "first": _first,
        "target": target,
        "identity": identity,
        "any_linux": any(kind.language == "sh" for kind in kinds),
        "commands": _commands(review) if review else [],
        "heads": {kind.key: highlighting.lines(kind.head, kind.language) for kind in kinds},
        "parts": {kind.key: _parts(kind) for kind in kinds},
    }
    return environment.from_string(_file("page.html.jinja")).render(values)


def target(host: Host) -> str:
    """Return where a host is and how nbserver connects: `psrp WIN1\\anna@win1.example.com:5986`, in ASCII."""
    values = host.target
    user = f"{values['user']}@" if values["user"] else ""
    port = f":{values['port']}" if values["port"] else ""
    tls = ", without TLS" if values["tls"] is False else ""
    proxy = f", through {values['proxy']}" if values["proxy"] else ""
    sudo = ", then sudo (root)" if values["sudo"] else ""
    endpoint = f", session configuration {values['configuration_name']}" if values["configuration_name"] else ""
    return ascii_text(f"{values['transport']} {user}{values['address']}{port}{tls}{proxy}{sudo}{endpoint}")


def identity(host: Host) -> str:
    """Return how the host proves who it is, in ASCII."""
    values = host.target
    if values["transport"] == "local":
        return "this machine"
    pinned = values["fingerprint"] or values["host_key"] or (values["ca_sha256"] and f"authority with SHA-256 {values['ca_sha256']}")
    if pinned:
        return ascii_text(str(pinned))
    if values["tls"] is False:
        return "nothing proves which host answers (without TLS)" if values["auth"] != "kerberos" else "Kerberos"
    return "host key in known_hosts" if values["transport"] == "ssh" else "not pinned: authorities of the workstation"


def ascii_text(text: str) -> str:
    """Return the text with escapes for characters that are not ASCII, which may look like others."""
    return text.encode("ascii", "backslashreplace").decode("ascii")


def _file(name: str) -> str:
    return importlib.resources.files("nbserver").joinpath("review", name).read_text("utf-8").replace("\r\n", "\n")


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode()}'"


def _title(review: Review | None, full: bool) -> str:
    if review is None:
        return "How the bodies of two releases differ"
    hosts = f"{len(review.hosts)} host{'s' if len(review.hosts) != 1 else ''}"
    return f"What nbserver will do on {hosts}" if full else f"What differs in the scripts of {hosts}"


def _first(kind: Kind) -> int:
    """Return what is added to a line of the body for its number on the page."""
    return kind.offset or 0


def _sections(review: Review | None, full: bool) -> list[tuple[str, str]]:
    if review is None:
        return [("differences", "Differences")]
    if not full:
        return [("verified", "What was verified"), ("differences", "Differences")]
    return [
        ("verified", "What was verified"),
        ("steps", "What will happen"),
        ("hosts", "Hosts and settings"),
        ("downloads", "Downloads"),
        ("packages", "Python packages"),
        ("calls", "Program calls"),
        ("deletions", "Deletions"),
        ("hashes", "Recompute the hashes"),
        *((f"script-{kind.key}", f"Script: {kind.system}, {kind.scope}") for kind in review.kinds),
    ]


def _commands(review: Review) -> list[tuple[str, list[commands_text.Command]]]:
    first = {kind.hosts[0] for kind in review.kinds}
    shown = [host for host in review.hosts if len(review.hosts) <= 3 or host.name in first]
    return [("The manifest", [commands_text.of_manifest(review)]), *((host.name, commands_text.of_host(host)) for host in shown)]


def _parts(kind: Kind) -> list[tuple[str, str, int, tuple[Markup, ...], Any]]:
    """Return (title, sentence, line, lines, unused) of each part, and of what is above the first one."""
    lines = highlighting.lines(kind.body, kind.language)
    begin = kind.parts[0].line
    above: list[tuple[str, str, int, tuple[Markup, ...], Any]] = [("the beginning of the body", "", 1, lines[: begin - 1], {})]
    return [*above, *((part.title, part.sentence, part.line, lines[part.line - 1 : part.end], part.unused) for part in kind.parts)]
