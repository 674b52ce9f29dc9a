"""Rendered folders of every kind of host, and changes to them as an attacker makes them: every hash fits again afterwards."""

from __future__ import annotations

import copy
import hashlib
import json
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nbserver.approval import manifest, signature
from nbserver.commands import render, signing
from nbserver.inventory import reader
from nbserver.inventory.local_linux_host import LocalLinuxHost
from nbserver.inventory.local_windows_host import LocalWindowsHost
from tests.checkout import CHECKOUT

SAMPLE = CHECKOUT / "nbserver.sample.toml"
LINUX = """
[hosts.lin1]
system = "linux"
address = "192.0.2.7"
user = "anna"
notebook.directory = "/srv/it's caf\\u00e9"
notebook.password = { prompt = true }
"""
MANIFEST = "manifest.json"
BODY = "\n# ==== body"


def machines(folder: Path) -> dict[str, bytes]:
    """The files of a Windows host and of a Linux host; `folder` is for the inventory."""
    path = folder / "nbserver.toml"
    path.write_text(LINUX, "utf-8")
    return render.files([reader.load(SAMPLE).hosts["win1"], reader.load(path).hosts["lin1"]])


def linux_user() -> dict[str, bytes]:
    """The files of this machine, a Linux one, in user scope."""
    return render.files([LocalLinuxHost.model_validate({"scope": "user"})])


def windows_user() -> dict[str, bytes]:
    """The files of this machine as if it were a Windows one, in user scope."""
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(sysconfig, "get_platform", lambda: "win-amd64")
        changed.setattr(sysconfig, "get_python_version", lambda: "3.13")
        changed.setattr(sys, "base_prefix", "C:\\Users\\Zo\u00eb O'Neill\\AppData\\Local\\Programs\\Python\\Python313")
        return render.files([LocalWindowsHost()])


def put(files: dict[str, bytes], folder: Path) -> Path:
    """A folder that holds these files and no other."""
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def sign_all(files: dict[str, bytes], signer: signing.Signer) -> dict[str, bytes]:
    """The files as `render --sign` writes them."""
    return with_hashes({name: signing.sign(name, data, signer) if name.endswith(".ps1") else data for name, data in files.items()})


def with_hashes(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files with the hash of each signed script in the manifest."""
    content = json.loads(files[MANIFEST])
    for entry in content["hosts"].values():
        data = files[entry["script"]]
        entry["signed_sha256"] = hashlib.sha256(data).hexdigest() if signature.is_signed(data) else None
    return {**files, MANIFEST: manifest.to_text(content).encode("ascii")}


def forged(
    files: dict[str, bytes],
    host: str,
    change_text: Callable[[str], str] = lambda text: text,
    change_entry: Callable[[dict[str, Any]], None] = lambda entry: None,
) -> dict[str, bytes]:
    """The files with another script and manifest entry of one host, in which every hash is right again."""
    content = json.loads(files[MANIFEST])
    entry = content["hosts"][host]
    name = entry["script"]
    text = change_text(files[name].decode("ascii"))
    code = text.encode("utf-8", "surrogatepass")
    head, _, body = text.partition(BODY)
    for key, part in (("sha256", text), ("head_sha256", head + "\n"), ("body_sha256", BODY[1:] + body)):
        if key in entry:
            entry[key] = hashlib.sha256(part.encode("utf-8", "surrogatepass")).hexdigest()
    change_entry(entry)
    return {**files, name: code, MANIFEST: json.dumps(content).encode("ascii")}


def with_manifest(files: dict[str, bytes], change: Callable[[dict[str, Any]], Any]) -> dict[str, bytes]:
    """The files with a changed manifest. What `change` returns, if anything, is written in its place."""
    content = copy.deepcopy(json.loads(files[MANIFEST]))
    other = change(content)
    return {**files, MANIFEST: json.dumps(content if other is None else other).encode("ascii")}
