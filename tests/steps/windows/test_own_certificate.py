"""When a host replaces the certificate that it has signed itself: on the real engine, without creating one."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.authority import ec_key, key_pem, pem, root
from tests.powershell.engine import STEP_FILES
from tests.steps.windows.place import Place, place, session

__all__ = ["place", "session"]

COMPARE = """
$Run.Mode = '<mode>'; $Run.Differences = New-Object Collections.ArrayList
$Settings | Add-Member -Force certificate (ConvertFrom-Json '{"days": 397, "names": ["win1"]}')
function Test-TextFile { $true }
function Get-CertificateRequest { '' }
function Test-OwnKeyPair { $<pair> }
$now = [DateTime]::UtcNow
Compare-OwnCertificate (New-Object PSObject -Property @{ NotBefore = $now.AddSeconds(<begins>); NotAfter = $now.AddDays(300) })
$Run.Differences | ForEach-Object { $_.code }
"""


def found(place: Place, *, begins: int = -60, mode: str = "test", pair: bool = True) -> list[str]:
    return place.run(COMPARE.replace("<mode>", mode).replace("<begins>", str(begins)).replace("<pair>", str(pair).lower()))


def test_one_that_begins_later_was_created_with_a_wrong_clock(place: Place) -> None:
    """Until then, browsers would refuse everybody. A clock may be wrong by some minutes."""
    assert found(place, begins=864_000) == ["certificate-begins"]
    assert found(place, begins=200) == []


def test_a_damaged_key_is_replaced_by_an_apply(place: Place) -> None:
    """A plan starts no program for it."""
    assert found(place, mode="apply", pair=False) == ["certificate-key"]
    assert found(place, mode="apply") == found(place, mode="test", pair=False) == []


@pytest.mark.parametrize(("own", "code"), [(True, 0), (False, 1)])
def test_python_compares_key_and_certificate_where_there_is_no_openssl(tmp_path: Path, own: bool, code: int) -> None:
    text = (STEP_FILES / "prelude" / "user" / "certificate_program.ps1").read_text("ascii")
    (program,) = re.findall(r"\$load = '([^']+)'", text)
    authority = root()
    (tmp_path / "certificate.pem").write_text(pem(authority.certificate))
    (tmp_path / "key.pem").write_text(key_pem(authority.key if own else ec_key()))
    files = [tmp_path / "certificate.pem", tmp_path / "key.pem"]
    assert subprocess.run([sys.executable, "-I", "-c", program, *files], capture_output=True, check=False).returncode == code
