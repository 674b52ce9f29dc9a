"""Windows with a virus scanner, as nbserver sees it: what is new cannot be moved or replaced at the first attempt."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from nbserver.base import atomic_file


def scanned(monkeypatch: pytest.MonkeyPatch, held: int = 1) -> set[Path]:
    """Refuse the first attempts to move each file or folder, and return the set of those that were refused."""
    attempts: dict[Path, int] = {}
    refused: set[Path] = set()
    replace = Path.replace

    def refuse(self: Path, target: Path | str) -> Path:
        attempts[self] = attempts.get(self, 0) + 1
        if attempts[self] <= held:
            refused.add(self)
            raise PermissionError(13, "Access is denied")
        return replace(self, target)

    monkeypatch.setattr(atomic_file, "sys", SimpleNamespace(platform="win32"))  # for nothing else: ssl would ask Windows
    monkeypatch.setattr(atomic_file, "PATIENCE", 0.1)
    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(Path, "rename", refuse)
    return refused
