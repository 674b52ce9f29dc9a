# ---- prelude: installer_failures -------------------------------------------------------------------
# Explain the exit codes of installers.

# Windows Installer; bundles (Python, Visual C++) have the same exit codes.
# Source: "Windows Installer error messages" on learn.microsoft.com.
$InstallerExitCodes = 1602, 1603, 1618, 1625, 1638
# Inno Setup. Source: "Setup Exit Codes" on jrsoftware.org.
$InnoExitCodes = 1, 2, 3, 4, 5, 6, 7, 8

# Return the failure that an exit code of Windows Installer stands for.
function Get-InstallerFailure([string]$Name, [int]$ExitCode) {
    $values = @{ installer = $Name; exit_code = $ExitCode }
    $logs = @{ installer = $Name; exit_code = $ExitCode; folder = Get-InstallerLogFolder }
    switch ($ExitCode) {
        1602 { New-Failure installer-cancelled ('{installer} was canceled (exit code {exit_code}). Try again, and ' +
            'let the installer finish') $values }
        1603 {
            New-Failure installer-failed ('{installer} failed (exit code {exit_code}). If there is a log in ' +
                '{folder}, fix the error that it shows, then try again') $logs
        }
        1618 {
            New-Failure installer-busy ('{installer} could not start (exit code {exit_code}), because another ' +
                'installer is running on this host. Wait for it to finish, then try again') $values
        }
        1625 {
            New-Failure installer-forbidden ('a policy on this host forbids {installer} (exit code {exit_code}). Ask ' +
                'the administrator who manages this policy for an exception, then try again') $values
        }
        1638 {
            New-Failure installer-other-version ('{installer} cannot replace the version that is already installed ' +
                '(exit code {exit_code}). Uninstall that version, or set it in the inventory, then try again') $values
        }
    }
}

# Return the failure that an exit code of Inno Setup stands for.
function Get-InnoFailure([string]$Name, [int]$ExitCode) {
    $values = @{ installer = $Name; exit_code = $ExitCode }
    $logs = @{ installer = $Name; exit_code = $ExitCode; folder = Get-InstallerLogFolder }
    switch ($ExitCode) {
        1 { New-Failure installer-not-started ('{installer} could not start (exit code {exit_code}). Restart ' +
                'Windows, then try again') $values }
        2 {
            New-Failure installer-cancelled-early ('{installer} was canceled before it changed anything (exit code ' +
                '{exit_code}). Try again, and let the installer finish') $values
        }
        3 {
            New-Failure installer-failed-early ('{installer} failed before it changed anything, possibly because ' +
                'the host is low on memory (exit code {exit_code}). Close other programs, then try again') $values
        }
        4 {
            New-Failure installer-failed ('{installer} failed (exit code {exit_code}). If there is a log in ' +
                '{folder}, fix the error that it shows, then try again') $logs
        }
        5 {
            New-Failure installer-stopped ('{installer} was canceled or could not write a file (exit code ' +
                '{exit_code}). If there is a log in {folder}, fix the error that it shows, then try again') $logs
        }
        6 { New-Failure installer-killed ('{installer} was stopped by a debugger (exit code {exit_code}). Close the ' +
                'debugger, then try again') $values }
        7 {
            New-Failure installer-cannot-continue ('{installer} cannot continue on this host (exit code ' +
                '{exit_code}). If there is a log in {folder}, fix the error that it shows, then try again') $logs
        }
        8 {
            New-Failure installer-needs-restart ('{installer} cannot continue until Windows restarts (exit code ' +
                '{exit_code}). Restart Windows, then try again') $values
        }
    }
}
