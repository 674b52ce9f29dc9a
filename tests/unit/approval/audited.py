"""Rendered folders to be changed, and the one clean message by which a changed one is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from nbserver.approval import audit
from nbserver.base.errors import ApprovalError
from tests import rendered_folders
from tests.rendered_folders import put

PLAIN = re.compile(r"[ -~\ufffd]*")  # what a terminal shows as it is, and the sign for what it does not show


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return rendered_folders.machines(tmp_path_factory.mktemp("inventory"))


@pytest.fixture(scope="module")
def linux_user() -> dict[str, bytes]:
    return rendered_folders.linux_user()


def refused(files: dict[str, bytes], folder: Path) -> str:
    """The message by which the folder of these files is refused."""
    with pytest.raises(ApprovalError) as raised:
        audit.audit(put(files, folder / "rendered"))
    message = str(raised.value)
    assert PLAIN.fullmatch(message), ascii(message)
    return message.replace(str(folder), "")
