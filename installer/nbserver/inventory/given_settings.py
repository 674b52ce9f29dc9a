"""Settings of this machine that are options of a command, such as --port."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from nbserver.base.errors import UsageError
from nbserver.inventory import own_server
from nbserver.inventory.hosts import Inventory, local_model
from nbserver.inventory.names import LOCAL
from nbserver.settings.faults import faults


def with_given(found: Inventory, given: Mapping[str, Any]) -> Inventory:
    """Return the inventory with these settings of [hosts.local.notebook]. Raises UsageError if it has others."""
    if found.own:
        for key, value in given.items():
            if getattr(found.own.notebook, key) != value:
                raise UsageError(
                    "option-of-inventory",
                    "{option} cannot be combined with an inventory that has [hosts.local]",
                    where=str(found.path),
                    todo="Set notebook.{key} in [hosts.local], and run the command without {option}",
                    option=f"--{key}",
                    key=key,
                )
        return found
    model = local_model(sys.platform)
    own = own_server.settings(model().scope)
    if faults({"notebook": own}, model, {}, missing=True):
        own = {}  # nbserver did not write this configuration
    notebook = {**own, **given}
    if not notebook:
        return found
    wrong = faults({"notebook": given}, model, {}, missing=True)
    try:
        return replace(found, own=model.model_validate({"notebook": notebook}))
    except ValidationError as error:
        reason = wrong[0][1] if wrong else error.errors()[0]["ctx"]["reason"]
        raise UsageError(
            "option-invalid",
            "--port or --directory is not valid: {reason}",
            where=LOCAL,
            todo="Choose another value for --port or --directory",
            reason=reason,
        ) from None
