"""Ansible against a Windows host in a box: what its modules need that Wine, or this PowerShell, lacks.

Ansible compiles C# on the host. PowerShell of the box is packed without the reference assemblies of the compiler, and Wine has no
COM class that writes debugging information. So the assemblies of .NET itself are the references, and one call of Ansible's own
Ansible.ModuleUtils.AddType is without debugging information. Everything else of Ansible, of its modules, and of a play is unchanged.
"""

from __future__ import annotations

import contextlib
import shutil
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.boxes.artifacts import install_packages, once
from tests.boxes.windows import WindowsBox

REQUIREMENTS = ("ansible==12.3.0", "pypsrp==0.9.1")
COLLECTION = "ansible_collections/ansible/windows"  # of a hundred collections, the one that the play names
POWERSHELL = r"C:\Program Files\PowerShell"
PARTS_OF_NET = ("System.", "Microsoft.CSharp.", "Microsoft.Win32.", "mscorlib.", "netstandard.", "WindowsBase.")
COMPILES = "$compilation.Emit($code_ms, $pdb_ms)"


def ansible(cache: Path) -> Path:
    """A folder for PYTHONPATH with Ansible and the collection, made once: `python -m ansible playbook` runs a play."""

    def make(work: Path, target: Path) -> None:
        install_packages(target, REQUIREMENTS)
        shutil.move(target / COLLECTION, work / "windows")
        shutil.rmtree(target / "ansible_collections")
        (target / COLLECTION).parent.mkdir(parents=True)
        shutil.move(work / "windows", target / COLLECTION)

    return once(cache, f"ansible-{REQUIREMENTS[0].partition('==')[2]}-python{sys.version_info.major}.{sys.version_info.minor}", make)


def module_utils(installed: Path, folder: Path) -> Path:
    """A folder for ANSIBLE_MODULE_UTILS with the one call that is different."""
    name = "Ansible.ModuleUtils.AddType.psm1"
    text = (installed / "ansible/module_utils/powershell" / name).read_text("utf-8")
    assert text.count(COMPILES) == 1
    folder.mkdir()
    (folder / name).write_text(text.replace(COMPILES, "$compilation.Emit($code_ms)"), "utf-8")
    return folder


@contextlib.contextmanager
def reference_assemblies_on(host: WindowsBox) -> Iterator[None]:
    """PowerShell of the host has them for a while, on a host that other tests have as well: its folder is a link to one of many hosts."""
    place = host.path(POWERSHELL) / "7"
    real = place.resolve()
    own = place.with_name("7-with-references")
    (own / "ref").mkdir(parents=True)
    for file in real.iterdir():
        (own / file.name).symlink_to(file)
        if file.suffix == ".dll" and file.name.startswith(PARTS_OF_NET) and _is_managed(file):
            (own / "ref" / file.name).symlink_to(file)
    place.unlink()
    own.rename(place)
    try:
        yield
    finally:
        shutil.rmtree(place)
        place.symlink_to(real)


def _is_managed(file: Path) -> bool:
    """Whether a DLL has a header of .NET, entry 14 of the data directories."""
    data = file.read_bytes()
    (header,) = struct.unpack_from("<I", data, 0x3C)
    directories = header + 24 + (112 if data[header + 24 : header + 26] == b"\x0b\x02" else 96)
    return struct.unpack_from("<I", data, directories + 14 * 8) != (0,)
