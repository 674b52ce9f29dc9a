"""The review as one HTML page that loads nothing."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from nbserver.pages.page import ascii_text, rendered
from nbserver.review import commands_text, highlighting
from nbserver.review.comparison import Comparison
from nbserver.review.statements import Host, Kind, Review


def page(review: Review | None, comparison: Comparison | None = None) -> str:
    """Return the page. With a comparison it shows what differs, and nothing else."""
    kinds = review.kinds if review and not comparison else ()
    full = bool(kinds)
    values: dict[str, Any] = {
        "review": review,
        "comparison": comparison,
        "full": full,
        "first": _first,
        "target": target,
        "identity": identity,
        "any_linux": any(kind.language == "sh" for kind in kinds),
        "commands": _commands(review) if review else [],
        "heads": {kind.key: highlighting.lines(kind.head, kind.language) for kind in kinds},
        "parts": {kind.key: _parts(kind) for kind in kinds},
    }
    return rendered("review", _title(review, full), _sections(review, full), values, script=full)


def target(host: Host) -> str:
    """Return where a host is and how nbserver connects: `psrp WIN1\\anna@win1.example.com:5986`, in ASCII."""
    values = host.target
    user = f"{values['user']}@" if values["user"] else ""
    port = f":{values['port']}" if values["port"] else ""
    tls = ", without TLS" if values["tls"] is False else ""
    proxy = f", through {values['proxy']}" if values["proxy"] else ""
    jump = f", through {values['jump']}" if values.get("jump") else ""
    sudo = ", then sudo (root)" if values["sudo"] else ""
    endpoint = f", session configuration {values['configuration_name']}" if values["configuration_name"] else ""
    return ascii_text(f"{values['transport']} {user}{values['address']}{port}{tls}{proxy}{jump}{sudo}{endpoint}")


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
