if (-not (Test-Path -LiteralPath "$Environment\nbserver.lock")) { throw 'unfinished environment' }
$installed = @{}
foreach ($folder in [IO.Directory]::GetDirectories("$Environment\Lib\site-packages", '*.dist-info')) {
    $installed[((Split-Path -Leaf $folder) -replace '\.dist-info$', '' -replace '[-_.]+', '-').ToLowerInvariant()] = $true
}
foreach ($package in $Packages -split ' ') {
    if (-not $installed[($package -replace '[=_.-]+', '-').ToLowerInvariant()]) { throw "no $package" }
}
