"""The document of an approval: it comes back as it was built, and nothing else is read."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbserver import __version__
from nbserver.approval import document
from nbserver.run.approved import MODES
from tests.formats import validate
from tests.tier import examples

ISSUED = datetime(2026, 11, 29, 0, 10, tzinfo=UTC)
CONTENT = {"hosts": {"win1": {"sha256": "a" * 64}, "lin1": {"sha256": "b" * 64}}}
DATA = document.build(
    CONTENT, "c" * 64, hosts=["lin1", "win1"], modes=["undo", "apply"], by="anna@example.com", issued=ISSUED, valid=timedelta(days=30)
)


def test_it_comes_back_as_it_was_built() -> None:
    found = document.parse(DATA)
    assert found == document.Approval(
        "anna@example.com",
        {"lin1": "b" * 64, "win1": "a" * 64},
        ("apply", "undo"),
        "c" * 64,
        __version__,
        ISSUED,
        ISSUED + timedelta(days=30),
        hashlib.sha256(DATA).hexdigest(),
    )
    validate("approval", json.loads(DATA))
    assert DATA.isascii() and document.ID.fullmatch(document.file_name(DATA, ISSUED).removesuffix(".json"))


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_that_approve_accepts_can_be_in_a_document(mode: str) -> None:
    data = document.build(CONTENT, "c" * 64, hosts=["win1"], modes=[mode], by="anna@example.com", issued=ISSUED, valid=timedelta(days=1))
    assert document.parse(data).modes == (mode,)
    validate("approval", json.loads(data))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"v": 2}, "a newer release of nbserver wrote the approval: it has format version 2"),
        ({"v": 0}, "v: "),
        ({"v": True}, "v: "),
        ({"more": 1}, "unknown key"),
        ({"by": None}, "by: "),
        ({"by": "anna *"}, "by: "),
        ({"by": "-n"}, "by: must be a name"),
        ({"by": "a,b"}, "by: "),
        ({"by": "anna\n"}, "by: "),
        ({"hosts": {}}, "hosts: "),
        ({"hosts": []}, "hosts: "),
        ({"hosts": {"win1": "A" * 64}}, "hosts"),
        ({"hosts": {"../x": "a" * 64}}, r"hosts\..*: must be a valid host name"),
        ({"hosts": {f"h{number}": "a" * 64 for number in range(document.HOSTS + 1)}}, "more than 10000 hosts"),
        ({"modes": []}, "modes: "),
        ({"modes": "apply"}, "modes: "),
        ({"modes": ["apply", "apply"]}, "modes: a mode is listed twice"),
        ({"modes": ["Apply"]}, "modes"),
        ({"manifest_sha256": "c" * 63}, "manifest_sha256: "),
        ({"issued": "2026-11-29T00:10:00+01:00"}, "issued: must be a UTC time such as"),
        ({"issued": "2026-13-29T00:10:00Z"}, "issued: must be a UTC time such as"),
        ({"issued": 5}, "issued: "),
        ({"expires": "2026-11-29T00:10:00Z"}, "expires must be later than issued"),
        ({"release": "x"}, "release: "),
    ],
)
def test_another_value_is_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        document.parse(json.dumps(json.loads(DATA) | change).encode())
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"null", b"\xff", DATA[:-4], DATA.replace(b'"v": 1', b'"v": 1, "v": 1'), b"[" * 100_000]
)
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        document.parse(data)


keys = st.sampled_from(sorted(json.loads(DATA)))
values = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=3), max_size=2)


@given(st.dictionaries(keys, values | st.dictionaries(st.text(max_size=3), values, max_size=2), min_size=1, max_size=2))
@examples(100)
def test_no_value_confuses_the_parser(change: dict[str, Any]) -> None:
    try:
        found = document.parse(json.dumps(json.loads(DATA) | change).encode())
    except ValueError as error:
        assert str(error).isprintable()
    else:
        assert document.is_name(found.by) and found.hosts and found.modes
