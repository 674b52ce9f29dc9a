$key = Get-Item -LiteralPath 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager\Environment'
$path = $key.GetValue('Path', $null, 'DoNotExpandEnvironmentNames')
$is = @($path -split ';' | ForEach-Object { [Environment]::ExpandEnvironmentVariables($_).TrimEnd('\') })
foreach ($entry in $Entries -split ';') {
    if ($is -notcontains [Environment]::ExpandEnvironmentVariables($entry).TrimEnd('\')) { throw "PATH lacks $entry" }
}
