"""License and summary of packages: the shipped file has them for every line of every shipped lock."""

from __future__ import annotations

from nbserver.catalog import linux_lock, reader
from nbserver.review.package_facts import facts, packages


def test_every_package_of_every_shipped_lock_has_a_license_and_a_summary() -> None:
    locks = [linux_lock.load().lines, *(lock.lines for lock in reader.load().locks)]
    every = [package for lines in locks for package in packages(lines)]
    assert len(every) > 500
    missing = sorted({f"{item.name}=={item.version}" for item in every if not (item.license and item.license_field and item.summary)})
    assert not missing, f"run tools/make_package_facts.py: {', '.join(missing)}"
    assert set(facts()) == {f"{item.name}=={item.version}" for item in every}


def test_a_package_of_a_site_lock_has_no_facts_and_no_invented_ones() -> None:
    (found,) = packages(['example-one==1.0 ; python_full_version < "3.11" --hash=sha256:' + "0" * 64])
    assert (found.name, found.version, found.condition) == ("example-one", "1.0", 'python_full_version < "3.11"')
    assert (found.license, found.license_field, found.summary, found.hashes) == ("", "", "", ("0" * 64,))
