"""A host whose downloads come from a mirror: what its script, its manifest, and its header say, and what a bundle has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nbserver.catalog import reader as catalogs
from nbserver.commands import download, render
from nbserver.inventory import reader
from nbserver.render.render import render_all

INVENTORY = """
[defaults]
notebook.password = { env = "X" }
downloads.mirror = "https://mirror.example.com/bundle/"
packages.index_url = "https://packages.example.com/simple/"
[groups.inside]
hosts = ["win1", "lin1"]
downloads.source = "mirror"
[hosts.win1]
system = "windows"
address = "win1.example.com"
[hosts.lin1]
system = "linux"
address = "lin1.example.com"
user = "anna"
[hosts.lin2]
system = "linux"
address = "lin2.example.com"
user = "anna"
downloads.source = "push"
downloads.bundle = "bundle"
[hosts.win3]
system = "windows"
address = "win3.example.com"
downloads.source = "push"
downloads.bundle = "bundle"
[hosts.win2]
system = "windows"
address = "win2.example.com"
"""
SAYS = {
    "win1": "# All downloads come from the mirror in the settings (downloads.mirror)\n",
    "lin1": "# Python packages come from the mirror in the settings (downloads.mirror)\n",
    "lin2": "# Python packages come from the workstation, which sends what is missing before apply (downloads.source)\n",
    "win3": "# All downloads come from the workstation, which sends what is missing before apply (downloads.source)\n",
    "win2": "# Downloads come from the URLs in the settings and from the package index\n",
}


@pytest.fixture
def inventory(tmp_path: Path) -> reader.Inventory:
    (tmp_path / "nbserver.toml").write_text(INVENTORY, "utf-8")
    return reader.load(tmp_path / "nbserver.toml")


def test_scripts_and_manifest_name_only_the_mirror(inventory: reader.Inventory) -> None:
    hosts = list(inventory.hosts.values())
    entries = json.loads(render.files(hosts)["manifest.json"])["hosts"]
    known = {entry.sha256: entry.url for entry in catalogs.load().downloads}
    for script, _ in render_all(hosts):
        assert SAYS[script.host] in script.text
        settings = entries[script.host]["settings"]
        source = {"win2": "direct", "lin2": "push", "win3": "push"}.get(script.host, "mirror")
        mirrored = source == "mirror"
        assert settings["downloads"]["source"] == source
        assert settings["downloads"]["mirror"] == ("https://mirror.example.com/bundle" if mirrored else None)
        assert ("packages.example.com" in script.text) == (source == "direct") and "bundle" not in settings["downloads"]
        for one in entries[script.host]["downloads"]:
            name = known[one["sha256"]].rpartition("/")[2]
            url = f"https://mirror.example.com/bundle/files/{one['sha256']}/{name}" if mirrored else known[one["sha256"]]
            assert one["url"] == url


def test_a_bundle_for_mirrored_hosts_comes_from_the_publishers(inventory: reader.Inventory) -> None:
    mirrored, direct = (download.needed([inventory.hosts[name]], None) for name in ("win1", "win2"))
    assert mirrored.programs == direct.programs and mirrored.programs
    assert [index.url for _, index in mirrored.packages] == ["https://packages.example.com/simple/"]
