# nbserver bootstrap for SSH: runs the script on standard input. Input: "script SHA256 ID", lines in Base64, "start".
"nbserver ready in PowerShell $($ExecutionContext.SessionState.LanguageMode)"
if ($ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') { exit 3 }
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'
$ProgressPreference = $WarningPreference = 'SilentlyContinue'
$code = 1
trap { [Console]::Error.WriteLine($_.Exception.GetBaseException().Message); exit $code }
if ("$(Get-ExecutionPolicy)" -eq 'AllSigned') {
    throw 'a group policy allows only signed scripts (AllSigned). Ask for an exemption for this host'
}

$Utf8 = New-Object Text.UTF8Encoding $false
$in = New-Object IO.StreamReader([Console]::OpenStandardInput(), $Utf8)
if (-not ("$($in.ReadLine())" -cmatch '^script ([0-9a-f]{64}) ([0-9a-f]{32})$')) {
    throw 'the input does not begin with a script'
}
# The script, and the lines of the envelope
$parts = @(while (($line = $in.ReadLine()) -cne 'start') {
    if ($null -eq $line) { throw 'the input ended before it was complete' }
    , [Convert]::FromBase64String($line)
})
$lines = @(for ($i = 1; $i -lt $parts.Count; $i++) { $Utf8.GetString($parts[$i]) })

# For SYSTEM, administrators, and this user
$user = [Security.Principal.WindowsIdentity]::GetCurrent().User
$dir = [IO.DirectoryInfo]"$([IO.Path]::GetTempPath())nbserver-$([Guid]::NewGuid())"
$acl = New-Object Security.AccessControl.DirectorySecurity
$acl.SetSecurityDescriptorSddlForm("D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;$user)")
if ($dir.PSObject.Methods['GetAccessControl']) { $dir.Create($acl) }
else { [IO.FileSystemAclExtensions]::Create($dir, $acl) }
$file = $stop = $null
try {
    $path = "$dir\nbserver.ps1"
    [IO.File]::WriteAllBytes($path, $parts[0])
    $file = [IO.File]::OpenRead($path)   # nobody can change it
    $sha = New-Object Security.Cryptography.SHA256CryptoServiceProvider
    $hash = [BitConverter]::ToString($sha.ComputeHash($file)) -replace '-'
    if ($hash -ne $Matches[1]) {
        throw "the script has SHA-256 $hash, expected $($Matches[1])"
    }
    # Another session sets this event to stop the script
    $stop = New-Object Threading.EventWaitHandle($false, 'ManualReset', "Global\nbserver-$($Matches[2])")
    $global:LASTEXITCODE = 0
    $run = [PowerShell]::Create('CurrentRunspace')
    $null = $run.AddScript({ $lines | & $path | ForEach-Object { [Console]::Out.WriteLine($_) } })
    $watch = [PowerShell]::Create().AddScript({ $args[0].WaitOne(); $args[1].Stop() })
    $null = $watch.AddArgument($stop).AddArgument($run).BeginInvoke()
    $null = $run.Invoke()
    $code = $LASTEXITCODE
}
finally {
    if ($stop) { $null = $stop.Set() }
    if ($file) { $file.Close() }
    for ($try = 60; $try; $try--) {   # a virus scanner may hold it
        try { $dir.Delete($true); break } catch { [Threading.Thread]::Sleep(1000) }
    }
}
exit $code
