"""The tests that look for secrets find them in whatever they may stand."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests import canary

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
secrets = st.text(st.characters(exclude_categories=["Cs"]), min_size=8, max_size=20)


@given(texts, secrets, texts)
def test_a_secret_is_found_wherever_it_is_in_a_text(before: str, secret: str, after: str) -> None:
    text = before + secret + after
    for code in ("utf-8", "utf-16-le"):
        for data in (text.encode(code), base64.b64encode(text.encode(code))):
            assert any(form in data for form in canary.forms(secret)), code
    for ascii_only in (True, False):
        assert any(form in json.dumps([text], ensure_ascii=ascii_only).encode() for form in canary.forms(secret))


def test_a_secret_is_found_in_a_file_and_another_text_is_not(tmp_path: Path) -> None:
    secret = "Canary \u00e9'\"$"
    kinds = {
        "text": secret.encode(),
        "json": json.dumps({"a": secret}).encode(),
        "utf-16": f"<{secret}>".encode("utf-16-le"),
        "base64": b"secret a " + base64.b64encode(f"{secret} and more".encode()),
        "other": secret[:-1].encode(),
    }
    for name, data in kinds.items():
        (tmp_path / name).write_bytes(data)
    found = canary.files_with({"it": secret, "no": "Canary-other"}, [tmp_path])
    assert sorted(path.name for path in found["it"]) == sorted(set(kinds) - {"other"}) and found["no"] == []
