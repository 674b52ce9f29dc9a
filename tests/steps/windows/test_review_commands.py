"""The PowerShell commands of the review page recompute the hashes, for a script with and without a signature."""

from __future__ import annotations

from pathlib import Path

from nbserver.approval import audit
from nbserver.approval.reference import Reference
from nbserver.commands import signing
from nbserver.review import commands_text
from nbserver.review.statements import review
from tests import rendered_folders
from tests.boxes.wine import windows_path
from tests.code_signing import signer
from tests.powershell.engine import Session, require_engine
from tests.rendered_folders import put, sign_all

__all__ = ["signer"]


def test_they_recompute_the_hashes(signer: signing.Signer, tmp_path: Path) -> None:
    require_engine()
    (tmp_path / "inventory").mkdir()
    files = rendered_folders.machines(tmp_path / "inventory")
    reference = Reference.load()
    with Session() as session:
        for name, found in {"unsigned": files, "signed": sign_all(files, signer)}.items():
            folder = put(found, tmp_path / name)
            reviewed = review(audit.checked(folder, reference), reference)
            host = next(host for host in reviewed.hosts if host.script.endswith(".ps1"))
            commands = [commands_text.of_manifest(reviewed), *commands_text.of_host(host)]
            code = "\n".join(command.powershell for command in commands)
            assert session.run(f"Set-Location -LiteralPath '{windows_path(folder)}'\n{code}") == [command.sha256 for command in commands]
