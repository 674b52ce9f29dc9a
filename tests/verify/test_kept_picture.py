"""Where the picture of a check is written."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from nbserver.base.errors import VerifyError
from tests.notebook_fixtures import certificate, no_proxies  # noqa: F401
from tests.notebook_server import (
    Certificate,
)


def test_the_picture_cannot_be_written_where_a_file_stands(certificate: Certificate, tmp_path: Path) -> None:
    from nbserver.verify.checks import keep_picture
    from tests.unit.verify.test_picture import DRAWING

    (tmp_path / "png").write_text("a file")
    with pytest.raises(VerifyError, match="could not write"):
        keep_picture("box", DRAWING, tmp_path / "png")


@pytest.mark.skipif(sys.platform == "win32", reason="needs the right to make links")
def test_the_picture_takes_the_place_of_a_link_and_does_not_follow_it(tmp_path: Path) -> None:
    from nbserver.verify.checks import keep_picture
    from tests.unit.verify.test_picture import DRAWING

    target = tmp_path / "precious"
    target.write_text("precious")
    (tmp_path / "box.png").symlink_to(target)
    _, path = keep_picture("box", DRAWING, tmp_path)
    assert path is not None and not path.is_symlink() and path.read_bytes() == DRAWING
    assert target.read_text() == "precious"
