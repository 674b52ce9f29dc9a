"""A way through jump hosts that was closed while another thread still wants to use it, as after Ctrl-C."""

from __future__ import annotations

import asyncio
import gc
import warnings
from types import SimpleNamespace
from typing import Any

import pytest

from nbserver.transports.ssh.forward import Forward


def test_a_way_that_was_closed_says_so_and_leaves_no_warning_on_the_terminal() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    way: Any = Forward.__new__(Forward)
    way._way = SimpleNamespace(loop=loop)
    gc.collect()  # what other tests have left
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(ConnectionAbortedError, match="was closed"):
            way.dial(1.0)
        assert way.reason() is None
        gc.collect()
    assert [str(one.message) for one in warned] == []
