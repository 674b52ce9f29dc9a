"""Signals as what the tests start must find them, however the tests themselves were started."""

from __future__ import annotations

import signal
from types import FrameType


def heed() -> None:
    """No program that is started from here on ignores Ctrl-C, Ctrl-\\ or a hangup.

    nohup, and "&" in a script, have them ignored, and bash cannot trap what was ignored when it began. A handler that does
    nothing keeps the tests themselves alive as before, and is not inherited by another program as an ignored signal is.
    """
    for name in ("SIGINT", "SIGQUIT", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has the first one only
        if number is not None and signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if name == "SIGINT" else _stay)


def _stay(number: int, frame: FrameType | None) -> None:
    pass
