"""Writes CycloneDX files (JSON, 1.6): what nbserver itself needs, and the packages of each lock for hosts.

    python tools/make_sbom.py [OUTPUT]

Two runs in one environment write the same bytes. Versions, hashes, and conditions are those of the lock.
A license is what the metadata of exactly this version says: for packages of hosts, in the data that tools/make_package_facts.py
wrote, for others in the environment that runs this. With it comes `licenses.md`, a table of all packages.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import quote

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "installer" / "nbserver" / "catalog" / "data" / "locks"
LINE = re.compile(r"([A-Za-z0-9._-]+)==(\S+?)(?: *; ([^\\#]+?))?((?: --hash=sha256:[0-9a-f]{64})+)")
FACTS = ROOT / "installer" / "nbserver" / "catalog" / "data" / "packages.json"
OWN_SPACE = uuid.UUID("5b0ce5a8-6d0e-5c36-9a57-93c2a6b6f0ac")
UNKNOWN = "unknown: this version is not installed where the table was made"


@dataclass(frozen=True)
class Package:
    """One line of a lock. `condition` is empty if it is always installed."""

    name: str
    version: str
    condition: str
    hashes: tuple[str, ...]

    @property
    def license(self) -> str:
        """The license in the metadata of this version; an empty text if it is neither a package of hosts nor installed."""
        if fact := _facts().get(f"{self.name}=={self.version}"):
            return fact["license"]
        try:
            found = importlib.metadata.metadata(self.name)
        except importlib.metadata.PackageNotFoundError:
            return ""
        if found["Version"] != self.version:
            return ""
        stated = found.get("License-Expression") or ""
        classifiers = [text.rpartition(" :: ")[2] for text in found.get_all("Classifier", []) if text.startswith("License ::")]
        short = (found.get("License") or "").strip()
        return stated or ("" if "\n" in short or len(short) > 80 else short) or ", ".join(sorted(set(classifiers)))


@cache
def _facts() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = json.loads(FACTS.read_bytes())
    return found


def main() -> None:
    output = Path(sys.argv[1] if len(sys.argv) > 1 else "dist")
    output.mkdir(parents=True, exist_ok=True)
    every: set[tuple[str, str, str]] = set()
    for lock in [ROOT / "requirements.lock", *sorted(LOCKS.rglob("*.txt"))]:
        title = "nbserver" if lock.name == "requirements.lock" else "-".join(lock.relative_to(LOCKS).with_suffix("").parts)
        packages = packages_of(lock.read_text("ascii"))
        (output / f"{title}.cdx.json").write_text(to_json(title, lock.read_bytes(), packages), "utf-8", newline="\n")
        every |= {(package.name, package.version, package.license or UNKNOWN) for package in packages}
        print(f"{output / title}.cdx.json: {len(packages)} packages")
    rows = "".join(f"| {name} | {version} | {license} |\n" for name, version, license in sorted(every))
    (output / "licenses.md").write_text(f"| Package | Version | License |\n| --- | --- | --- |\n{rows}", "utf-8", newline="\n")


def packages_of(text: str) -> list[Package]:
    """Return the packages of a lock or requirements file. Exits if a line is neither a package nor a comment."""
    found = []
    for line in re.sub(r" \\\n +", " ", text).splitlines():
        if not line or line.startswith("#"):
            continue
        match = LINE.fullmatch(line)
        if match is None:
            sys.exit(f"make_sbom: not a line of a lock: {line[:80]}")
        found.append(Package(match[1], match[2], (match[3] or "").strip(), tuple(re.findall(r"[0-9a-f]{64}", match[4]))))
    return found


def to_json(title: str, lock: bytes, packages: list[Package]) -> str:
    """Return the CycloneDX document of the packages. `lock` gives it its serial number."""
    bom = Bom(serial_number=uuid.uuid5(OWN_SPACE, f"{title} {lock.hex()}"))
    bom.metadata.component = root = Component(name=title, type=ComponentType.APPLICATION, bom_ref=title)
    for package in packages:
        bom.components.add(component(package))
    bom.register_dependency(root, bom.components)
    document = json.loads(JsonV1Dot6(bom).output_as_string())
    del document["metadata"]["timestamp"]  # optional in the format
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def component(package: Package) -> Component:
    """Return the component of a package. A condition and further hashes of a lock are properties: a component is one file."""
    properties = [Property(name="nbserver:hash", value=f"sha256:{digest}") for digest in package.hashes]
    if package.condition:
        properties.append(Property(name="nbserver:condition", value=package.condition))
    reference = f"pkg:pypi/{package.name}@{quote(package.version)}" + (f"#{quote(package.condition)}" if package.condition else "")
    return Component(
        type=ComponentType.LIBRARY,
        name=package.name,
        version=package.version,
        bom_ref=reference,
        purl=PackageURL("pypi", None, package.name, package.version),
        licenses=[DisjunctiveLicense(name=package.license)] if package.license else [],
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=package.hashes[0])] if len(package.hashes) == 1 else [],
        properties=properties,
    )


if __name__ == "__main__":
    main()
