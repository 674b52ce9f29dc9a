# ---- step: vc_redist -------------------------------------------------------------------------------
# Install the Visual C++ runtime, if the catalog says that OpenSSL needs it.

# A newer runtime is sufficient. The registry is asked first, because an older installer does nothing without saying so.
# Source: "Redistributing Visual C++ files" on learn.microsoft.com.

# Return the installed version, or nothing. A key with Installed = 0, or without it, is from a runtime that was removed.
function Get-VcRuntimeVersion {
    $key = "HKLM:\SOFTWARE\Wow6432Node\Microsoft\VisualStudio\14.0\VC\Runtimes\$($Settings.architecture)"
    $installed = Get-RegistryValue $key 'Installed'
    if (-not $installed -or [string]$installed.value -ne '1') { return }
    $values = @('Major', 'Minor', 'Bld' | ForEach-Object { Get-RegistryValue $key $_ })
    if ($values.Count -eq 3) { [version](@($values | ForEach-Object { [string]$_.value }) -join '.') }
}

Add-Step vc_redist 'The Visual C++ runtime that OpenSSL needs is installed' -Test {
    if (-not $Settings.vc_redist) { return }
    $is = Get-VcRuntimeVersion
    $should = [version]($Settings.vc_redist.version -replace '^(\d+\.\d+\.\d+).*$', '$1')
    if (-not $is -or $is -lt $should) {
        Add-Difference vc-runtime 'Visual C++ runtime' ([string]$is) ([string]$should)
    }
    elseif (Test-CutOff (Get-CachedFile $Settings.vc_redist)) {
        Add-Difference vc-runtime 'Visual C++ runtime' 'partly installed' ([string]$should)
    }
} -Apply {
    Save-Download $Settings.vc_redist
    $file = Get-CachedFile $Settings.vc_redist
    $arguments = '/install', '/quiet', '/norestart', '/log', (Get-InstallerLog 'vc_redist')
    Write-StepProgress installing-vc-runtime 'Installing the Visual C++ runtime'
    Install-Bundle $file $arguments ([string](Get-VcRuntimeVersion))
}
