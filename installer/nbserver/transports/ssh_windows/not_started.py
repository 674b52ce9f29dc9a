"""Say why PowerShell did not run the bootstrap on a Windows host."""

from __future__ import annotations

from nbserver.base.errors import ConnectError, HostError, ScriptError
from nbserver.base.message import message
from nbserver.transports import last_words
from nbserver.transports.ssh_windows.shell import is_unix


def other_shell(host: str, output: bytes, errors: bytes, code: int | None) -> HostError:
    """Return the error for a default shell that is neither cmd nor PowerShell. Without a `code`, the host closed the session."""
    if is_unix(output):
        return ScriptError(
            "windows-unix-shell",
            "the host's default shell for SSH is neither cmd nor PowerShell, but a shell such as bash",
            host=host,
            todo='Remove DefaultShell from HKEY_LOCAL_MACHINE\\SOFTWARE\\OpenSSH on the host, or set it to the full path of powershell.exe. If the host runs Linux, set system = "linux" in the inventory',
        )
    if code is None:
        return session_closed(host)
    return ScriptError(
        "windows-other-shell",
        "the host's SSH server did not run nbserver's command in cmd or PowerShell: {reason}",
        host=host,
        todo="Check DefaultShell in HKEY_LOCAL_MACHINE\\SOFTWARE\\OpenSSH on the host, command= for the key in authorized_keys, and ForceCommand in sshd_config",
        reason=last_words.of_exit_code(last_words.of_console(errors.strip() or output), code),
    )


def shell_silent(host: str, seconds: float) -> ScriptError:
    """Return the error for a default shell that does not end."""
    return ScriptError(
        "windows-shell-silent",
        "the host's default shell did not answer within {seconds} s",
        host=host,
        todo="Log in to the host with ssh, and check that its shell starts without prompting",
        seconds=f"{seconds:g}",
    )


def session_closed(host: str) -> ConnectError:
    """Return the error for a session that ended without an exit code."""
    return ConnectError(
        "windows-session-closed",
        "the host closed the session before the script started",
        host=host,
        todo="Check the event log OpenSSH/Operational on the host",
    )


def powershell_not_started(host: str, errors: bytes, code: int) -> ScriptError:
    """Return the error for a default shell that could not start Windows PowerShell."""
    return ScriptError(
        "windows-powershell-not-started",
        "the host could not start Windows PowerShell: {reason}",
        host=host,
        todo="Log in to the host with ssh, and check whether powershell starts. If a policy blocks it, ask for an exemption",
        reason=last_words.of_exit_code(last_words.of_console(errors), code),
    )


def powershell_silent(host: str, errors: bytes, seconds: float) -> ScriptError:
    """Return the error for a Windows PowerShell that does not begin."""
    return ScriptError(
        "windows-powershell-silent",
        "Windows PowerShell did not start on the host within {seconds} s ({reason})",
        host=host,
        todo="Check the host's load and whether a virus scanner is delaying PowerShell, or increase connect_timeout in the inventory",
        seconds=f"{seconds:g}",
        reason=last_words.end_of(last_words.of_console(errors)) or message("no-output", "no output"),
    )


def restricted(host: str, mode: str) -> ScriptError:
    """Return the error for a host that restricts PowerShell."""
    return ScriptError(
        "windows-powershell-restricted",
        "PowerShell runs in {mode} mode on the host, but nbserver requires FullLanguage",
        host=host,
        todo="Ask for an exception in the application control policy of this host (WDAC or AppLocker)",
        mode=mode,
    )
