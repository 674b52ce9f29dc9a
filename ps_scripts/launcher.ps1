# nbserver launcher: runs the script that it carries in gzip and Base64, once its SHA-256 is right, for another tool.
# Exit codes: 0 success, 1 something differs (mode test), 3 failed, or Windows must restart first (see the last event).
param([string]$Mode, [string]$Run, [string]$Encoded)   # the hash of the password in Base64, or none
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'; $ProgressPreference = $WarningPreference = 'SilentlyContinue'
$Utf8 = New-Object Text.UTF8Encoding $false
trap { [Console]::Error.WriteLine("nbserver launcher: $_"); exit 3 }
function Start-Packed {
    param([string]$Default, [string]$Sha256, [string]$HashFile, [string]$Log, [string]$Packed)
    $mode = if ($Mode) { $Mode } else { $Default }
    $HashFile, $Log = foreach ($path in $HashFile, $Log) { [Environment]::ExpandEnvironmentVariables($path) }
    $hash = ''
    if ($Encoded -and $Encoded -cne 'none') { $hash = $Utf8.GetString([Convert]::FromBase64String($Encoded)) }
    if (-not $hash -and $mode -ceq 'apply' -and [IO.File]::Exists($HashFile)) {
        $file = [IO.File]::OpenRead($HashFile)   # any user can create files in ProgramData
        $acl = if ($file.PSObject.Methods['GetAccessControl']) { $file.GetAccessControl() }
        else { [IO.FileSystemAclExtensions]::GetAccessControl($file) }
        $owner = $acl.GetOwner([Security.Principal.SecurityIdentifier]).Value
        $own = [Security.Principal.WindowsIdentity]::GetCurrent().User.Value
        if ('S-1-5-18', 'S-1-5-32-544', $own -notcontains $owner) { throw "$HashFile is owned by $owner" }
        $hash = [IO.File]::ReadAllText($HashFile, $Utf8)
        $file.Close()
    }
    $secret = [Convert]::ToBase64String($Utf8.GetBytes($hash.Trim()))
    $lines = @("mode $mode", "run $Run", "secret notebook.password_hash $secret") -notmatch ' $'
    $from = New-Object IO.MemoryStream(, [Convert]::FromBase64String($Packed))
    $script = New-Object IO.MemoryStream
    (New-Object IO.Compression.GZipStream($from, [IO.Compression.CompressionMode]::Decompress)).CopyTo($script)
    $dir = [IO.DirectoryInfo]"$([IO.Path]::GetTempPath())nbserver-$([Guid]::NewGuid())"
    $acl = New-Object Security.AccessControl.DirectorySecurity
    $acl.SetSecurityDescriptorSddlForm('D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)')
    if ($dir.PSObject.Methods['GetAccessControl']) { $dir.Create($acl) }
    else { [IO.FileSystemAclExtensions]::Create($dir, $acl) }
    $file, $kept, $to, $last = $null, $null, [Console]::Out, ''
    try {
        [IO.File]::WriteAllBytes("$dir\nbserver.ps1", $script.ToArray())
        $file = [IO.File]::OpenRead("$dir\nbserver.ps1")   # nobody can change it
        $sha = New-Object Security.Cryptography.SHA256CryptoServiceProvider
        $sum = [BitConverter]::ToString($sha.ComputeHash($file)) -replace '-'
        if ($sum -ne $Sha256) { throw "the SHA-256 of the script is $sum, expected $Sha256" }
        if ($Log) { $to = $kept = New-Object IO.StreamWriter($Log, $false, $Utf8) }
        $global:LASTEXITCODE = 0
        $lines | & "$dir\nbserver.ps1" | ForEach-Object { $to.WriteLine($_); $to.Flush(); $last = "$_" }
    }
    finally {
        foreach ($open in $file, $kept) { if ($open) { $open.Close() } }
        for ($try = 60; $try; $try--) { try { $dir.Delete($true); break } catch { [Threading.Thread]::Sleep(1000) } }
    }
    exit $(switch ($LASTEXITCODE) { 0 { 0 } 2 { 1 } 3010 { 3 * ($last -clike '*"outcome":"reboot"*') } default { 3 } })
}
