"""The review as JSON, for programs. Scripts are left out: they are in the folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from nbserver import __version__
from nbserver.review import commands_text
from nbserver.review.comparison import Comparison
from nbserver.review.statements import Review

VERSION = 1
SCRIPTS = ("body", "head")  # of a kind


def text(review: Review | None, comparison: Comparison | None = None) -> str:
    """Return the review, or what differs, as JSON in ASCII (docs/schemas/review.json)."""
    value: dict[str, Any] = {"v": VERSION, "release": __version__}
    if review is not None:
        value["manifest_sha256"] = review.manifest_sha256
        value["verified"], value["not_verified"] = review.verified, review.not_verified
    if comparison is not None:
        value["comparison"] = asdict(comparison)
    elif review is not None:
        value |= {key: item for key, item in asdict(review).items() if key not in value}
        for kind in value["kinds"]:
            for key in SCRIPTS:
                del kind[key]
        first = {kind.hosts[0] for kind in review.kinds}
        value["commands"] = {
            "manifest.json": [asdict(commands_text.of_manifest(review))],
            **{host.name: [asdict(command) for command in commands_text.of_host(host)] for host in review.hosts if host.name in first},
        }
    return json.dumps(value, indent=1) + "\n"
