# ---- step: vc_redist -----------------------------------------------------------------------------------
# The Visual C++ runtime, where the catalog says that OpenSSL's installer needs one. A newer one than the
# catalog's is as good: looked up in the registry first, because an older installer refuses in silence.
# Source: "Redistributing Visual C++ files" on learn.microsoft.com.

# The version that is installed, or nothing. A key that says nothing of it, or Installed = 0, is of one that is gone.
function Get-VcRuntimeVersion {
    $key = "HKLM:\SOFTWARE\Wow6432Node\Microsoft\VisualStudio\14.0\VC\Runtimes\$($Settings.architecture)"
    $installed = Get-RegistryValue $key 'Installed'
    if (-not $installed -or [string]$installed.value -ne '1') { return }
    $parts = @('Major', 'Minor', 'Bld' | ForEach-Object { Get-RegistryValue $key $_ } | ForEach-Object { [string]$_.value })
    if ($parts.Count -eq 3) { [version]($parts -join '.') }
}

Add-Step vc_redist 'the Visual C++ runtime that OpenSSL needs is there' -Test {
    if (-not $Settings.vc_redist) { return }
    $is = Get-VcRuntimeVersion
    $should = [version]($Settings.vc_redist.version -replace '^(\d+\.\d+\.\d+).*$', '$1')
    if (-not $is -or $is -lt $should) { Difference 'Visual C++ runtime' ([string]$is) ([string]$should) }
    elseif (Test-CutOff (Get-CachedFile $Settings.vc_redist)) { Difference 'Visual C++ runtime' 'an installation that was cut off' ([string]$should) }
} -Apply {
    Save-Download $Settings.vc_redist
    Install-Bundle (Get-CachedFile $Settings.vc_redist) @('/install', '/quiet', '/norestart', '/log', (Get-InstallerLog 'vc_redist')) ([string](Get-VcRuntimeVersion))
}
