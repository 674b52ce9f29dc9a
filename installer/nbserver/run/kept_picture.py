"""The picture of a verification that follows a run: a copy in the run directory, and in its chain."""

from __future__ import annotations

from pathlib import Path

from nbserver.base import atomic_file
from nbserver.base.message import Message, notice
from nbserver.run import evidence_log
from nbserver.run.chain import Chain, Written
from nbserver.run.evidence import now

NAME = "verified.png"


def keep(folder: Path, picture: Path, operator: str) -> list[Message]:
    """Copy the picture into the folder of its host. Never raises: what could not be written is a warning, which is returned."""
    chain = Chain(folder.parent)
    try:
        data = picture.read_bytes()
        atomic_file.write_bytes(folder / NAME, data, mode=0o600)
        head = chain.add(now(), Written.of(folder / NAME, data))
    except OSError as error:
        return [
            notice(
                "picture-not-kept",
                "could not save the plot to {folder} ({reason}). The result of the verification is not affected",
                folder=folder,
                reason=error.strerror,
            )
        ]
    return evidence_log.write(folder.parent.name, "verify", operator, folder.parent, head)
