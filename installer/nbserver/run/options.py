"""What a person may say about a run beside the hosts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """`runs` is where runs are kept; `approved` a manifest.

    `chains` has, by host, a signed certificate (PEM) for a request that was made there; `passwords`, by host, a
    notebook password that comes from no reference of the inventory. `salt` is the file with the site's salt, by
    default the one next to the inventory; with `new_salt` hosts may replace a password hash that has another one.
    """

    runs: Path | None = None
    approved: Path | None = None
    forks: int = 10
    chains: Mapping[str, str] = field(default_factory=dict)
    passwords: Mapping[str, str] = field(default_factory=dict, repr=False)
    salt: Path | None = None
    new_salt: bool = False
