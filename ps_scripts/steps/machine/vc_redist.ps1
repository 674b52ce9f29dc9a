# ---- step: vc_redist -------------------------------------------------------------------------------
# Install the Visual C++ runtime, if the catalog says that OpenSSL needs it.

# A newer runtime is sufficient. The installed version is read first, because an older installer does nothing, and does
# not report that. Source: "Redistributing Visual C++ files" on learn.microsoft.com.

$VcRuntimeFile = Join-Path ([Environment]::SystemDirectory) 'vcruntime140.dll'

# Return the installed version, or nothing. Installers register it in one view of the registry or the other, or not at
# all, so the highest one counts: of both views, and of the DLL.
function Get-VcRuntimeVersion {
    $found = @(foreach ($view in 'HKLM:\SOFTWARE', 'HKLM:\SOFTWARE\Wow6432Node') {
            Get-RegisteredRuntime "$view\Microsoft\VisualStudio\14.0\VC\Runtimes\$($Settings.architecture)"
        })
    if (Test-Path -LiteralPath $VcRuntimeFile) { $found += [version](Get-FileVersion $VcRuntimeFile) }
    $found | Where-Object { $_.Major } | Sort-Object -Descending | Select-Object -First 1
}

# A key with Installed = 0, or without it, is from a runtime that was removed.
function Get-RegisteredRuntime([string]$Key) {
    $installed = Get-RegistryValue $Key 'Installed'
    if (-not $installed -or [string]$installed.value -ne '1') { return }
    $values = @('Major', 'Minor', 'Bld' | ForEach-Object { Get-RegistryValue $Key $_ })
    if ($values.Count -eq 3) { [version](@($values | ForEach-Object { [string]$_.value }) -join '.') }
}

# Return whether openssl.exe runs: then the runtime is sufficient, whatever its version. Without the DLL, Windows would
# show a message box on the host.
function Test-OpenSslStart {
    if (-not (Test-Path -LiteralPath $VcRuntimeFile) -or -not (Test-Path -LiteralPath (Get-OpenSsl))) { return $false }
    try { Invoke-OpenSsl @('version') -Quiet } catch { return $false }
    $true
}

# The runtime of this host when its installer has succeeded in this run. If it is still unknown, openssl.exe, which is
# installed later, shows whether it is sufficient.
$VcRuntime = @{ Installed = $false }

function Test-VcRuntime([version]$Should) {
    $is = Get-VcRuntimeVersion
    ($is -and $is -ge $Should) -or $VcRuntime.Installed -or (Test-OpenSslStart)
}

Add-Step vc_redist 'The Visual C++ runtime that OpenSSL requires is installed' -Test {
    if (-not $Settings.vc_redist) { return }
    $should = [version]($Settings.vc_redist.version -replace '^(\d+\.\d+\.\d+).*$', '$1')
    if (-not (Test-VcRuntime $should)) {
        Add-Difference vc-runtime 'Visual C++ runtime' ([string](Get-VcRuntimeVersion)) ([string]$should)
    }
    elseif (Test-CutOff (Get-CachedFile $Settings.vc_redist)) {
        Add-Difference vc-runtime 'Visual C++ runtime' 'partly installed' ([string]$should)
    }
} -Apply {
    Save-Program vc_redist
    $file = Get-CachedFile $Settings.vc_redist
    $arguments = '/install', '/quiet', '/norestart', '/log', (Get-InstallerLog 'vc_redist')
    Write-StepProgress installing-vc-runtime 'Installing the Visual C++ runtime'
    Install-Bundle $file $arguments ([string](Get-VcRuntimeVersion))
    $VcRuntime.Installed = $true
}
