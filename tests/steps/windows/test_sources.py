"""A program comes from the first of its sources that has it, with the hash of that source; the next run uses the same one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.powershell.engine import EngineError, host_path, prelude, steps
from tests.served import served
from tests.steps.windows.place import Place, place, session

__all__ = ["place", "session"]
SECOND = b"from another publisher"


def source(url: str, content: bytes, version: str, size: int | None = None) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"kind": "zip", "url": url, "sha256": digest, "version": version, "size": size, "executable": ["openssl.exe"]}


def settings(url: str, *, first: str = "gone.zip", second: str = "second.zip", size: int | None = None) -> str:
    program = {**source(f"{url}{first}", b"first", "3.5.6"), "sources": [source(f"{url}{second}", SECOND, "3.5.9", size)]}
    table = {"downloads": {"mirror": None, "proxy": None, "source": "direct"}, "scope": "machine", "openssl": program}
    return f"$Settings = ConvertFrom-Json '{json.dumps({**table, 'notebook': {'directory': 'C:/n'}})}'; $Sources = @{{}}; "


def use(place: Place, url: str, script: str, **files: Any) -> list[Any]:
    """The lines that a script printed behind the selection, and its events."""
    state = host_path(place.state)
    places = f"$CacheFolder = '{state}\\cache'; $FileLists = '{state}\\installed'; $Run.Mode = 'apply'; $Run.Finding = $null; "
    parts = f"{prelude('sources')}\n{steps('openssl')}\n"
    return place.run(parts + places + settings(url, **files) + f"Select-Source openssl; {script}; Get-Said")


def events(lines: list[Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.mark.parametrize("first", ["gone.zip", "other.zip"])
def test_the_next_source_is_used(place: Place, tmp_path: Path, first: str) -> None:
    (tmp_path / "second.zip").write_bytes(SECOND)
    (tmp_path / "other.zip").write_bytes(b"replaced by its publisher")
    with served(tmp_path) as url:
        said = use(place, url, "Save-Program openssl; $Settings.openssl.version", first=first)
    assert said[0] == "3.5.9"
    warned, used = events(said)
    assert (warned["event"], warned["code"], warned["values"]["url"]) == ("warning", "next-source", f"{url}second.zip")
    assert f"{url}{first}" in warned["text"]
    assert (used["event"], used["code"], used["values"]["sha256"]) == ("log", "source-used", hashlib.sha256(SECOND).hexdigest())


def test_without_any_source_the_last_failure_counts(place: Place, tmp_path: Path) -> None:
    with served(tmp_path) as url, pytest.raises(EngineError, match=r"could not download .*second\.zip.*404"):
        use(place, url, "Save-Program openssl")


def test_a_file_that_is_larger_than_in_the_catalog_or_in_the_cache_is_not_what_it_was_is_discarded(place: Place, tmp_path: Path) -> None:
    (tmp_path / "second.zip").write_bytes(SECOND)
    cache = place.state / "cache"
    with served(tmp_path) as url:
        with pytest.raises(
            EngineError, match=r"could not download .*second\.zip: the file is larger than 5 bytes, so nbserver discarded it"
        ):
            use(place, url, "Save-Program openssl", size=5)
        assert list(cache.iterdir()) == []
        file = cache / f"{hashlib.sha256(SECOND).hexdigest()[:16]}-second.zip"
        file.write_bytes(b"something else")
        use(place, url, "Save-Program openssl", size=len(SECOND))
    assert [path.read_bytes() for path in cache.iterdir()] == [SECOND]


def test_a_server_that_sends_next_to_nothing_is_given_up(place: Place) -> None:
    ask = "$SlowestDownload = @{ Bytes = 100; Seconds = 0 }; foreach ($bytes in 99, 100) { $fault = Get-DownloadFault 200 $null "
    ask += "@{ Bytes = 0; Time = [Diagnostics.Stopwatch]::StartNew() } $bytes; if ($fault) { $fault.Message } else { 'goes on' } }"
    assert use(place, "http://127.0.0.1:9/", ask)[:2] == ["the server sent only 99 bytes in a minute", "goes on"]


def test_half_of_an_archive_is_removed(place: Place) -> None:
    """It would keep a full disk full."""
    full = r'function Expand-Zip([string]$File, [string]$Folder) { [void](New-Item -ItemType Directory -Path $Folder); [IO.File]::WriteAllText("$Folder\part", "x"); throw "full" }; '
    with pytest.raises(EngineError, match="full"):
        use(place, "http://127.0.0.1:9/", f"{full}Expand-Download $Settings.openssl '{host_path(place.state)}\\made'")
    assert not (place.state / "made.new").exists()


def test_the_source_that_is_installed_stays(place: Place, tmp_path: Path) -> None:
    """Its file list has its hash: the first source is not a difference, even if it is there again."""
    lists = place.state / "installed"
    lists.mkdir()
    (lists / "openssl-3.5.9.txt").write_text(f"{hashlib.sha256(SECOND).hexdigest()}\n0 0 0\n")
    found = use(place, "http://127.0.0.1:9/", "$Settings.openssl.version; @($Sources.openssl)[1].version; Get-OpenSslFolder")
    assert found[:2] == ["3.5.9", "3.5.6"] and found[2].endswith("openssl-3.5.9")


def test_one_source_that_answers_is_sufficient_for_a_check(place: Place, tmp_path: Path) -> None:
    (tmp_path / "second.zip").write_bytes(SECOND)
    with served(tmp_path) as url:
        said = use(place, url, "$Settings | Add-Member packages @{ index_url = $null }; Assert-SourceAnswer openssl | Out-Null")
        assert not [event for event in events(said) if event["event"] == "failed"]
        with pytest.raises(EngineError, match="cannot be downloaded"):
            use(
                place,
                url,
                "$Settings | Add-Member packages @{ index_url = $null }; Assert-SourceAnswer openssl",
                second="gone.zip",
            )
