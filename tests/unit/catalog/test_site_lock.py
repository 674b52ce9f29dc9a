"""A site lock: which of its lines a host gets, and which files are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbserver.base.errors import ApprovalError, CatalogError
from nbserver.catalog import lock_lines
from nbserver.catalog.site_lock import NEEDED, SiteLock

HASH = "0" * 64
COMPLETE = "".join(f"{name}==1.0 --hash=sha256:{HASH}\n" for name in NEEDED)


def lock(more: str = "", *, complete: str = COMPLETE) -> SiteLock:
    return SiteLock.of((complete + more).encode(), "site.txt")


def line(name: str, condition: str = "") -> str:
    return f"{name}==1.0{f' ; {condition}' if condition else ''} --hash=sha256:{HASH}\n"


def names(lines: tuple[str, ...]) -> list[str]:
    return [one.partition(" --hash")[0] for one in lines if one.partition("==")[0] not in NEEDED]


CONDITIONS = (
    line("colorama", "sys_platform == 'win32'")
    + line("ptyprocess", "os_name != 'nt'")
    + line("arm", "platform_machine == 'ARM64' or platform_machine == 'aarch64'")
    + line("tomli", "python_full_version < '3.11'")
    + line("backport", "python_version < '3.14' and sys_platform == 'linux'")
)


def test_a_windows_host_gets_the_lines_that_apply_to_it() -> None:
    found = lock(CONDITIONS)
    assert names(found.for_windows("x64", "3.13.9").lines) == ["colorama==1.0"]
    assert names(found.for_windows("arm64", "3.10.4").lines) == ["arm==1.0", "colorama==1.0", "tomli==1.0"]
    for one in found.for_windows("x64", "3.13").lines:
        assert lock_lines.package_of(one, conditions=False)


def test_a_linux_host_keeps_the_conditions_that_only_it_can_answer() -> None:
    found = lock(CONDITIONS)
    assert names(found.for_linux("x64", None).lines) == [
        'backport==1.0 ; python_version < "3.14" and sys_platform == "linux"',
        "ptyprocess==1.0",
        'tomli==1.0 ; python_full_version < "3.11"',
    ]
    assert names(found.for_linux("arm64", "3.14").lines) == ["arm==1.0", "ptyprocess==1.0"]
    assert found.for_linux("x64", "3").lines == found.for_linux("x64", None).lines


def test_lines_that_exclude_each_other_are_one_package() -> None:
    twice = line("scipy", "python_version < '3.11'") + f"scipy==2.0 ; python_version >= '3.11' --hash=sha256:{HASH}\n"
    assert names(lock(twice).for_windows("x64", "3.13").lines) == ["scipy==2.0"]
    assert len(names(lock(twice).for_linux("x64", None).lines)) == 2


@pytest.mark.parametrize("more", [line("scipy") + line("SciPy"), line("scipy", "python_version < '3.12'") + line("scipy")])
def test_a_package_that_is_listed_twice_is_refused(more: str) -> None:
    number = len(NEEDED) + 2
    with pytest.raises(CatalogError, match=rf"site\.txt:{number}: the lock is not valid: scipy is listed twice"):
        lock(more).for_linux("x64", None)
    with pytest.raises(CatalogError, match=rf"site\.txt:{number}: the lock is not valid: scipy is listed twice"):
        lock(more).for_windows("x64", "3.11")


def test_a_lock_without_the_packages_of_the_server_is_refused() -> None:
    incomplete = "".join(line(name) for name in NEEDED if name not in ("notebook", "uv"))
    for make in (
        lambda: lock(complete=incomplete).for_windows("x64", "3.13.1"),
        lambda: lock(complete=incomplete).for_linux("x64", "3.13"),
    ):
        with pytest.raises(CatalogError, match=r"site.txt: the lock lacks .* on Python 3.13: notebook, uv. Add"):
            make()
    without_uv = COMPLETE.replace(line("uv"), "")
    assert lock(complete=without_uv).for_windows("x64", "3.13", with_uv=False)
    assert lock(complete=COMPLETE.replace(line("cryptography"), "")).for_windows("x64", "3.8.10")


def test_every_fault_is_reported_with_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "site.txt"
    path.write_text("numpy==1\n-e .\n", "utf-8")
    with pytest.raises(CatalogError) as error:
        SiteLock.load(path)
    assert f"{path}:1: the lock is not valid: numpy has no --hash" in str(error.value)
    assert f"{path}:2: an editable package" in str(error.value)
    path.write_text("# nothing\n", "utf-8")
    with pytest.raises(CatalogError, match="contains no packages"):
        SiteLock.load(path)
    with pytest.raises(CatalogError, match="could not read the lock: No such file"):
        SiteLock.load(tmp_path / "absent.txt")


def test_a_lock_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "site.txt"
    path.write_text(COMPLETE, "utf-8")
    path.chmod(0o666)
    with pytest.raises(ApprovalError, match="can write to this file"):
        SiteLock.load(path)


def test_a_condition_that_a_script_cannot_hold_is_refused() -> None:
    with pytest.raises(CatalogError, match="the condition contains characters that are not allowed in a script"):
        lock(line("odd", "python_version ~= '3.11'")).for_linux("x64", None)
