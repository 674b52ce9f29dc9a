"""A file or folder that the person named and that could not be written."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from nbserver.base import plain_file
from nbserver.base.errors import UsageError


@contextmanager
def refused(code: str, template: str, *, where: Path, todo: str = "") -> Iterator[None]:
    """Raise UsageError with this message for an OSError in the block. `{reason}` in the template is what the system says."""
    try:
        yield
    except OSError as error:
        raise UsageError(code, template, where=plain_file.shown(where), todo=todo, reason=error.strerror or type(error).__name__) from None


@contextmanager
def temporary_folder(parent: Path, prefix: str, refusal: AbstractContextManager[None]) -> Iterator[Path]:
    """Create a folder in `parent` that is removed after the block. `refusal`, as `refused` returns it, says why it cannot be created."""
    with ExitStack() as stack:
        with refusal:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix, dir=parent, ignore_cleanup_errors=True))
        yield Path(name)


@contextmanager
def folder_for_new_files(parent: Path, prefix: str) -> Iterator[Path]:
    """Create a folder in `parent` for files that are moved to their places, and remove it after the block. Raises OSError.

    On Windows, a file keeps the access list that it got from its first folder. Since Python 3.11.10 and 3.12.4, a folder of tempfile
    has one for its owner alone: nobody else could read the files in their places.
    """
    folder = parent / f"{prefix}{secrets.token_hex(8)}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
