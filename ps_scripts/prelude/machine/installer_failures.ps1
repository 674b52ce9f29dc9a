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
        1602 { New-Failure installer-cancelled '{installer} was cancelled (exit code {exit_code})' $values }
        1603 {
            New-Failure installer-failed ('{installer} failed (exit code {exit_code}). If it wrote a log, it is in ' +
                '{folder}') $logs
        }
        1618 {
            New-Failure installer-busy ('{installer} could not start (exit code {exit_code}), because another ' +
                'installer runs on this host. Wait until that has finished, then run this again') $values
        }
        1625 {
            New-Failure installer-forbidden ('a policy of this host forbids {installer} (exit code {exit_code}). Ask ' +
                'for an exception') $values
        }
        1638 {
            New-Failure installer-other-version ('another version than that of {installer} is installed (exit code ' +
                '{exit_code}). Remove it, or choose that version in the inventory') $values
        }
    }
}

# Return the failure that an exit code of Inno Setup stands for.
function Get-InnoFailure([string]$Name, [int]$ExitCode) {
    $values = @{ installer = $Name; exit_code = $ExitCode }
    $logs = @{ installer = $Name; exit_code = $ExitCode; folder = Get-InstallerLogFolder }
    switch ($ExitCode) {
        1 { New-Failure installer-not-started '{installer} could not start (exit code {exit_code})' $values }
        2 {
            New-Failure installer-cancelled-early ('{installer} was cancelled before it changed anything (exit code ' +
                '{exit_code})') $values
        }
        3 {
            New-Failure installer-failed-early ('{installer} failed before it changed anything (exit code ' +
                '{exit_code}). Windows may lack memory or other resources') $values
        }
        4 {
            New-Failure installer-failed ('{installer} failed (exit code {exit_code}). If it wrote a log, it is in ' +
                '{folder}') $logs
        }
        5 {
            New-Failure installer-stopped ('{installer} was cancelled, or could not write a file (exit code ' +
                '{exit_code}). If it wrote a log, it is in {folder}') $logs
        }
        6 { New-Failure installer-killed '{installer} was stopped by a debugger (exit code {exit_code})' $values }
        7 {
            New-Failure installer-cannot-continue ('{installer} cannot continue on this host (exit code ' +
                '{exit_code}). If it wrote a log, it is in {folder}') $logs
        }
        8 {
            New-Failure installer-needs-restart ('{installer} cannot continue before Windows has restarted (exit ' +
                'code {exit_code}). Restart Windows, then run this again') $values
        }
    }
}
