# ---- prelude: installers ---------------------------------------------------------------------------
# Run installers and uninstallers, one at a time.

$InstallerPatience = 300                                 # for how many seconds to wait for another installer

function Get-InstallerLogFolder { Join-Path $StateFolder "runs\$($Run.Id)" }
function Get-InstallerLog([string]$Name) { Join-Path (Get-InstallerLogFolder) "$Name.log" }

# While an installer runs, a mark is next to its file. An installer that was cut off leaves the mark, and perhaps a part
# of its files: then the step runs it again.
function Test-CutOff([string]$File) { Test-Path -LiteralPath "$File.running" }

# $Program runs the file; by default, the file itself is the program. `catch`, not `finally`: when the run is stopped,
# the mark must stay, because the installer may be half done.
function Invoke-Installer {
    param([string]$File, [string[]]$Arguments, [string]$Program = $File, [switch]$Inno)
    Write-TextFile "$File.running" ''
    try { Invoke-Setup $Program $Arguments (Split-Path -Leaf $File) -Inno:$Inno }
    catch {
        Remove-SingleFile "$File.running"
        throw
    }
    Remove-SingleFile "$File.running"
}

# Run an installer or an uninstaller until it exits. $Name is what messages call it, and $Accept has further exit codes
# that are not failures. Exit code 1618 means that another installer runs: try again every five seconds. Exit codes 3010
# and 1641 mean that Windows must restart.
function Invoke-Setup {
    param([string]$Program, [string[]]$Arguments, [string]$Name, [int[]]$Accept = @(), [switch]$Inno)
    $explained = if ($Inno) { $InnoExitCodes } else { $InstallerExitCodes }
    for ($waited = 0; ; $waited += 5) {
        Invoke-Program $Program $Arguments -Accept (@(0, 1618, 1641, 3010) + $Accept + $explained)
        if ($Run.ExitCode -ne 1618 -or $waited -ge $InstallerPatience) { break }
        Write-StepProgress waiting-for-installer 'Waiting for another installer to finish' `
            -Done $waited -Total $InstallerPatience -Unit seconds
        [Threading.Thread]::Sleep(5000)
    }
    if ($Run.ExitCode -eq 3010 -or $Run.ExitCode -eq 1641) { $Run.Reboot = $true; return }
    if ($Run.ExitCode -eq 0 -or $Accept -contains $Run.ExitCode) { return }
    $failure = Get-InstallerFailure $Name $Run.ExitCode
    if ($Inno -and $Run.ExitCode -ne 1618) { $failure = Get-InnoFailure $Name $Run.ExitCode }
    throw $failure
}
