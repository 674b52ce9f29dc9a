"""What a review states about an audited folder. All of it is computed from the scripts, the manifest, and the catalogs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nbserver import __version__
from nbserver.approval.audit import Audited, AuditedHost
from nbserver.approval.listed_approvals import ListedApproval
from nbserver.approval.reference import Reference
from nbserver.base.message import counted, phrase
from nbserver.render.contents import unused_parts
from nbserver.review.package_facts import Package, packages
from nbserver.review.script_scan import Found, deletions, program_calls
from nbserver.review.settings_text import filled
from nbserver.review.step_words import WORDS, Words


@dataclass(frozen=True)
class Step:
    """A step of a body. `left_out` maps the hosts on which it does not run to the reason; the texts have the values of the settings."""

    name: str
    title: str
    changes: str
    sees: str
    undoes: str
    line: int
    left_out: Mapping[str, str]


@dataclass(frozen=True)
class Part:
    """A part of a body. `line` and `end` are its lines, counted from 1; `unused` maps hosts that cannot run it to the reason."""

    title: str
    sentence: str
    line: int
    end: int
    unused: Mapping[str, str]


@dataclass(frozen=True)
class Download:
    """A program that hosts download. `origin` is where the catalog's author read the hash; `catalog` is the title of the catalog."""

    name: str
    version: str
    url: str
    size: int | None
    sha256: str
    origin: str
    catalog: str
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Lock:
    """The packages that hosts install. `sha256` is over the lines of the lock, each with a line feed."""

    title: str
    sha256: str
    packages: tuple[Package, ...]
    hosts: tuple[str, ...]


@dataclass(frozen=True)
class Kind:
    """The hosts that share a body. `head` is that of the first host; `offset` is the number of lines before the body, if all agree.

    `common` has the settings with the same value on all of these hosts, and `different` the names of all others.
    """

    system: str
    scope: str
    language: str
    sha256: str
    body: str
    steps: tuple[Step, ...]
    parts: tuple[Part, ...]
    calls: tuple[Found, ...]
    deletions: tuple[Found, ...]
    hosts: tuple[str, ...]
    head: str
    offset: int | None
    common: Mapping[str, str]
    different: tuple[str, ...]

    @property
    def key(self) -> str:
        return f"{self.system}-{self.scope}".lower()


@dataclass(frozen=True)
class Host:
    """A host. `kind` is the key of its Kind; `body_line` is the line of its script at which the body begins.

    `sha256` is of the script without its signature. If it is signed, `signed_sha256` is of the file; otherwise, it is empty.
    """

    name: str
    kind: str
    script: str
    sha256: str
    signed_sha256: str
    signer: str
    head_sha256: str
    body_sha256: str
    catalog_sha256: str
    catalog: str
    lock_sha256: str
    body_line: int
    target: Mapping[str, Any]
    settings: Mapping[str, str]


@dataclass(frozen=True)
class Review:
    """The whole review. `verified` and `not_verified` are sentences about what the audit has shown, and what it cannot show."""

    release: str
    manifest_sha256: str
    hosts: tuple[Host, ...]
    kinds: tuple[Kind, ...]
    downloads: tuple[Download, ...]
    locks: tuple[Lock, ...]
    approvals: tuple[ListedApproval, ...]
    verified: tuple[str, ...]
    not_verified: tuple[str, ...]


def review(audited: Audited, reference: Reference) -> Review:
    """Return the review of a folder that passed the audit with `reference`."""
    hosts = tuple(map(_host, audited.hosts))
    kinds: dict[str, list[AuditedHost]] = {}
    for host in audited.hosts:
        kinds.setdefault(_kind_key(host), []).append(host)
    return Review(
        __version__,
        audited.sha256,
        hosts,
        tuple(_kind(members) for _, members in sorted(kinds.items())),
        _downloads(audited.hosts, reference),
        _locks(audited.hosts),
        audited.approvals,
        tuple(_verified(audited)),
        tuple(map(phrase, NOT_VERIFIED_WORDS)),
    )


NOT_VERIFIED_WORDS = (
    "Whether your site allows the people who signed an approval: each run compares them with its allowed signers.",
    "The targets: the audit cannot tell whether an address belongs to the host that you mean, or whether a pinned key is really that host's.",
    "Nothing was contacted: no host, no download server, and no URL.",
    "The password, keys, and certificate files are not part of a script. The operator's envelope delivers them at run time.",
    "The lists of program calls and deletions come from a broad scan of the script's lines. The script itself is the authority.",
)


