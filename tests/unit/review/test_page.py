"""The review page: it refuses what the audit refuses, shows everything else that changes, and believes no text."""

from __future__ import annotations

import base64
import copy
import dataclasses
import hashlib
import json
import random
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nbserver.approval import audit
from nbserver.approval.reference import Reference
from nbserver.base.errors import ApprovalError
from nbserver.commands import render, signing
from nbserver.commands.review import of_folder
from nbserver.inventory import reader
from nbserver.review import commands_text, comparison, highlighting, json_text, markdown
from nbserver.review.page import page
from nbserver.review.statements import Review, review
from tests import golden, rendered_folders
from tests.code_signing import signer
from tests.formats import validate
from tests.rendered_folders import MANIFEST, put, sign_all
from tests.unit.approval.test_audit_mutations import chosen, made, other_values, sampled_bytes, structural

__all__ = ["signer"]
HOSTILE = "</code><script>alert(1)</script>\"'{{ 7*7 }}\u202e`|x"


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference.load()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return rendered_folders.machines(tmp_path_factory.mktemp("inventory"))


@pytest.fixture(scope="module")
def found(files: dict[str, bytes], reference: Reference, tmp_path_factory: pytest.TempPathFactory) -> Review:
    return review(audit.checked(put(files, tmp_path_factory.mktemp("rendered")), reference), reference)


@pytest.fixture(scope="module")
def text(found: Review) -> str:
    return page(found)


def all_texts(folder: Path, reference: Reference) -> tuple[str, ...]:
    """What the three writers make of a folder; empty if the audit refuses it."""
    try:
        audited = audit.checked(folder, reference)
    except ApprovalError as error:
        assert error.exit_code == 5
        return ()
    stated = review(audited, reference)
    return (json_text.text(stated), markdown.text(stated)) if audited else ()


def test_the_page_needs_no_network_and_its_policy_allows_its_own_style_and_script_only(text: str) -> None:
    policy = re.search(r'Content-Security-Policy content="([^"]+)"', text)
    assert policy
    allowed = policy[1].replace("&#39;", "'")
    assert allowed.startswith("default-src 'none'; ") and "unsafe" not in allowed and "http" not in allowed
    for tag in ("style", "script"):
        inside = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(inside) == 1
        assert f"{tag}-src 'sha256-{base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()}'" in allowed
    assert not re.search(r"<(?:link|img|iframe|object|form)\b|\ssrc=|\son\w+=|\sstyle=|\burl\(|@import", text)
    assert all(link.startswith("#") for link in re.findall(r'\shref="([^"]*)"', text))


def test_every_link_has_its_anchor_and_every_line_of_the_scripts_is_there(text: str, found: Review) -> None:
    anchors = re.findall(r'\sid="?([^\s">]+)', text)
    assert len(anchors) == len(set(anchors))
    assert set(re.findall(r'\shref="#([^"]*)"', text)) <= set(anchors)
    for kind in found.kinds:
        lines = len(re.findall(rf"id={kind.key}-\d+ ", text))
        assert lines == kind.body.count("\n")


def test_the_page_has_the_text_of_the_scripts_unchanged(text: str, files: dict[str, bytes]) -> None:
    blocks = re.findall(r"<pre><code>(<a class=n id=.*?)</code></pre>", text, re.DOTALL)
    shown = re.sub(r"<a class=n [^>]*>\d+</a>|</?i[^>]*>", "", "".join(blocks))
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&#34;", '"'), ("&#39;", "'"), ("&amp;", "&")):
        shown = shown.replace(entity, character)
    assert shown == "".join(files[name].decode("ascii") for name in ("lin1.sh", "win1.ps1"))


def test_every_value_of_the_manifest_is_on_the_page(text: str, files: dict[str, bytes]) -> None:
    content = json.loads(files[MANIFEST])
    for name, entry in content["hosts"].items():
        wanted = [name, *(value for key, value in entry.items() if key.endswith("sha256") and value)]
        wanted += [str(value) for value in entry["target"].values() if value is not None and not isinstance(value, bool)]
        wanted += [str(item[key]) for item in entry["downloads"] for key in ("url", "sha256", "version")]
        for value in wanted:
            assert json.dumps(value)[1:-1] in text or value in text, value
    assert hashlib.sha256(files[MANIFEST]).hexdigest() in text


