# ---- prelude: openssl ------------------------------------------------------------------------------
# Run openssl.exe, without loading anything from folders that others could create.

# The build of openssl.exe fixes folders for its configuration, modules, and engines; they need not exist, and anybody
# may be able to create them. It opens files in the code page of the host, which may lack characters of a path: paths
# relative to the working directory have only ASCII characters.
function Invoke-OpenSsl {
    param(
        [string[]]$Arguments, [hashtable]$Environment = @{}, [int[]]$Accept = @(0), [switch]$Quiet,
        [string]$Code = 'openssl-failed',
        [string]$Text = 'openssl exited with code {exit_code}: {output}'
    )
    $openssl = Get-OpenSsl
    $folder = Split-Path -Parent $openssl
    $relative = @($Arguments | ForEach-Object { $_.Replace("$StateFolder\", '') })
    $closed = $Environment + @{ OPENSSL_CONF = 'NUL'; OPENSSL_MODULES = $folder; OPENSSL_ENGINES = $folder }
    Invoke-Program $openssl $relative $closed -Accept $Accept -Quiet:$Quiet -Code $Code -Text $Text
}
