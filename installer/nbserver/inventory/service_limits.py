"""What the service of a Linux host may use of the machine: [service] of a host, and the values that a unit of systemd gets."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, PlainValidator
from pydantic.json_schema import WithJsonSchema

from nbserver.settings.refusal import refuse
from nbserver.settings.types import Settings

UNLIMITED = "infinity"  # systemd's word
LEAST_MEMORY = 256 << 20  # bytes
MOST_TASKS = 4194304  # PID_MAX_LIMIT of Linux on 64 bits
MOST_CPUS = 8192  # CONFIG_NR_CPUS of Linux on x86-64
_UNITS = {"M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def memory_limit(text: str) -> str:
    """Return `infinity`, a share of the memory such as `90%`, or a size such as `8G` (units of 1,024)."""
    if text == UNLIMITED or _is_share(text, 10):
        return text
    size = re.fullmatch(r"([1-9][0-9]{0,5})([MGT])", text)
    if not size:
        raise refuse("memory-limit-form", 'must be a percentage from "10%" to "100%", a size such as "8G", or "infinity"')
    if int(size[1]) * _UNITS[size[2]] < LEAST_MEMORY:
        raise refuse("memory-limit-too-low", 'must be at least "256M", or the server cannot start a kernel')
    return text


def task_limit(value: object) -> int | str:
    """Return `infinity`, a share of what the kernel allows such as `15%`, or a number of processes and threads."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 64 <= value <= MOST_TASKS:
            raise refuse("task-limit-range", "must be a whole number from 64 to {most}", most=MOST_TASKS)
        return value
    if isinstance(value, str) and (value == UNLIMITED or _is_share(value, 1)):
        return value
    raise refuse("task-limit-form", 'must be a whole number, a percentage from "1%" to "100%", or "infinity"')


def processor_quota(text: str) -> str:
    """Return `infinity`, or a percentage of one CPU: `50%` is half a CPU, `400%` are four."""
    share = re.fullmatch(r"([1-9][0-9]{1,6})%", text)
    if text != UNLIMITED and (not share or not 10 <= int(share[1]) <= 100 * MOST_CPUS):
        raise refuse(
            "cpu-quota-form", 'must be a whole percentage of one CPU from "10%" to "819200%", such as "200%" for two CPUs, or "infinity"'
        )
    return text


def _is_share(text: str, least: int) -> bool:
    share = re.fullmatch(r"([1-9][0-9]{0,2})%", text)
    return share is not None and least <= int(share[1]) <= 100


TaskLimit = Annotated[
    int | str,
    PlainValidator(task_limit),  # one reason for a wrong value, instead of one for each type
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 64, "maximum": MOST_TASKS}, {"type": "string"}]}),
]


class ServiceSettings(Settings):
    memory_max: Annotated[str, AfterValidator(memory_limit)] = Field(
        default="90%",
        title="How much memory the server and all its kernels may use together",
        description='a percentage of the memory of the host, a size such as "8G" (at least "256M"), or "infinity"',
    )
    tasks_max: TaskLimit = Field(
        default="15%",
        title="How many processes and threads the server and all its kernels may have together",
        description='a whole number from 64 to 4194304, a percentage of what the kernel of the host allows, or "infinity"',
    )
    cpu_quota: Annotated[str, AfterValidator(processor_quota)] = Field(
        default=UNLIMITED,
        title="How much processor time the server and all its kernels may use together",
        description='a percentage of one CPU, such as "200%" for two CPUs, or "infinity"',
    )
