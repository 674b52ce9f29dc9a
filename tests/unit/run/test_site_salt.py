"""nbserver.salt: created once, read strictly, and never overwritten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbserver.base.errors import UsageError
from nbserver.run import site_salt
from tests.checkout import CHECKOUT

LINE = b"nbserver-salt-1 AAECAwQFBgcICQoLDA0ODw==\n"
SALT = bytes(range(16))


def test_it_is_created_once_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "nbserver.salt"
    first = site_salt.ensure(path)
    content = path.read_bytes()
    assert len(first) == 16 and site_salt.ensure(path) == site_salt.read(path) == first and path.read_bytes() == content
    assert b"not secret" in content and b"version control" in content and content.isascii()
    assert [entry.name for entry in tmp_path.iterdir()] == ["nbserver.salt"], "no lock and no temporary file is left"
    other = tmp_path / "other"
    other.mkdir()
    assert site_salt.ensure(other / "nbserver.salt") != first


def test_the_example_in_the_docs_is_what_is_written(tmp_path: Path) -> None:
    text = (CHECKOUT / "docs" / "formats.md").read_text("utf-8").partition("## Salt\n")[2].partition("\n## ")[0]
    example = "".join(f"{line[4:]}\n" for line in text.splitlines() if line.startswith("    "))
    (tmp_path / "example").write_text(example)
    written = tmp_path / "nbserver.salt"
    site_salt.ensure(written)
    assert site_salt.read(tmp_path / "example") == SALT and written.read_text().splitlines()[:-1] == example.splitlines()[:-1]


@pytest.mark.parametrize(
    "content",
    [LINE, LINE[:-1], b"\xef\xbb\xbf# a comment\n" + LINE, b"\xef\xbb\xbf" + LINE, b"# a comment\n\n" + LINE, LINE.replace(b"\n", b"\r\n")],
)
def test_what_is_a_salt(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "nbserver.salt"
    path.write_bytes(content)
    assert site_salt.ensure(path) == site_salt.read(path) == SALT and path.read_bytes() == content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"# only words\n",
        LINE + LINE,
        LINE + b"x\n",
        b" " + LINE,
        LINE[:-1] + b" \n",
        b"nbserver-salt-2 AAECAwQFBgcICQoLDA0ODw==\n",
        b"nbserver-salt-1 AAECAwQFBgcICQoLDA0ODw\n",
        b"nbserver-salt-1 AAECAwQFBgcICQoLDA0O\n",
        b"nbserver-salt-1 AAECAwQFBgcICQoLDA0ODx==\n",
        b"nbserver-salt-1 AAECAwQFBgcICQoLDA0OD\xff==\n",
        b"<<<<<<< HEAD\n" + LINE,
        b"\x00" * 64,
        b"#" * 5000,
        LINE.decode().encode("utf-16"),
    ],
)
def test_what_is_no_salt_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "nbserver.salt"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="Restore the salt file from version control") as refused:
        site_salt.ensure(path)
    assert refused.value.where == str(path) and path.read_bytes() == content


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nbserver.salt"
    path.mkdir()
    with pytest.raises(UsageError, match=r"regular file|could not read"):
        site_salt.ensure(path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(UsageError, match="regular file"):
            site_salt.read(tmp_path / "pipe")
    with pytest.raises(UsageError, match="could not read the salt file: No such file"):
        site_salt.read(tmp_path / "absent")


def test_where_nobody_may_write_the_reason_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match=r"could not create the salt file: .*--salt"):
        site_salt.ensure(tmp_path / "file" / "nbserver.salt")


def test_a_link_to_nothing_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "nbserver.salt"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="could not read"):
        site_salt.ensure(path)
    assert path.is_symlink()
