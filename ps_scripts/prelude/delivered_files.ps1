# ---- prelude: delivered_files ----------------------------------------------------------------------
# Receive what a host downloads from the workstation: modes missing and deliver.

# If downloads.source is "push", files arrive in a separate folder and stay there for the next run. Only programs in the
# settings and wheels in the lock are accepted, by name and hash. A file has the suffix .part until it is complete and
# its hash is checked.

$DeliveredFolder = Join-Path $StateFolder 'downloads'
$DeliveredName = '\A[A-Za-z0-9]([A-Za-z0-9._+!-]{0,178}[A-Za-z0-9])?\z'
$WheelName = '\A([^-]+)-([^-]+)(-[^-]+){3,4}\.whl\z'

$ChangingModes += 'deliver'

function Test-Push { $Settings.downloads.source -eq 'push' }

function Get-DeliveredFile([string]$Name) { Join-Path $DeliveredFolder $Name }

# ---- which files this host accepts

# Return the hashes that are accepted, by the name of the file of a program and by the package of a wheel.
function Get-DeliveryList {
    $list = @{}
    foreach ($program in @(Get-DeliveredProgram)) { $list[$program.Name] = @($list[$program.Name]) + $program.Sha256 }
    foreach ($line in $Lock) {
        $package, $version = ($line -split ' ')[0] -split '==', 2
        $hashes = [regex]::Matches($line, '--hash=sha256:([0-9a-f]{64})')
        $list[(Get-WheelKey $package $version)] = @($hashes | ForEach-Object { $_.Groups[1].Value })
    }
    $list
}

function Get-WheelKey([string]$Package, [string]$Version) { "$(Get-PackageKey $Package)==$(Get-PackageKey $Version)" }

function Get-ListedHash([hashtable]$List, [string]$Name) {
    if ($Name -cnotmatch $DeliveredName) { return }
    if ($List.ContainsKey($Name)) { return $List[$Name] }
    if ($Name -cmatch $WheelName) { $List[(Get-WheelKey $Matches[1] $Matches[2])] }
}

function Test-Listed([hashtable]$List, $Part) { @(Get-ListedHash $List $Part.Path) -ccontains $Part.Sha256 }

# ---- mode missing

$Modes.missing = {
    Assert-NoLink $DeliveredFolder
    $list = Get-DeliveryList
    foreach ($part in $Parts) {
        if (-not (Test-Listed $list $part)) { Write-FileState refused $part.Path; continue }
        if (Test-Arrived $part) { Write-FileState present $part.Path $part.Size $part.Sha256; continue }
        $size = Get-PartialSize $part
        if ($size) { Write-FileState partial $part.Path $size } else { Write-FileState absent $part.Path }
    }
}

# Return whether the file is here, complete and with the right hash: a program may also be in the cache.
function Test-Arrived($Part) {
    $files = @(Get-DeliveredFile $Part.Path)
    foreach ($program in @(Get-DeliveredProgram)) {
        if ($program.Name -ceq $Part.Path) { $files += $program.Cached }
    }
    foreach ($file in $files) {
        if ((Test-Link $file) -or -not [IO.File]::Exists($file)) { continue }
        if ((New-Object IO.FileInfo $file).Length -ne $Part.Size) { continue }
        if ((Get-FileSha256 $file) -ceq $Part.Sha256) { return $true }
    }
    $false
}

function Get-PartialSize($Part) {
    $file = (Get-DeliveredFile $Part.Path) + '.part'
    if ((Test-Link $file) -or -not [IO.File]::Exists($file)) { return 0 }
    $size = (New-Object IO.FileInfo $file).Length
    if ($size -gt $Part.Size) { 0 } else { $size }
}

# ---- mode deliver

$Modes.deliver = {
    Assert-DeliveryExpected
    Assert-NoLink $DeliveredFolder
    $Run.Step = 'packages'                               # the record names a step
    Add-Folder $DeliveredFolder
    $Run.Step = ''
    $list = Get-DeliveryList
    $lock = Lock-Folder $DeliveredFolder
    try {
        Remove-UnlistedFile $list $lock.Name
        foreach ($part in $Parts) {
            Start-PartData $part
            Receive-Delivery $list $part
            Assert-DeliveryComplete (Copy-PartData)
        }
    }
    finally { $lock.Close() }
}

function Assert-DeliveryExpected {
    if (-not (Test-Push)) {
        throw (New-Failure delivery-not-expected ('this script accepts no files from the workstation, because ' +
                'downloads.source in its settings is not "push". To send files, set downloads.source = "push" in the ' +
                'inventory, then run nbserver apply'))
    }
}

# Remove what this script does not accept, and links, but not what they lead to.
function Remove-UnlistedFile([hashtable]$List, [string]$Except) {
    foreach ($item in (New-Object IO.DirectoryInfo $DeliveredFolder).GetFileSystemInfos()) {
        if ($item.FullName -eq $Except) { continue }
        $isFolder = [bool]($item.Attributes -band [IO.FileAttributes]::Directory)
        if ($item.Attributes -band [IO.FileAttributes]::ReparsePoint) { Remove-Link $item.FullName $isFolder }
        elseif ($isFolder) { Remove-Folder $item.FullName }
        elseif (-not (Get-ListedHash $List ($item.Name -creplace '\.part\z', ''))) { Remove-SingleFile $item.FullName }
    }
}

function Assert-DeliveryComplete([bool]$Complete) {
    if (-not $Complete) {
        throw (New-Failure delivery-cut-off ('the connection was lost before all files had arrived. Run the command ' +
                'again: it sends only the missing files'))
    }
}

function Receive-Delivery([hashtable]$List, $Part) {
    if (-not (Test-Listed $List $Part)) { Write-FileState refused $Part.Path; return }
    if (Test-Arrived $Part) { Write-FileState stored $Part.Path $Part.Size $Part.Sha256; return }
    if ($Part.Offset -and $Part.Offset -ne (Get-PartialSize $Part)) {
        Write-FileState conflict $Part.Path $Part.Size
        return
    }
    $file = Get-DeliveredFile $Part.Path
    $sha256 = Add-DeliveredData "$file.part" $Part
    if (-not $sha256) { Write-FileState incomplete $Part.Path ($Part.Offset + $Part.Length); return }
    if ($sha256 -cne $Part.Sha256) {
        Remove-SingleFile "$file.part"
        Write-FileState damaged $Part.Path $Part.Size
        return
    }
    Move-Over "$file.part" $file
    $Run.Changed++
    Write-FileState stored $Part.Path $Part.Size $sha256
}

# Return the SHA-256 of the file if it is now complete. On a full disk, it would keep the disk full.
function Add-DeliveredData([string]$New, $Part) {
    try { Write-DeliveredData $New $Part }
    catch {
        if ($_.Exception.Data.Contains('code')) { throw }
        if (Test-DiskFull $_.Exception) { Remove-SingleFile $New }
        throw (New-Failure delivery-not-written ('could not save the files that the workstation ' +
                'sent: {cause}. Fix this error (for example, free some disk space), then run the command ' +
                'again') -Cause $_.Exception)
    }
}

function Write-DeliveredData([string]$New, $Part) {
    Assert-NoLink $New
    $opened = @{ Stream = $null }
    Invoke-FileChange 'open' $New $opened
    $saved = Save-PartData $opened.Stream $Part
    Assert-DeliveryComplete $saved.Arrived
    $saved.Sha256
}
