"""requirements.lock: it has every dependency, within its bounds, with hashes, and names no index."""

from __future__ import annotations

import configparser
import re

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.checkout import CHECKOUT

LINE = re.compile(r"([a-z0-9-]+)==([0-9][0-9a-z.]*)(?: ; [^\\]+)?(?: --hash=sha256:[0-9a-f]{64})+")


def locked() -> dict[str, set[str]]:
    """Canonical name -> versions."""
    text = (CHECKOUT / "requirements.lock").read_text("ascii")
    found: dict[str, set[str]] = {}
    for line in re.sub(r" \\\n +", " ", text).splitlines():
        if not line.startswith("#"):
            match = LINE.fullmatch(line)
            assert match, line
            found.setdefault(match[1], set()).add(match[2])
    return found


def test_the_lock_has_every_dependency_within_its_bounds() -> None:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(CHECKOUT / "setup.cfg", "utf-8")
    versions = locked()
    for line in setup["options"]["install_requires"].split("\n"):
        if line.strip():
            wanted = Requirement(line)
            assert all(version in wanted.specifier for version in versions[canonicalize_name(wanted.name)]), line
