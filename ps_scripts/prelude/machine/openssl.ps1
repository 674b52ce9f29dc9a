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
    Assert-OpenSslClosed $openssl
    $folder = Split-Path -Parent $openssl
    $relative = @($Arguments | ForEach-Object { $_.Replace("$StateFolder\", '') })
    $closed = $Environment + @{ OPENSSL_CONF = 'NUL'; OPENSSL_MODULES = $folder; OPENSSL_ENGINES = $folder }
    Invoke-Program $openssl $relative $closed -Accept $Accept -Quiet:$Quiet -Code $Code -Text $Text
}

# An OpenSSL outside of nbserver's folders may be where others can write, such as below C:\. It runs with administrator
# rights, and creates the private key.
function Assert-OpenSslClosed([string]$Path) {
    if ((Test-Below $Path $Programs) -or -not (Test-Path -LiteralPath $Path)) { return }
    $fault = Get-ProgramFault (Split-Path -Parent $Path)
    if (-not $fault) { return }
    throw (New-Failure openssl-unsafe ('{path} would run with administrator rights, but other accounts can change ' +
            'it: {cause}. Allow only SYSTEM and administrators to write to its folder, then try again') @{
            path = $Path
        } -Cause $fault)
}
