"""What the oldest libraries that nbserver supports do not have, unit tests cannot use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from click.testing import Result


@pytest.fixture(scope="session", autouse=True)
def click_81() -> Iterator[None]:
    """A result has no standard error: before click 8.2, a runner does not keep it apart from the output."""

    def refused(result: Result) -> str:
        raise ValueError("click 8.1 does not keep standard error apart: read .output")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Result, "stderr", property(refused))
        yield
