"""The software bills of materials: valid CycloneDX, the packages and hashes of the lock, the same bytes each time."""

from __future__ import annotations

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.checkout import CHECKOUT
from tools import make_sbom

LOCKS = [CHECKOUT / "requirements.lock", *sorted(make_sbom.LOCKS.rglob("*.txt"))]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_a_bill_has_what_the_lock_has(lock) -> None:  # type: ignore[no-untyped-def]
    packages = make_sbom.packages_of(lock.read_text("ascii"))
    text = make_sbom.to_json(lock.stem, lock.read_bytes(), packages)
    assert text == make_sbom.to_json(lock.stem, lock.read_bytes(), packages[::-1])
    document = json.loads(text)
    assert (
        len(document["components"]) == len(packages) == sum("==" in line for line in lock.read_text("ascii").splitlines() if line[0] != "#")
    )
    values = {item["value"] for found in document["components"] for item in found["properties"] if item["name"] == "nbserver:hash"}
    assert values == {f"sha256:{digest}" for package in packages for digest in package.hashes}
    assert all(found["purl"] == f"pkg:pypi/{found['name']}@{found['version']}" for found in document["components"])


def test_a_bill_is_valid() -> None:
    packages = make_sbom.packages_of(LOCKS[0].read_text("ascii"))
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(make_sbom.to_json("nbserver", b"", packages)) is None


def test_a_license_is_that_of_the_same_version() -> None:
    """pytest is installed, and says MIT; of another version nothing is known."""
    import importlib.metadata

    version = importlib.metadata.version("pytest")
    assert make_sbom.Package("pytest", version, "", ()).license == "MIT"
    assert make_sbom.Package("pytest", f"{version}.1", "", ()).license == ""
    assert make_sbom.Package("no-such-package", "1", "", ()).license == ""


def test_what_is_no_line_of_a_lock_is_refused() -> None:
    with pytest.raises(SystemExit, match="not a line of a lock: evil @ file:"):
        make_sbom.packages_of("evil @ file:///x\n")
