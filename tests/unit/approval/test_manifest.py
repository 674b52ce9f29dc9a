"""The manifest: what an approval rests on, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver.approval import manifest, target
from nbserver.base.errors import ApprovalError, InventoryError
from nbserver.inventory import reader
from nbserver.inventory.hosts import AnyHost
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.render.script import Script
from tests import golden


@pytest.fixture(scope="module")
def scripts() -> list[Script]:
    return golden.scripts()


TARGETS = {name: target.of(host) for name, host in reader.load(golden.INVENTORY).hosts.items()}


def built(scripts: list[Script]) -> dict[str, Any]:
    return manifest.build(scripts, {script.host: "0" * 64 for script in scripts}, TARGETS)


def require_approved(content: dict[str, Any], path: Path, script: Script) -> None:
    manifest.require_approved(content, path, script, TARGETS.get(script.host, {}))


@pytest.fixture
def approved(scripts: list[Script], tmp_path: Path) -> Path:
    """A manifest of these scripts on disk."""
    path = tmp_path / manifest.FILE_NAME
    path.write_text(manifest.to_text(built(scripts)), "ascii")
    return path


def test_it_comes_back_from_disk(scripts: list[Script], approved: Path) -> None:
    assert manifest.read(approved) == built(scripts)


def test_it_names_every_file_that_is_downloaded(scripts: list[Script]) -> None:
    content = built(scripts)
    for script in scripts:
        entry = content["hosts"][script.host]
        windows = ["python", "vc_redist", "openssl"] if script.settings.get("vc_redist") else ["python", "openssl"]
        needed = [name for name in windows for _ in (name, *script.settings[name]["sources"])] if script.extension == "ps1" else []
        assert [download["name"] for download in entry["downloads"]] == needed
        for download in entry["downloads"]:
            assert download["url"] in json.dumps(script.settings) and len(download["sha256"]) == 64
        assert set(entry["steps"]) == set(script.steps)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_its_text_is_ascii_and_does_not_depend_on_order(value: dict[str, Any]) -> None:
    text = manifest.to_text(value)
    assert text.isascii() and text.endswith("\n") and "\r" not in text
    assert json.loads(text) == value
    assert manifest.to_text(dict(reversed(value.items()))) == text


def test_an_approved_script_may_run(scripts: list[Script], approved: Path) -> None:
    for script in scripts:
        require_approved(manifest.read(approved), approved, script)


def test_a_script_that_was_changed_may_not(scripts: list[Script], approved: Path) -> None:
    changed = dataclasses.replace(scripts[0], sha256="f" * 64)
    with pytest.raises(
        ApprovalError, match=rf"manifest\.json: the script for least does not match .* expected SHA-256 {scripts[0].sha256}, got {'f' * 64}"
    ):
        require_approved(manifest.read(approved), approved, changed)


def test_a_host_that_was_not_approved_may_not(scripts: list[Script], approved: Path) -> None:
    with pytest.raises(ApprovalError, match="another is not in the approved manifest"):
        require_approved(manifest.read(approved), approved, dataclasses.replace(scripts[0], host="another"))


def test_another_hosts_approval_does_not_count(scripts: list[Script], approved: Path) -> None:
    with pytest.raises(ApprovalError, match="the script for most does not match the approved one"):
        require_approved(manifest.read(approved), approved, dataclasses.replace(scripts[0], host="most"))


@pytest.mark.parametrize("entry", [None, {}, {"sha256": None}, [], "text", {"sha256": ""}, True])
def test_an_entry_without_the_hash_approves_nothing(scripts: list[Script], approved: Path, entry: Any) -> None:
    content = manifest.read(approved)
    content["hosts"]["least"] = entry
    approved.write_text(json.dumps(content), "ascii")
    with pytest.raises(ApprovalError, match=r"hosts\.least") as raised:
        require_approved(manifest.read(approved), approved, scripts[0])
    assert raised.value.exit_code == 5


def test_the_case_of_a_hash_and_of_a_name_counts(scripts: list[Script], approved: Path) -> None:
    content = manifest.read(approved)
    content["hosts"]["least"]["sha256"] = scripts[0].sha256.upper()
    with pytest.raises(ApprovalError, match="the script for least does not match the approved one"):
        require_approved(content, approved, scripts[0])
    content = manifest.read(approved)
    content["hosts"]["LEAST"] = content["hosts"].pop("least")
    with pytest.raises(ApprovalError, match="least is not in the approved manifest"):
        require_approved(content, approved, scripts[0])


@pytest.mark.parametrize("key", ["sha256", "head_sha256", "body_sha256", "settings", "steps", "downloads", "lock_sha256", "script"])
def test_all_that_the_approved_manifest_says_of_a_script_is_compared(scripts: list[Script], approved: Path, key: str) -> None:
    """Who approves reads the settings: they must be those of the script whose hash is approved."""
    content = manifest.read(approved)
    entry = content["hosts"]["least"]
    changed = {"settings": {**entry["settings"], "adopt": True}, "steps": entry["steps"][1:], "downloads": entry["downloads"][1:]}
    entry[key] = changed.get(key, "f" * 64)
    with pytest.raises(
        ApprovalError, match=r"for least does not match the approved one|hosts\.least\.[a-z_0-9]+ does not match the approved script"
    ):
        require_approved(content, approved, scripts[0])


def test_another_catalog_that_gives_the_same_script_is_approved(scripts: list[Script], approved: Path) -> None:
    content = manifest.read(approved)
    content["hosts"]["least"]["catalog_sha256"] = "f" * 64
    require_approved(content, approved, scripts[0])


def as_version_1(content: dict[str, Any]) -> dict[str, Any]:
    """What release 0.1.0 wrote."""
    hosts = {
        host: {key: value for key, value in entry.items() if key not in ("head_sha256", "signed_sha256", "target")}
        for host, entry in content["hosts"].items()
    }
    return {**content, "v": 1, "hosts": hosts}


def test_a_manifest_of_version_1_approves_by_the_hash_of_the_script(scripts: list[Script], approved: Path) -> None:
    approved.write_text(json.dumps(as_version_1(manifest.read(approved)), indent=2, sort_keys=True) + "\n", "ascii")
    for script in scripts:
        require_approved(manifest.read(approved), approved, script)
    with pytest.raises(ApprovalError, match="the script for least does not match the approved one"):
        require_approved(manifest.read(approved), approved, dataclasses.replace(scripts[0], sha256="f" * 64))
    content = manifest.read(approved)
    content["hosts"]["least"]["settings"]["adopt"] = True
    with pytest.raises(ApprovalError, match=r"hosts\.least\.settings does not match the approved script"):
        require_approved(content, approved, scripts[0])


def test_a_manifest_of_version_2_approves_any_target(scripts: list[Script], approved: Path) -> None:
    content = manifest.read(approved)
    hosts = {
        host: {key: value for key, value in entry.items() if key not in ("signed_sha256", "target")}
        for host, entry in content["hosts"].items()
    }
    approved.write_text(json.dumps({**content, "v": 2, "hosts": hosts}), "ascii")
    for script in scripts:
        manifest.require_approved(manifest.read(approved), approved, script, {"address": "elsewhere.example.com"})
    with pytest.raises(ApprovalError, match="the script for least does not match the approved one"):
        require_approved(manifest.read(approved), approved, dataclasses.replace(scripts[0], sha256="f" * 64))


WINDOWS = """system = "windows"
address = "192.0.2.7"
user = "anna"
password = { env = "NONE" }
fingerprint = "SHA256:%s"
notebook.password = { env = "NONE" }
""" % ("a" * 64)
LINUX = """system = "linux"
address = "192.0.2.7"
user = "anna"
host_key = "SHA256:%s"
notebook.password = { env = "NONE" }
""" % ("A" * 43)


def host(folder: Path, lines: str) -> AnyHost:
    (folder / "nbserver.toml").write_text("[hosts.one]\n" + lines, "utf-8")
    return reader.load(folder / "nbserver.toml").hosts["one"]


@pytest.mark.parametrize(
    ("before", "old", "new", "key"),
    [
        (WINDOWS, 'address = "192.0.2.7"', 'address = "192.0.2.8"', "address"),
        (WINDOWS, "user", "port = 5987\nuser", "port"),
        (WINDOWS, 'user = "anna"', 'user = "root"', "user"),
        (WINDOWS, f'fingerprint = "SHA256:{"a" * 64}"\n', "", "fingerprint"),
        (WINDOWS, f'fingerprint = "SHA256:{"a" * 64}"', "tls = false", "fingerprint"),
        (WINDOWS, f'fingerprint = "SHA256:{"a" * 64}"', "ca_file = 'nbserver.toml'", "ca_sha256"),
        (WINDOWS, "user", 'proxy = "http://proxy.example.com:3128"\nuser', "proxy"),
        (WINDOWS, "user", 'transport = "winrm"\nuser', "configuration_name"),
        (WINDOWS, "user", 'configuration_name = "Other"\nuser', "configuration_name"),
        (WINDOWS, "user", 'auth = "basic"\nuser', "auth"),
        (WINDOWS, "user", 'jump = "b@gw.example.com"\nuser', "jump"),
        (LINUX, "user", 'jump = "b@gw.example.com"\nuser', "jump"),
        (LINUX, "user", "port = 2222\nuser", "port"),
        (LINUX, f'host_key = "SHA256:{"A" * 43}"\n', "", "host_key"),
        (LINUX, 'user = "anna"', 'user = "root"\nsudo = false', "sudo"),
    ],
)
def test_another_target_is_not_approved(scripts: list[Script], tmp_path: Path, before: str, old: str, new: str, key: str) -> None:
    """The script can be the same, byte for byte, and run elsewhere, as somebody else, or on a host that proves nothing."""
    assert old in before
    script = scripts[0]
    content = manifest.build([script], {script.host: "0" * 64}, {script.host: target.of(host(tmp_path, before))})
    manifest.require_approved(content, tmp_path / "m.json", script, target.of(host(tmp_path, before)))
    with pytest.raises(ApprovalError, match=rf"the target of least does not match the approved one: expected {key} = .*, got ") as raised:
        manifest.require_approved(content, tmp_path / "m.json", script, target.of(host(tmp_path, before.replace(old, new, 1))))
    assert raised.value.exit_code == 5


def test_the_target_has_no_secret_and_no_path(tmp_path: Path) -> None:
    for lines in (WINDOWS, LINUX):
        assert "NONE" not in json.dumps(target.of(host(tmp_path, lines)))
        assert target.first_fault(target.of(host(tmp_path, lines))) is None
    assert target.first_fault(target.of(LocalLinuxHost())) is None
    with pytest.raises(InventoryError, match="must not contain a user name or password"):
        host(tmp_path, WINDOWS + 'proxy = "http://anna:secret@proxy.example.com"\n')


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("address", "WIN1.example.com.", "address: must be in the form that nbserver render writes"),
        ("address", None, "address: "),
        ("port", None, 'port: must not be null with transport = "psrp"'),
        ("port", 0, "port: "),
        ("port", True, "port: "),
        ("host_key", "SHA256:" + "A" * 43, 'host_key: must be null with transport = "psrp"'),
        ("sudo", False, 'sudo: must be null with transport = "psrp"'),
        ("fingerprint", "sha256:" + "A" * 64, "fingerprint: must be in the form that nbserver render writes"),
        ("proxy", "http://anna:secret@proxy.example.com", "proxy: must not contain a user name or password"),
        ("transport", "local", "auth: must be null with transport"),
        ("transport", "ssh", "auth: must be null with transport"),
        ("transport", "telnet", "transport: "),
        ("more", 1, "unknown key"),
    ],
)
def test_a_target_that_render_never_writes_is_refused(tmp_path: Path, key: str, value: Any, words: str) -> None:
    fault = target.first_fault(target.of(host(tmp_path, WINDOWS)) | {key: value})
    assert fault is not None and words in str(fault) and "secret" not in str(fault)


def test_a_manifest_of_another_release_can_be_read(scripts: list[Script], approved: Path) -> None:
    """Its settings may be others; that its script does not run is said by the hash."""
    content = manifest.read(approved)
    content["release"] = content["hosts"]["least"]["settings"]["release"] = "9.9.9"
    content["hosts"] = {"least": content["hosts"]["least"]}
    content["hosts"]["least"]["settings"]["more"] = {"than": "today"}
    content["hosts"]["least"]["sha256"] = "f" * 64
    approved.write_text(json.dumps(content), "ascii")
    with pytest.raises(ApprovalError, match=f"the script for least does not match .* expected SHA-256 {'f' * 64}, got {scripts[0].sha256}"):
        require_approved(manifest.read(approved), approved, scripts[0])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", r"this is not valid JSON \(line 1"),
        (b"{", r"this is not valid JSON \(line 1"),
        (b"\xef\xbb\xbf{}", "the file begins with a byte order mark, so a different program saved it; expected UTF-8 without"),
        (b"\xff\xfe{}", "the file is UTF-16 or contains null bytes; expected UTF-8 without a byte order mark"),
        (b"[]", r"the manifest version is missing or not supported; expected 1, 2, or 3"),
        (b"{}", r"the manifest version is missing or not supported; expected 1, 2, or 3"),
        (b'{"v": 0, "hosts": {}}', r"the manifest version is missing or not supported; expected 1, 2, or 3"),
        (b'{"v": true, "hosts": {}}', r"the manifest version is missing or not supported; expected 1, 2, or 3"),
        (b'{"v": "1", "hosts": {}}', r"the manifest version is missing or not supported; expected 1, 2, or 3"),
        (b'{"v": 1, "hosts": [], "release": "0.1.0"}', "error at the top level: hosts: expected"),
        (b'{"v": 2, "hosts": {}, "release": "0.1.0"}', "error at the top level: hosts: "),
        (b'{"v": 1, "release": "0.1.0"}', "error at the top level: hosts: this key is required"),
        (b"[" * 200_000, "objects or arrays are nested more than"),
    ],
    ids=[
        "empty",
        "torn",
        "a byte order mark",
        "utf-16",
        "list",
        "object",
        "version 0",
        "version as true",
        "version as text",
        "hosts as list",
        "without a host",
        "no hosts",
        "deep",
    ],
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "approved.json"
    path.write_bytes(data)
    with pytest.raises(ApprovalError, match=rf"approved\.json: the manifest is not valid: {words}"):
        manifest.read(path)


def test_a_missing_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ApprovalError, match=r"approved\.json: could not read the file"):
        manifest.read(tmp_path / "approved.json")
