"""docs/audit.md: its commands for coreutils accept what was rendered, and fail where something was changed."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from nbserver.render.step_files import read_body
from nbserver.review.script_scan import deletions
from tests.checkout import CHECKOUT
from tests.code_signing import signer
from tests.rendered_folders import MANIFEST, put, sign_all
from tests.unit.approval.audited import files, linux_user

__all__ = ["files", "linux_user", "signer"]

PAGE = (CHECKOUT / "docs" / "audit.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def run(files: dict[str, bytes], folder: Path, host: str = "win1") -> subprocess.CompletedProcess[str]:
    """All commands for this host in one shell. A command that finds something else ends it."""
    if not shutil.which("openssl") or not shutil.which("sha256sum"):
        pytest.skip("this needs openssl and coreutils")
    put(files, folder / "rendered")
    digest = json.loads(files[MANIFEST])["hosts"][host]["sha256"]
    (folder / "events.jsonl").write_text(json.dumps({"v": 1, "script_sha256": digest}) + "\n{}\n", "ascii")
    (folder / "sudo.log").write_text(f'sudo: anna : (command continued) exit "$code"\' nbserver 300000 {digest}\n', "ascii")
    commands = "".join(blocks("sh") if host == "win1" else blocks("bash")).replace("ubuntu1", host)
    checked = re.sub(r"^(?=.*&& echo ok$)(.*)$", r"{ \1; } || exit 9", commands, flags=re.MULTILINE)
    return subprocess.run(["bash", "-c", checked], cwd=folder, capture_output=True, text=True, check=False)


def test_each_step_has_commands_for_both() -> None:
    windows, linux = (re.split(r"^### \d\. ", part, flags=re.MULTILINE)[1:] for part in PAGE.split("## A script for Linux\n"))
    assert len(windows) == len(linux) == 6
    assert all("```sh\n" in step and "```powershell\n" in step for step in windows)
    assert all("```bash\n" in step for step in linux)


@pytest.mark.parametrize("kind", ["unsigned", "signed"])
def test_what_was_rendered_is_accepted(files: dict[str, bytes], kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    found = files if kind == "unsigned" else sign_all(files, request.getfixturevalue("signer"))
    done = run(found, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines().count("ok") == 9
    body = hashlib.sha256(b"# ==== body" + files["win1.ps1"].partition(b"\n# ==== body")[2]).hexdigest()
    assert f"{body}  body.ps1" in done.stdout and '"port": 9999' in done.stdout and "# ---- step: cleanup" in done.stdout


@pytest.mark.parametrize("kind", ["machine", "user"])
def test_what_was_rendered_for_linux_is_accepted(files: dict[str, bytes], linux_user: dict[str, bytes], kind: str, tmp_path: Path) -> None:
    found, host = (files, "lin1") if kind == "machine" else (linux_user, "local")
    done = run(found, tmp_path, host)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines().count("ok") == 9
    body = hashlib.sha256(b"# ==== body" + found[f"{host}.sh"].partition(b"\n# ==== body")[2]).hexdigest()
    assert f"{body}  body.sh" in done.stdout and "NB_NOTEBOOK_PORT='9999'" in done.stdout and "# ---- step: cleanup" in done.stdout


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "a setting": lambda code: code.replace(b'"port": 9999', b'"port": 9998'),
    "code in the head": lambda code: code.replace(b"\n$Lock = @(\n", b"\nRemove-Item x\n$Lock = @(\n"),
    "code of a module": lambda code: b"#Requires -Modules x\n" + code,
    "code in the settings": lambda code: code.replace(b'"port": 9999', b"\"port\": 9999'; Remove-Item x; '"),
    "code in the lock": lambda code: code.replace(b"$Lock = @(\n", b"$Lock = @(\n    'x'; Remove-Item x; 'y'\n"),
    "code in the page": lambda code: code.replace(b"$FirstPage = '\n{", b"$FirstPage = '\n'; Remove-Item x; '{"),
    "code after the page": lambda code: code.replace(b"}\n'\n\n# ==== body", b"}\n'\n\nRemove-Item x\n# ==== body"),
    "a second page": lambda code: code.replace(b"\n$Lock = @(\n", b"\n$FirstPage = '\n'; Remove-Item x; '\n'\n$Lock = @(\n"),
    "a package": lambda code: code.replace(b"'anyio==", b"'anyjo=="),
    "the body": lambda code: code.replace(b"function Invoke-Mode {", b"function Invoke-Mode { Remove-Item x;"),
    "another end": lambda code: code + b"Remove-Item x\n",
    "a letter that looks alike": lambda code: code.replace(b"# nbserver", "# nbserv\u0435r".encode(), 1),
    "a carriage return": lambda code: code.replace(b"\n", b"\n\r", 1),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_was_changed_is_found(files: dict[str, bytes], change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    changed = change(files["win1.ps1"])
    assert changed != files["win1.ps1"]
    assert run({**files, "win1.ps1": changed}, tmp_path).returncode == 9
    # Where the manifest was changed as well, the form of the head and the published hash of the body are what remains.


@pytest.mark.parametrize("more", [b"Remove-Item x\r\n", b"# a\rRemove-Item x\r\n"])
@pytest.mark.parametrize("at", [b"# SIG # End", b""])
def test_code_in_or_below_a_signature_block_is_found(
    files: dict[str, bytes], more: bytes, at: bytes, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    found = sign_all(files, request.getfixturevalue("signer"))
    before, mark, after = found["win1.ps1"].partition(at) if at else (found["win1.ps1"], b"", b"")
    assert run({**found, "win1.ps1": before + more + mark + after}, tmp_path).returncode == 9


def fitting(files: dict[str, bytes], host: str, script: bytes) -> bytes:
    """The manifest with the hashes of a changed script."""
    content = json.loads(files[MANIFEST])
    entry = content["hosts"][host]
    entry["sha256"] = hashlib.sha256(script).hexdigest()
    entry["head_sha256"] = hashlib.sha256(script.partition(b"# ==== body")[0]).hexdigest()
    return (json.dumps(content, indent=2, sort_keys=True) + "\n").encode("ascii")


@pytest.mark.parametrize("name", [name for name in CHANGES if name.startswith(("code", "a second"))])
def test_code_in_the_head_is_found_with_matching_hashes(files: dict[str, bytes], name: str, tmp_path: Path) -> None:
    changed = CHANGES[name](files["win1.ps1"])
    assert run({**files, "win1.ps1": changed, MANIFEST: fitting(files, "win1", changed)}, tmp_path).returncode == 9


LINUX_CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "a setting": lambda code: code.replace(b"PORT='9999'", b"PORT='9998'"),
    "code in the head": lambda code: code.replace(b"\nLOCK=(\n", b"\nrm x\nLOCK=(\n"),
    "code in the settings": lambda code: code.replace(b"PORT='9999'", b"PORT='9999'; rm 'x'"),
    "code in a text": lambda code: code.replace(b"it\\047s", b"it\\'s; rm x; '"),
    "a substitution": lambda code: code.replace(b"PORT='9999'", b"PORT=$(rm x)"),
    "a setting with a command": lambda code: code.replace(b"PORT='9999'", b"PORT='9999' rm 'x'"),
    "code in the lock": lambda code: code.replace(b"LOCK=(\n", b"LOCK=(\n    'x' $(rm x) 'y'\n"),
    "a command after the lock": lambda code: code.replace(b"\n)\n\n# shellcheck", b"\n)\n    'reboot'\n\n# shellcheck"),
    "code in the page": lambda code: code.replace(b"FIRST_PAGE='\n{", b"FIRST_PAGE='\n'; rm x; '{"),
    "code after the page": lambda code: code.replace(b"}\n'\n\n# ==== body", b"}\n'\n\nrm x\n# ==== body"),
    "a package": lambda code: code.replace(b"'anyio==", b"'anyjo=="),
    "the body": lambda code: code.replace(b"\nset -Eeuo pipefail\n", b"\nset -Eeuo pipefail\nrm x\n"),
    "another end": lambda code: code + b"rm x\n",
    "a letter that looks alike": lambda code: code.replace(b"# nbserver", "# nbserv\u0435r".encode(), 1),
}
DELETIONS = r"\b(rm|rmdir|unlink|userdel|groupdel|purge|autoremove|os\.(unlink|rmdir|remove|replace|rename|truncate)|shutil\.\w+|ufw delete)\b|-- remove"
IN_THE_HEAD = [name for name in LINUX_CHANGES if name.startswith(("code", "a substitution", "a setting with", "a command"))]


@pytest.mark.parametrize("scope", ["machine", "user"])
def test_the_command_for_windows_finds_every_line_that_deletes_something_itself(scope: str) -> None:
    (command,) = [re.compile(command) for command in re.findall(r"grep -nE '(.+)' body\.ps1", PAGE) if "----" not in command]
    assert f"Select-String '{command.pattern}'" in PAGE
    body = read_body("ps_scripts", scope).text
    lines, functions = body.split("\n"), set(re.findall(r"^function ([\w-]+)", body, re.MULTILINE))
    for found in deletions(body, "ps1"):
        if any(name not in functions and not re.match("'remove-|Disable-|::Delete$", name) for name in found.names):
            assert command.search(lines[found.line - 1]), found


def test_the_commands_of_the_page_find_every_line_that_deletes_something() -> None:
    commands = [re.compile(command) for command in re.findall(r"grep -nE '(.+)' body\.sh", PAGE)]
    body = (CHECKOUT / "tests" / "golden" / "linux-most.sh").read_text("utf-8").partition("# ==== body")[2]
    code = [line for line in body.splitlines() if not re.match(r"\s*(#|'|\")", line)]
    deleting = [line for line in code if re.search(DELETIONS, line.partition(" # ")[0])]
    assert len(commands) == 3 and len(deleting) > 50
    assert not [line for line in deleting if not any(command.search(line) for command in commands[1:])]


@pytest.mark.parametrize("change", LINUX_CHANGES.values(), ids=LINUX_CHANGES)
def test_what_was_changed_in_a_script_for_linux_is_found(files: dict[str, bytes], change: Callable[[bytes], bytes], tmp_path: Path) -> None:
    changed = change(files["lin1.sh"])
    assert changed != files["lin1.sh"]
    assert run({**files, "lin1.sh": changed}, tmp_path, "lin1").returncode == 9


@pytest.mark.parametrize("name", IN_THE_HEAD)
def test_code_in_the_head_for_linux_is_found_with_matching_hashes(files: dict[str, bytes], name: str, tmp_path: Path) -> None:
    changed = LINUX_CHANGES[name](files["lin1.sh"])
    assert run({**files, "lin1.sh": changed, MANIFEST: fitting(files, "lin1", changed)}, tmp_path, "lin1").returncode == 9
