"""The auditor's command: it passes what was rendered, and no changed byte gets by, wherever it is."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.approval import audit, manifest, target
from nbserver.approval.reference import Reference
from nbserver.base import json_lines
from nbserver.base.errors import ApprovalError
from nbserver.base.message import Phrase
from nbserver.catalog import reader
from nbserver.cli import program
from nbserver.commands.render import compare, files, write
from nbserver.inventory import reader as inventory
from nbserver.language.language import ENGLISH
from nbserver.language.translated import Translated
from nbserver.render.script import Script
from nbserver.render.site_locks import SiteLocks
from nbserver.render.windows_host import render
from tests import golden
from tests.checkout import CHECKOUT
from tests.tier import examples

SAMPLE = CHECKOUT / "nbserver.sample.toml"


@pytest.fixture(scope="module")
def script() -> Script:
    return render(inventory.load(SAMPLE).hosts["win1"], reader.load(), SiteLocks())


def folder_with(path: Path, script: Script, text: str) -> Path:
    """A rendered folder whose script is `text`, and whose manifest agrees with that."""
    reached = target.of(inventory.load(SAMPLE).hosts["win1"])
    content = manifest.build([script], {script.host: reader.load().digest}, {script.host: reached})
    content["hosts"][script.host]["sha256"] = hashlib.sha256(text.encode("ascii")).hexdigest()
    path.mkdir(exist_ok=True)
    (path / manifest.FILE_NAME).write_text(json.dumps(content), encoding="utf-8")
    (path / script.file_name).write_bytes(text.encode("ascii"))
    return path


def test_what_was_rendered_passes_and_names_what_runs(tmp_path: Path) -> None:
    hosts = inventory.load(SAMPLE).select(["lab"])
    write(files(hosts), tmp_path)
    report = "\n".join(audit.audit(tmp_path))
    for part in (
        "win1.ps1  sha256 ",
        "win2.ps1  sha256 ",
        "ie_esc ",
        '"port": 9999',
        "edec09c4853aeae9ac36efb8c9f95b6b8e2fee65eee56d9767a8b7c69c574403",
    ):
        assert part in report


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.load()


@examples(60)
@given(data=st.data())
def test_no_other_text_passes_for_the_script(
    data: st.DataObject, script: Script, reference: Reference, tmp_path_factory: pytest.TempPathFactory
) -> None:
    at = data.draw(st.integers(0, len(script.text)))
    cut = data.draw(st.integers(0, 3))
    put = data.draw(st.text(st.characters(min_codepoint=1, max_codepoint=126), max_size=3))
    text = script.text[:at] + put + script.text[at + cut :]
    folder = folder_with(tmp_path_factory.getbasetemp() / "changed", script, text)
    if text == script.text:
        audit.audit(folder, reference)
        return
    with pytest.raises(ApprovalError):
        audit.audit(folder, reference)


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("# nbserver", "the script's header or settings do not match"),
        ('"port": 9999', "the script's header or settings do not match"),
        ("numpy==", r"the list of packages or the first page \(Welcome.ipynb\) in the script does not match the manifest"),
        ("'\n\n# ==== body", r"the list of packages or the first page \(Welcome.ipynb\) in the script does not match the manifest"),
        ("port_retries = 0", "the script body does not match release"),
    ],
)
def test_the_message_says_which_part_was_changed(where: str, words: str, script: Script, tmp_path: Path) -> None:
    assert script.text.count(where) >= 1
    text = script.text.replace(
        where,
        where.replace("#", "#!", 1) if where.startswith("#") else "Write-Host x\n" + where if where.startswith(")") else "x" + where,
        1,
    )
    with pytest.raises(ApprovalError, match=words):
        audit.audit(folder_with(tmp_path / "changed", script, text))


def test_a_script_of_another_hash_and_a_missing_one_are_refused(script: Script, tmp_path: Path) -> None:
    folder = folder_with(tmp_path / "rendered", script, script.text)
    (folder / script.file_name).write_text(script.text + "# more\n", encoding="ascii", newline="")
    with pytest.raises(ApprovalError, match=r"the script's SHA-256 does not match the manifest: expected .*, got "):
        audit.audit(folder)
    (folder / script.file_name).unlink()
    with pytest.raises(ApprovalError, match=r"win1\.ps1 is missing"):
        audit.audit(folder)


# ---- a site's own catalog and lock


@pytest.fixture
def of_a_site(tmp_path: Path) -> Path:
    """The folder of the host whose inventory names a site catalog."""
    folder = tmp_path / "rendered"
    write(files([inventory.load(golden.INVENTORY).hosts["most"]]), folder)
    return folder


def test_a_site_catalog_that_was_not_named_is_refused(of_a_site: Path) -> None:
    with pytest.raises(
        ApprovalError, match=r"script for most: catalog_sha256 matches neither the shipped catalog of release .* add --catalog FILE"
    ):
        audit.audit(of_a_site)


def test_a_site_catalog_that_is_named_is_in_the_report_with_its_lock(of_a_site: Path) -> None:
    catalog_file = golden.FOLDER / "site-catalog.toml"
    report = "\n".join(audit.audit(of_a_site, Reference.load([catalog_file])))
    loaded = reader.load(catalog_file)
    lock = loaded.lock("3.13", "arm64")
    assert lock.sha256 not in {lock.sha256 for lock in reader.load().locks}
    assert f"downloads from the catalog site-catalog.toml, sha256 {loaded.digest}" in report
    assert f"packages from the lock site-lock.txt of site-catalog.toml, sha256 {lock.sha256}" in report


def from_the_folder(line: object) -> Iterator[str]:
    """The texts of a line that are not words of nbserver."""
    if not isinstance(line, Phrase):
        yield str(line)
        return
    for value in line.values.values():
        yield from from_the_folder(value)


@pytest.mark.parametrize("code", ["en", "fr", "ja"])
def test_in_every_language_what_comes_from_the_folder_is_ascii(tmp_path: Path, code: str) -> None:
    """Somebody who reads it in French must notice a letter that only looks like another one, too."""
    path = tmp_path / "nbserver.toml"
    own = 'path.entries = ["D:\\\\\u00e9t\u00e9\u202f\U0001f600"]'
    text = f'[hosts.w]\nsystem = "windows"\naddress = "w.example.com"\nnotebook.password = {{ env = "X" }}\n{own}'
    path.write_text(text, "utf-8")
    write(files(list(inventory.load(path).hosts.values())), tmp_path / "rendered")
    language = Translated(code) if code != "en" else ENGLISH
    report = audit.audit(tmp_path / "rendered")
    shown = [language.render(line) for line in report]
    assert "\n".join(shown).isascii() == (code == "en")
    assert "\\u00e9t\\u00e9\\u202f\\ud83d\\ude00" in "\n".join(shown)
    for line, words in zip(report, shown, strict=True):
        assert all(text.isascii() and text in words for text in from_the_folder(line) if not text.isspace())


@pytest.mark.parametrize("name", ["site-catalog.toml", "site-lock.txt"])
def test_another_site_catalog_or_lock_is_refused(of_a_site: Path, tmp_path: Path, name: str) -> None:
    for own in ("site-catalog.toml", "site-lock.txt"):
        shutil.copy(golden.FOLDER / own, tmp_path)
    changed = tmp_path / name
    changed.write_bytes(changed.read_bytes() + b"# reviewed\n")
    with pytest.raises(ApprovalError, match="catalog_sha256 matches neither"):
        audit.audit(of_a_site, Reference.load([tmp_path / "site-catalog.toml"]))


def test_the_command_takes_site_catalogs(of_a_site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["nbserver", "audit", str(of_a_site), "--catalog", str(golden.FOLDER / "site-catalog.toml")])
    with pytest.raises(SystemExit) as ended:
        program.main()
    said = capsys.readouterr().out
    assert ended.value.code == 0 and said.isascii() and "most.ps1" in said


def test_the_report_has_every_setting(tmp_path: Path) -> None:
    write(files(inventory.load(SAMPLE).select(["win1"])), tmp_path)
    report = [line.strip() for line in audit.audit(tmp_path)]
    content = json.loads((tmp_path / manifest.FILE_NAME).read_bytes())
    for line in json_lines.dumps(content["hosts"]["win1"]["settings"]).splitlines()[1:-1]:
        assert line.strip() in report
    assert content["hosts"]["win1"]["head_sha256"] in "\n".join(report)
    assert report[0] == f"manifest.json: sha256 {hashlib.sha256((tmp_path / manifest.FILE_NAME).read_bytes()).hexdigest()}, hosts: win1"


def test_no_path_reaches_the_terminal_as_it_is(
    of_a_site: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["nbserver", "audit", str(of_a_site), "--catalog", "\x1b[31mred\u202e.toml"])
    with pytest.raises(SystemExit) as ended:
        program.main()
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.count("\n") == 1 and said.strip().isprintable() and "red" in said


def test_a_manifest_of_version_1_is_to_be_rendered_again(tmp_path: Path) -> None:
    write(files(inventory.load(SAMPLE).select(["win1"])), tmp_path)
    path = tmp_path / manifest.FILE_NAME
    content = json.loads(path.read_bytes())
    content["v"] = 1
    del content["hosts"]["win1"]["head_sha256"], content["hosts"]["win1"]["target"], content["hosts"]["win1"]["signed_sha256"]
    path.write_text(json.dumps(content), "ascii")
    with pytest.raises(
        ApprovalError,
        match=r"manifest\.json: the manifest is version 1, which lacks values that the audit compares; expected version 3. Run nbserver render again",
    ):
        audit.audit(tmp_path)


@pytest.mark.parametrize("name", ["more.sh", ".hidden", "evil\x1b[31m"])
def test_the_check_of_render_names_what_does_not_belong_there(tmp_path: Path, name: str) -> None:
    rendered = files(inventory.load(SAMPLE).select(["win1"]))
    write(rendered, tmp_path)
    compare(rendered, tmp_path)
    (tmp_path / name).touch()
    with pytest.raises(ApprovalError, match="does not belong in this folder") as raised:
        compare(rendered, tmp_path)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("name", ["win1.ps1", manifest.FILE_NAME])
def test_the_check_of_render_follows_no_link(tmp_path: Path, name: str) -> None:
    rendered = files(inventory.load(SAMPLE).select(["win1"]))
    write(rendered, tmp_path / "rendered")
    (tmp_path / "rendered" / name).rename(tmp_path / name)
    (tmp_path / "rendered" / name).symlink_to(tmp_path / name)
    with pytest.raises(ApprovalError, match=f"{name}: expected a file, found a link"):
        compare(rendered, tmp_path / "rendered")


# ---- whatever an inventory may say

WINDOWS = [
    *(f'windows = "{name}"' for name in ("2012r2", "2016", "2019", "2022", "2025", "10", "11")),
    'windows = "2012"\naccept_end_of_life = true',
    'architecture = "arm64"',
    'python.kind = "exe"',
    'python.version = "3.12"\nopenssl.version = "3.5"',
    'adopt = true\nreboot = "if-needed"\nskip = ["path", "firewall", "ie_esc"]',
    f'certificate.thumbprint = "{"ab" * 20}"',
    "certificate.request = true\ncertificate.days = 1",
    'certificate.names = ["WWW.Example.COM", "2001:DB8::0:1", "a_b.example.com"]\nnotebook.public_url = "https://[2001:DB8::2]:8443"',
    "path.entries = []",
    'path.entries = ["%TOOLS%", "C:\\\\Program Files (x86)\\\\x", "D:\\\\\u00e9t\u00e9\u202f\U0001f600"]',
    'notebook.directory = "%USERPROFILE%\\\\it is \u2026 a folder"\nnotebook.ip = "2001:DB8::0:7"\nnotebook.port = 1',
    'firewall.remote_addresses = ["localsubnet", "2001:DB8:0::/48", "192.0.2.1"]',
    'packages.index_url = "http://mirror.example.com:8080/a/b/~c/%20/"\ndownloads.proxy = "https://proxy.example.com"\npackages.installer = "uv"',
    'packages.index_url = "https://packages.example.com/"\ndownloads.source = "mirror"\ndownloads.mirror = "https://MIRROR.example.com/b/"',
    'downloads.mirror = "https://mirror.example.com/"',
]
LINUX = [
    'skip = ["firewall"]\narchitecture = "arm64"',
    'python.version = "3"\npackages.source = "wheels"\npackages.installer = "pip"',
    'notebook.directory = "/srv/$(touch pwned) `x` \\"it\'s\\" \\\\ %h \u00e9\U0001f600"\nnotebook.port = 80',
    'firewall.remote_addresses = ["any"]\nnotebook.public_url = "https://NOTEBOOKS.example.com"',
    'packages.source = "distribution"\ncertificate.names = ["192.0.2.9"]',
    'downloads.source = "mirror"\ndownloads.mirror = "https://mirror.example.com:8443"',
    'downloads.source = "push"\ndownloads.bundle = "bundle"\npackages.index_url = "https://packages.example.com/"',
]


def test_what_any_inventory_gives_is_accepted(tmp_path: Path) -> None:
    tables = [f'[hosts.w{number}]\nsystem = "windows"\naddress = "W{number}.example.com"\n{more}' for number, more in enumerate(WINDOWS)]
    tables += [
        f'[hosts."l.{number}-X_"]\nsystem = "linux"\nuser = "a"\naddress = "2001:DB8::{number}"\n{more}'
        for number, more in enumerate(LINUX)
    ]
    path = tmp_path / "nbserver.toml"
    path.write_text('[defaults]\nnotebook.password = { env = "X" }\n' + "\n".join(tables), "utf-8")
    rendered = files(list(inventory.load(path).hosts.values()))
    write(rendered, tmp_path / "rendered")
    compare(rendered, tmp_path / "rendered")
    report = "\n".join(audit.audit(tmp_path / "rendered"))
    assert report.isascii() and all(f"\n{host}: {host}." in report for host in inventory.load(path).hosts)