def test_no_changed_manifest_gives_the_same_review(files: dict[str, bytes], reference: Reference, tmp_path: Path) -> None:
    folder = put(files, tmp_path / "rendered")
    original = all_texts(folder, reference)
    content = json.loads(files[MANIFEST])
    changes = structural(content)
    random.Random(3).shuffle(changes)
    for change in chosen([*changes, *other_values(content)], 60, always=20):
        mutated = made(content, change)
        (folder / MANIFEST).write_text(json.dumps(mutated))
        texts = all_texts(folder, reference)
        assert not texts or mutated == content or all(one != other for one, other in zip(texts, original, strict=True)), change


def test_a_changed_byte_of_a_script_gives_no_review(files: dict[str, bytes], reference: Reference, tmp_path: Path) -> None:
    folder = put(files, tmp_path / "rendered")
    scripts = {name: data for name, data in files.items() if name != MANIFEST}
    for name, _, _, data in sampled_bytes(scripts, 30):
        (folder / name).write_bytes(data)
        with pytest.raises(ApprovalError):
            of_folder(folder, reference, {"html": tmp_path / "review.html"}, None)
        (folder / name).write_bytes(files[name])
    assert not (tmp_path / "review.html").exists()


def test_another_target_is_in_the_review(files: dict[str, bytes], reference: Reference, found: Review, tmp_path: Path) -> None:
    def shown(stated: Review) -> str:
        return re.sub(r"[0-9a-f]{64}", "", json_text.text(stated)) + markdown.text(stated).partition("\n")[2].replace(
            stated.manifest_sha256, ""
        )

    for host, key, value in TARGETS:
        content = copy.deepcopy(json.loads(files[MANIFEST]))
        assert content["hosts"][host]["target"][key] != value
        content["hosts"][host]["target"][key] = value
        folder = put({**files, MANIFEST: json.dumps(content).encode()}, tmp_path / "rendered")
        assert shown(review(audit.checked(folder, reference), reference)) != shown(found), (host, key)


TARGETS: list[tuple[str, str, Any]] = [
    ("win1", "address", "other.example.com"),
    ("win1", "port", 5987),
    ("win1", "tls", False),
    ("win1", "user", "x</script><b>"),
    ("win1", "fingerprint", "SHA256:" + "cd" * 32),
    ("win1", "proxy", "http://proxy.example.com:3128"),
    ("lin1", "sudo", False),
    ("lin1", "user", "root"),
]


def test_text_from_outside_is_shown_and_never_run(found: Review) -> None:
    hostile = dataclasses.replace(
        found,
        downloads=tuple(dataclasses.replace(item, origin=HOSTILE, url=HOSTILE, catalog=HOSTILE) for item in found.downloads),
        locks=tuple(dataclasses.replace(lock, title=HOSTILE) for lock in found.locks),
        hosts=tuple(
            dataclasses.replace(host, target={**host.target, "user": HOSTILE}, settings=dict.fromkeys(host.settings, HOSTILE))
            for host in found.hosts
        ),
    )
    shown = page(hostile)
    assert "alert(1)</script>" not in shown and "49" not in re.findall(r"\{\{ (.*?) \}\}", shown)
    assert "&lt;script&gt;alert(1)" in shown and "{{ 7*7 }}" in shown
    assert shown.count("<script>") == 1
    written = markdown.text(hostile)
    assert written.isascii() and "\n</code>" not in written
    assert not re.search(r"(?<!`)<script>(?![^|\n]*`)", re.sub(r"(`+).*?\1", "", written))


