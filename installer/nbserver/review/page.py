"""The review as one HTML page that loads nothing."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from nbserver.base.message import phrase
from nbserver.language.language import ENGLISH, Language
from nbserver.pages.page import ascii_text, rendered
from nbserver.review import commands_text, highlighting
from nbserver.review.comparison import Comparison
from nbserver.review.statements import Host, Kind, Review


def page(review: Review | None, comparison: Comparison | None = None, language: Language = ENGLISH) -> str:
    """Return the page. With a comparison it shows what differs, and nothing else."""
    kinds = review.kinds if review and not comparison else ()
    full = bool(kinds)
    values: dict[str, Any] = {
        "review": review,
        "comparison": comparison,
        "full": full,
        "first": _first,
        "target": lambda host: target(host, language),
        "identity": lambda host: identity(host, language),
        "any_linux": any(kind.language == "sh" for kind in kinds),
        "commands": _commands(review) if review else [],
        "heads": {kind.key: highlighting.lines(kind.head, kind.language) for kind in kinds},
        "parts": {kind.key: _parts(kind) for kind in kinds},
    }
    return rendered("review", _title(review, full, language), _sections(review, full, language), values, script=full, language=language)


def target(host: Host, language: Language = ENGLISH) -> str:
    """Return where a host is and how nbserver connects: `psrp WIN1\\anna@win1.example.com:5986, auth = negotiate`, in ASCII."""
    values = host.target
    user = f"{values['user']}@" if values["user"] else ""
    port = f":{values['port']}" if values["port"] else ""
    facts = [
        *([f"auth = {values['auth']}"] if values["auth"] else []),
        *([language.text("without TLS")] if values["tls"] is False else []),
        *(language.text("through {name}", name=ascii_text(str(way))) for way in (values["proxy"], values.get("jump")) if way),
        *([language.text("then sudo (root)")] if values["sudo"] else []),
    ]
    if endpoint := values["configuration_name"]:
        facts.append(language.text("session configuration {name}", name=ascii_text(str(endpoint))))
    return language.joined([ascii_text(f"{values['transport']} {user}{values['address']}{port}"), *facts])


def identity(host: Host, language: Language = ENGLISH) -> str:
    """Return how the host proves who it is, in ASCII."""
    values = host.target
    if values["transport"] == "local":
        return language.text("this machine")
    if pinned := values["fingerprint"] or values["host_key"]:
        return ascii_text(str(pinned))
    if values["ca_sha256"]:
        return language.text("authority with SHA-256 {sha256}", sha256=ascii_text(str(values["ca_sha256"])))
    if values["tls"] is False:
        return language.text("nothing proves which host answers (without TLS)") if values["auth"] != "kerberos" else "Kerberos"
    if values["transport"] == "ssh":
        return language.text("host key in known_hosts")
    return language.text("not pinned: authorities of the workstation")


def _title(review: Review | None, full: bool, language: Language) -> str:
    if review is None:
        return language.text("How the bodies of two releases differ")
    count = len(review.hosts)
    if full:
        return language.plural("What nbserver will do on {count} host", "What nbserver will do on {count} hosts", count)
    return language.plural("What differs in the scripts of {count} host", "What differs in the scripts of {count} hosts", count)


def _first(kind: Kind) -> int:
    """Return what is added to a line of the body for its number on the page."""
    return kind.offset or 0


def _sections(review: Review | None, full: bool, language: Language) -> list[tuple[str, str]]:
    if review is None:
        return [("differences", language.text("Differences"))]
    if not full:
        return [("verified", language.text("What was verified")), ("differences", language.text("Differences"))]
    return [
        ("verified", language.text("What was verified")),
        ("steps", language.text("What will happen")),
        ("hosts", language.text("Hosts and settings")),
        ("downloads", language.text("Downloads")),
        ("packages", language.text("Python packages")),
        ("calls", language.text("Program calls")),
        ("deletions", language.text("Deletions")),
        ("hashes", language.text("Recompute the hashes")),
        *(
            (f"script-{kind.key}", language.text("Script: {system}, {scope}", system=kind.system, scope=kind.scope))
            for kind in review.kinds
        ),
    ]


def _commands(review: Review) -> list[tuple[str, list[commands_text.Command]]]:
    first = {kind.hosts[0] for kind in review.kinds}
    shown = [host for host in review.hosts if len(review.hosts) <= 3 or host.name in first]
    return [(phrase("The manifest"), [commands_text.of_manifest(review)]), *((host.name, commands_text.of_host(host)) for host in shown)]


def _parts(kind: Kind) -> list[tuple[str, str, int, tuple[Markup, ...], Any]]:
    """Return (title, sentence, line, lines, unused) of each part, and of what is above the first one."""
    lines = highlighting.lines(kind.body, kind.language)
    begin = kind.parts[0].line
    above: list[tuple[str, str, int, tuple[Markup, ...], Any]] = [(phrase("the beginning of the body"), "", 1, lines[: begin - 1], {})]
    return [*above, *((part.title, part.sentence, part.line, lines[part.line - 1 : part.end], part.unused) for part in kind.parts)]
