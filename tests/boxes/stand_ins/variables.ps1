# Sessions that follow one another in one process begin with the same environment variables, as in processes of their own.
& {
    $place = 'nbserver-test variables'
    $first = [AppDomain]::CurrentDomain.GetData($place)
    $now = [Environment]::GetEnvironmentVariables()
    if ($null -eq $first) { [AppDomain]::CurrentDomain.SetData($place, $now); return }
    foreach ($name in @($now.Keys)) { if (-not $first.Contains($name)) { Remove-Item -LiteralPath "env:$name" } }
    foreach ($name in $first.Keys) {
        if ($now[$name] -cne $first[$name]) { [Environment]::SetEnvironmentVariable($name, $first[$name]) }
    }
}
