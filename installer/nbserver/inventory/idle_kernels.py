"""When kernels that nobody uses are stopped: notebook.cull_idle."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from nbserver.settings.refusal import refuse

OFF = "off"
LEAST, MOST = 600, 31 * 86_400  # seconds
_UNITS = {"m": 60, "h": 3600, "d": 86_400}


def seconds(text: str) -> int:
    """Return the seconds of a time such as `8h`, or 0 for `off` and for what is not a time."""
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text)
    return int(found[1]) * _UNITS[found[2]] if found else 0


def idle_time(text: str) -> str:
    """Return the time as it is written, if it is a valid one."""
    if text != OFF and not seconds(text):
        raise refuse("idle-time-form", 'must be "off" or a time in minutes, hours, or days, such as "30m", "8h", or "2d"')
    if text != OFF and not LEAST <= seconds(text) <= MOST:
        raise refuse("idle-time-range", 'must be from "10m" to "31d"')
    return text


IdleTime = Annotated[str, AfterValidator(idle_time)]
TITLE = "After which time a kernel that runs nothing is stopped, even if its notebook is open in a browser"
DESCRIPTION = 'a time from "10m" to "31d", such as "8h", or "off" (the default)'
