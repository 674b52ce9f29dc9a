"""Time limits from the command line, which count instead of those in the inventory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nbserver.inventory.hosts import AnyHost
    from nbserver.run.options import Options

KEYS = ("connect_timeout", "connect_retries", "step_timeout", "timeout")


def with_limits(host: AnyHost, options: Options) -> AnyHost:
    """Return the host with the limits that `options` has. A limit that this kind of host does not have is ignored."""
    given = {key: value for key in KEYS if (value := getattr(options, key)) is not None and key in type(host).model_fields}
    return host.model_copy(update=given) if given else host
