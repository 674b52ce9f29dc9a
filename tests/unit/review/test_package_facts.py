"""License and summary of packages: the shipped file has them for every line of every shipped lock."""

from __future__ import annotations

from nbserver.catalog import linux_lock, reader, shipped_sets
from nbserver.review.package_facts import facts, packages


def test_every_package_of_every_shipped_lock_has_a_license_and_a_summary() -> None:
    locks = [linux_lock.load().lines, *(lock.lines for lock in reader.load().locks)]
    every = [package for lines in locks for package in packages(lines)]
    assert len(every) > 500
    pins = {f"{item.name}=={item.version}" for item in every}
    pins |= {f"{item.name}=={item.version}" for lock in shipped_sets.load_all().values() for item in lock.packages}
    assert set(facts()) == pins, "run tools/make_package_facts.py"
    incomplete = sorted(
        pin for pin, stated in facts().items() if not all(stated.get(key) for key in ("license", "license_field", "summary"))
    )
    assert not incomplete, f"run tools/make_package_facts.py: {', '.join(incomplete)}"
    assert all(item.license and item.license_field and item.summary for item in every)


def test_a_package_of_a_site_lock_has_no_facts_and_no_invented_ones() -> None:
    (found,) = packages(['example-one==1.0 ; python_full_version < "3.11" --hash=sha256:' + "0" * 64])
    assert (found.name, found.version, found.condition) == ("example-one", "1.0", 'python_full_version < "3.11"')
    assert (found.license, found.license_field, found.summary, found.hashes) == ("", "", "", ("0" * 64,))
