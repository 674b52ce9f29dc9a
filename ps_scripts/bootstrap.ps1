# nbserver bootstrap: runs the script on standard input. Input: "script LENGTH SHA256", script, envelope.
$mode = [string]$ExecutionContext.SessionState.LanguageMode
if ($mode -ne 'FullLanguage') {
    $head = '{"v":1,"time":"' + [DateTime]::UtcNow.ToString('o') + '","step":"","n":'
    $head + '1,"event":"failed","code":"restricted-language","values":{"mode":"' + $mode +
    '"},"text":"PowerShell runs in ' + $mode + ' mode, and nbserver needs FullLanguage. ' +
    'Ask for an exception in the application control policy of this host (WDAC or AppLocker)"}'
    $head + '2,"event":"finished","outcome":"failed","differs":false,"changed":0,"reboot":false,"fingerprint":""}'
    exit 3
}
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$ProgressPreference = $WarningPreference = 'SilentlyContinue'
$code = 1
trap { [Console]::Error.WriteLine("$_"); exit $code }
if ("$(Get-ExecutionPolicy)" -eq 'AllSigned') {
    throw 'a group policy allows only signed scripts (AllSigned). Ask for an exemption for this host'
}

$in = [Console]::OpenStandardInput()
$line = ''
while ($line.Length -lt 99 -and ($byte = $in.ReadByte()) -gt 10) { $line += [char]$byte }
if (-not ($line -cmatch '^script ([1-9][0-9]{0,6}) ([0-9a-f]{64})$')) {
    throw 'the input does not begin with a script'
}
$bytes = New-Object byte[] ([int]$Matches[1])
for ($have = 0; $have -lt $bytes.Length; $have += $got) {
    $got = $in.Read($bytes, $have, $bytes.Length - $have)
    if (-not $got) {
        throw "the input ended after $have of $($bytes.Length) bytes of the script"
    }
}
$Utf8 = New-Object Text.UTF8Encoding $false
$lines = (New-Object IO.StreamReader($in, $Utf8)).ReadToEnd() -split "`n" -ne ''

# For SYSTEM, administrators, and this user
$user = [Security.Principal.WindowsIdentity]::GetCurrent().User
$dir = [IO.DirectoryInfo]"$([IO.Path]::GetTempPath())nbserver-$([Guid]::NewGuid())"
$acl = New-Object Security.AccessControl.DirectorySecurity
$acl.SetSecurityDescriptorSddlForm("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;$user)")
if ($dir.PSObject.Methods['GetAccessControl']) { $dir.Create($acl) }
else { [IO.FileSystemAclExtensions]::Create($dir, $acl) }
$file = $null
try {
    $path = "$dir\nbserver.ps1"
    [IO.File]::WriteAllBytes($path, $bytes)
    $file = [IO.File]::OpenRead($path)   # nobody can change it
    $sha = New-Object Security.Cryptography.SHA256CryptoServiceProvider
    $hash = [BitConverter]::ToString($sha.ComputeHash($file)) -replace '-'
    if ($hash -ne $Matches[2]) {
        throw "the script has SHA-256 $hash, expected $($Matches[2])"
    }
    $global:LASTEXITCODE = 0
    $lines | & $path | ForEach-Object { [Console]::Out.WriteLine($_) }
    $code = $LASTEXITCODE
}
finally {
    if ($file) { $file.Close() }
    for ($try = 60; $try; $try--) {   # a virus scanner may hold it
        try { $dir.Delete($true); break } catch { [Threading.Thread]::Sleep(1000) }
    }
}
exit $code
