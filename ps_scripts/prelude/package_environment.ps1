# ---- prelude: package_environment ------------------------------------------------------------------
# Choose the environment variables of pip and uv.

# Return variables for Invoke-Program, which removes those with the value $null. Python ignores PYTHONUTF8 with -I, so
# it also gets -X utf8: what it prints must not depend on the code page of the host.
function Get-PackageEnvironment {
    $environment = @{}
    Set-PackageConfiguration $environment
    foreach ($name in 'PYTHONUTF8', 'PIP_NO_INPUT', 'PIP_DISABLE_PIP_VERSION_CHECK', 'UV_NO_PROGRESS') {
        $environment[$name] = '1'
    }
    if ($Settings.downloads.proxy) { Set-ProxyVariable $environment $Settings.downloads.proxy }
    $environment
}

function Set-ProxyVariable([hashtable]$Environment, [string]$Proxy) {
    $Environment.HTTP_PROXY = $Proxy
    $Environment.HTTPS_PROXY = $Proxy
}
