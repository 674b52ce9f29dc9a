"""The error of a script that its shell could not run, so that it reported nothing itself."""

from __future__ import annotations

from nbserver.base.errors import ScriptError
from nbserver.base.message import Described


def by_bash(name: str, reason: str | Described) -> ScriptError:
    """Return the error for the host `name`. `reason` is what bash said, and its exit code."""
    return ScriptError(
        "bash-failed",
        "bash could not run the script: {reason}",
        host=name,
        todo="Run the command again. If it fails again, check the host's log in the run directory",
        reason=reason,
    )


def by_powershell(name: str, reason: str | Described) -> ScriptError:
    """Return the error for the host `name`. `reason` is what PowerShell said, and its exit code if there is one."""
    return ScriptError(
        "powershell-failed",
        "PowerShell could not run the script: {reason}",
        host=name,
        todo="Run the command again. If it fails again, check the host's log in the run directory",
        reason=reason,
    )