def _verified(audited: Audited) -> Iterator[str]:
    count = len(audited.hosts)
    yield counted(
        "nbserver {release} rendered the script again, and every byte is the same.",
        "nbserver {release} rendered the {count} scripts again, and every byte is the same.",
        count,
        release=__version__,
    )
    yield phrase(
        "manifest.json was read strictly; its settings follow the rules of the inventory, and everything that it says about a script is what the script says."
    )
    yield phrase("The folder contains no other files except approvals and their signatures. No script is a link or a device.")
    yield phrase(
        "Each body is the one that this release publishes for its system and scope, and each lock and each download is in a catalog of this release or in a given site catalog."
    )


def _kind_key(host: AuditedHost) -> str:
    return f"{host.released.system}-{host.released.scope}".lower()


def _host(host: AuditedHost) -> Host:
    entry = host.entry
    return Host(
        host.name,
        _kind_key(host),
        entry["script"],
        entry["sha256"],
        entry["signed_sha256"] or "",
        host.signer or "",
        entry["head_sha256"],
        entry["body_sha256"],
        entry["catalog_sha256"],
        host.source.title,
        entry["lock_sha256"],
        host.head.count("\n") + 1,
        entry["target"],
        dict(flat(entry["settings"])),
    )


def flat(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Yield (dotted key, value as JSON in ASCII) of each setting."""
    for key, item in sorted(value.items()):
        if isinstance(item, dict):
            yield from flat(item, f"{before}{key}.")
        else:
            yield f"{before}{key}", json.dumps(item)


def _settings(hosts: Sequence[Mapping[str, str]]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the settings that are the same on all hosts, and the names of all others. The name of a host is neither."""
    names = sorted({name for settings in hosts for name in settings} - {"host"})
    values = {name: {settings.get(name) for settings in hosts} for name in names}
    common = {name: str(next(iter(found))) for name, found in values.items() if len(found) == 1}
    return common, tuple(name for name in names if name not in common)


def _kind(members: Sequence[AuditedHost]) -> Kind:
    first, released = members[0], members[0].released
    body = released.body
    unused = {host.name: unused_parts(host.entry["settings"], body) for host in members}
    ends = [*(part.line - 1 for part in body.parts[1:]), body.text.count("\n")]
    parts = tuple(
        Part(part.title, part.sentence, part.line, end, {name: left[part.title] for name, left in unused.items() if part.title in left})
        for part, end in zip(body.parts, ends, strict=True)
    )
    lines = {part.title.partition(": ")[2]: part for part in parts if part.title.startswith("step: ")}
    words = WORDS[released.system, released.scope]
    values = [dict(flat(host.entry["settings"])) for host in members]
    steps = tuple(_step(name, title, words[name], values, lines[name]) for name, title in released.titles)
    offsets = {host.head.count("\n") for host in members}
    return Kind(
        released.system,
        released.scope,
        released.extension,
        released.sha256,
        body.text,
        steps,
        parts,
        program_calls(body.text, released.extension),
        deletions(body.text, released.extension),
        tuple(host.name for host in members),
        first.head,
        offsets.pop() if len(offsets) == 1 else None,
        *_settings(values),
    )


def _step(name: str, title: str, words: Words, values: Sequence[Mapping[str, str]], part: Part) -> Step:
    changes, sees, undoes = (filled(text, values) for text in (words.changes, words.sees, words.undoes))
    return Step(name, title, changes, sees, undoes, part.line, part.unused)


def _downloads(hosts: Sequence[AuditedHost], reference: Reference) -> tuple[Download, ...]:
    found: dict[tuple[str, str, str, str, str], list[str]] = {}
    for host in hosts:
        for download in host.entry["downloads"]:
            key = (download["name"], download["version"], download["url"], download["sha256"], host.entry["catalog_sha256"])
            found.setdefault(key, []).append(host.name)
    titles = {host.entry["catalog_sha256"]: host.source.title for host in hosts}
    result = []
    for (name, version, url, sha256, digest), names in sorted(found.items()):
        catalog = reference.shipped if digest == reference.shipped.digest else reference.site[digest][1]
        every = (source for entry in catalog.downloads for source in entry.every_source)
        entry = next(entry for entry in every if (entry.name, entry.version, entry.sha256) == (name, version, sha256))
        result.append(Download(name, version, url, entry.size, sha256, entry.source, titles[digest], tuple(names)))
    return tuple(result)


def _locks(hosts: Sequence[AuditedHost]) -> tuple[Lock, ...]:
    found: dict[str, list[AuditedHost]] = {}
    for host in hosts:
        found.setdefault(host.entry["lock_sha256"], []).append(host)
    return tuple(
        Lock(members[0].source.lock_title, sha256, packages(members[0].source.lock), tuple(host.name for host in members))
        for sha256, members in sorted(found.items())
    )
