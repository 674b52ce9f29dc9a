"""Standard output whose reader has gone: what is discarded, and what is not."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from nbserver.base import standard_streams


@pytest.mark.parametrize("is_run", [False, True])
def test_what_a_reader_needs_no_more_is_discarded_without_a_run(is_run: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `nbserver audit rendered | head`. The summary of a run is not lost."""
    reading, writing = os.pipe()
    os.close(reading)
    errors = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with os.fdopen(writing, "w", encoding="utf-8") as output:
        monkeypatch.setattr(sys, "stdout", output)
        monkeypatch.setattr(sys, "stderr", errors)
        with standard_streams.undemanding():
            if is_run:
                standard_streams.results_are_in(tmp_path)
            assert standard_streams.say("a line") is is_run
            assert (standard_streams.not_written() is None) is not is_run
            standard_streams.require_written()
    assert errors.buffer.getvalue().decode() == ("a line\n" if is_run else "")  # type: ignore[attr-defined]
