"""The error of a script that its shell could not run, or that was killed, so that it reported nothing itself."""

from __future__ import annotations

import re

from nbserver.base.errors import ScriptError
from nbserver.base.message import Described
from nbserver.transports import last_words

# The signals that end a program, by the numbers that they have on Linux. The workstation may be Windows, which lacks most of them.
_SIGNALS = {1: "HUP", 2: "INT", 3: "QUIT", 4: "ILL", 6: "ABRT", 7: "BUS", 8: "FPE", 9: "KILL", 11: "SEGV", 13: "PIPE", 15: "TERM"}
# What the bash of the bootstrap says about a script that a signal ended: the number of the process and the command.
_NOTICE = re.compile(r"nbserver: line \d+: +\d+ [^<]*setsid bash [^<]*< <\(.*?2> errors")
_BY_SIGNAL = 128  # added to the number of a signal, this is the exit code of a shell whose program the signal ended


def by_bash(name: str, words: str, code: int | None, signal: str = "") -> ScriptError:
    """Return the error for the host `name`.

    `words` is the error output of bash, and `code` its exit code: negative if a signal ended the bash on this machine. `signal` is
    the name of the signal that ended bash on another machine, without SIG.
    """
    signal = signal or _signal(code or 0)
    if signal == "KILL":  # a program cannot say anything about it
        return ScriptError(
            "script-killed",
            "the script was killed with signal 9 (SIGKILL)",
            host=name,
            todo="Run the command again, which is safe. If this happens again, check with journalctl -k on the host whether it ran out of "
            "memory: the kernel then kills programs",
        )
    if signal and not _NOTICE.sub("", words).strip():
        return ScriptError(
            "script-ended-by-signal",
            "the script was ended by SIG{signal}",
            host=name,
            todo="Run the command again, which is safe. If this happens again, check the host's journal for the reason",
            signal=signal,
        )
    return ScriptError(
        "bash-failed",
        "bash could not run the script: {reason}",
        host=name,
        todo="Run the command again. If it fails again, check the host's log in the run directory",
        reason=last_words.of_exit_code(words, code),
    )


def _signal(code: int) -> str:
    """Return the name of the signal that an exit code stands for, or empty."""
    return _SIGNALS.get(-code if code < 0 else code - _BY_SIGNAL, "")


def by_powershell(name: str, words: str, code: int | None) -> ScriptError:
    """Return the error for the host `name`. `words` is the error output of PowerShell, and `code` its exit code.

    PowerShell says why it cannot run a script. Without such words, something ended the process: taskkill /F with code 1, and
    Stop-Process with code -1.
    """
    if not words:
        return ScriptError(
            "powershell-ended",
            "PowerShell exited with code {code} before the end of the script, without an error message",
            host=name,
            todo="Run the command again, which is safe. If this happens again, check in the host's event log whether a person, a policy, "
            "or a security product ended PowerShell",
            code=code,
        )
    return powershell_failed(name, last_words.end_of(words))


def powershell_failed(name: str, reason: str | Described) -> ScriptError:
    """Return the error for the host `name`, on which PowerShell could not run the script. `reason` is what PowerShell said."""
    return ScriptError(
        "powershell-failed",
        "PowerShell could not run the script: {reason}",
        host=name,
        todo="Run the command again. If it fails again, check the host's log in the run directory",
        reason=reason,
    )