def test_steps_and_parts_that_do_not_run_are_grayed_out(reference: Reference, tmp_path: Path) -> None:
    catalog = CATALOG
    files = golden_files()
    folder = put(files, tmp_path / "rendered")
    known = Reference.load([catalog])
    stated = review(audit.checked(folder, known), known)
    windows = next(kind for kind in stated.kinds if kind.system == "Windows")
    firewall = next(step for step in windows.steps if step.name == "firewall")
    assert firewall.left_out == {"most": "skipped in the inventory"}
    shown = page(stated)
    assert "Does not run on most: skipped in the inventory." in shown
    assert 'class="part off"' in shown and "the host signs its certificate itself" in shown
    assert {item.origin for item in stated.downloads if item.catalog != "of release " + stated.release}
    assert "not known to this release" in shown  # packages of the site's lock


CATALOG = Path(golden.__file__).parent / "site-catalog.toml"


def golden_files() -> dict[str, bytes]:
    folder = Path(golden.__file__).parent
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".ps1", ".sh") or path.name == MANIFEST}


def test_the_commands_recompute_the_hashes_without_nbserver(found: Review, files: dict[str, bytes], tmp_path: Path) -> None:
    folder = put(files, tmp_path / "rendered")
    commands = [commands_text.of_manifest(found), *(command for host in found.hosts for command in commands_text.of_host(host))]
    assert len(commands) == 9
    for command in commands:
        done = subprocess.run(["sh", "-c", command.posix], cwd=folder, capture_output=True, text=True, check=True)
        assert done.stdout.split()[0] == command.sha256, command.posix


def test_a_signed_script_has_commands_for_both_of_its_hashes(
    files: dict[str, bytes], reference: Reference, signer: signing.Signer, tmp_path: Path
) -> None:
    folder = put(sign_all(files, signer), tmp_path / "rendered")
    found = review(audit.checked(folder, reference), reference)
    host = next(host for host in found.hosts if host.script.endswith(".ps1"))
    commands = commands_text.of_host(host)
    assert len(commands) == 5 and host.signer in page(found) and host.signed_sha256 in page(found) and host.signer
    for command in commands:
        done = subprocess.run(["sh", "-c", command.posix], cwd=folder, capture_output=True, text=True, check=True)
        assert done.stdout.split()[0] == command.sha256, command.posix
    assert not comparison.against(folder, audit.checked(folder, reference), put(files, tmp_path / "unsigned"), reference).changes


def test_json_follows_its_schema_and_has_no_script(found: Review) -> None:
    value = json.loads(json_text.text(found))
    validate("review", value)
    assert value["kinds"][0]["steps"][0]["name"] == "preflight" and "body" not in value["kinds"][0]


def test_markdown_has_every_step_and_every_host(found: Review) -> None:
    written = markdown.text(found)
    for kind in found.kinds:
        assert all(f"| `{step.name}` |" in written for step in kind.steps)
    assert all(host.sha256 in written for host in found.hosts)
    targets = [host.target for host in found.hosts]
    assert written.count("auth = ") == sum(target["auth"] is not None for target in targets) > 0


def test_colors_never_change_a_script() -> None:
    for language, code in (("sh", "x='a\\\n<&>'\r\n\n\n"), ("ps1", "\n@'\nx\n'@ # <b>\n\x00\u00e9 `\n\n")):
        lines = highlighting.lines(code, language)
        shown = [
            re.sub(r"</?i[^>]*>", "", line).replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'").replace("&amp;", "&")
            for line in lines
        ]
        assert "\n".join(shown) + "\n" == code


def test_a_thousand_hosts_are_one_body_and_a_page_of_a_few_megabytes(reference: Reference, tmp_path: Path) -> None:
    hosts = "".join(
        f'[hosts.h{n}]\nsystem = "linux"\naddress = "h{n}.example.com"\nuser = "u"\nnotebook.password = {{ prompt = true }}\n'
        for n in range(200)
    )
    inventory = tmp_path / "nbserver.toml"
    inventory.write_text(hosts)
    folder = put(render.files(list(reader.load(inventory).hosts.values())), tmp_path / "rendered")
    shown = page(review(audit.checked(folder, reference), reference))
    assert len(shown) < 1_500_000 + 200 * 3_000
    assert shown.count("Script: Linux, scope machine") == 1 and shown.count("<tr data-host=") == 200
