# ---- prelude: rotation -----------------------------------------------------------------------------
# Revoke all access: replace key and password, and move away what kernels wrote.

# Until a rotation is complete, a file names it. The server stays stopped until then, because others could still use it,
# and the next rotation starts from the beginning. An apply is refused: it would start the server for those others.

$RotationFile = Join-Path $StateFolder 'rotation'
$SetAsideFolder = Join-Path $StateFolder 'set-aside'     # what kernels wrote: a folder for each rotation
$RotatedSteps = 'certificate', 'notebook', 'service', 'check'
$StepsNotNeeded = 'tls', 'path', 'firewall', 'cleanup'   # the server starts without what they do
$Former = @{ Run = ''; Password = ''; Key = '' }         # the incomplete rotation; hashes of what must not come again

# Mode rotate.
function Invoke-Rotation {
    $Run.NewSalt = $true                                 # the hash is replaced in any case
    Read-Rotation
    Assert-Deployed
    foreach ($step in $Steps) {
        if ($step.Bracket -or ($RotatedSteps + $StepsNotNeeded) -contains $step.Name) { continue }
        Assert-StepReady $step
    }
    Assert-NewPassword
    Assert-NewKey
    Start-Rotation
    foreach ($step in $Steps) {
        if ($RotatedSteps -contains $step.Name) { Invoke-RotatedStep $step }
    }
    Remove-SingleFile $RotationFile
    Write-AccountNotice
}

# $Former: what the file says.
function Read-Rotation {
    $Former.Run = ''
    if (-not (Test-Path -LiteralPath $RotationFile)) { return }
    $hex = '[0-9a-f]{64}'
    $pattern = "\A\{`"v`":1,`"run`":`"([0-9A-Za-z-]{1,64})`",`"password`":`"($hex)`",`"key`":(null|`"$hex`")\}\s*\z"
    $found = [regex]::Match([IO.File]::ReadAllText($RotationFile, $Utf8), $pattern)
    if (-not $found.Success) {
        throw (New-Failure rotation-file-damaged ('{path} is not valid, so nbserver cannot determine who may still ' +
                'have access. Remove this file, then run nbserver rotate with a new ' +
                'password') @{ path = $RotationFile })
    }
    $Former.Run = $found.Groups[1].Value
    $Former.Password = $found.Groups[2].Value
    $Former.Key = $found.Groups[3].Value.Trim('"')
}

function Assert-Deployed {
    if (Test-Record 'file' $ConfigurationFile) { return }
    throw (New-Failure rotate-not-deployed ('this host has no notebook server managed by nbserver, so there is no ' +
            'access to revoke. To set up a server, run nbserver apply'))
}

# The server must start again, so nothing else may be missing.
function Assert-StepReady($Step) {
    Invoke-Test $Step
    if (-not $Run.Differences.Count) { Write-Event unchanged; return }
    Write-Difference
    throw (New-Failure rotate-needs-apply ('nothing was changed, because this host differs from the settings ' +
            '({what}) and the server might not start again. Run nbserver apply, then nbserver rotate again') @{
            what = $Run.Differences[0].what
        })
}

# Without another password, earlier users could log in again.
function Assert-NewPassword {
    $Run.Step = 'notebook'
    Request-Secret $HashSecret 'Hash of the new notebook password (nbserver hash-password creates it)'
    if (-not $Secrets.ContainsKey($HashSecret)) {
        throw (New-Failure rotate-without-password ('the rotation requires the hash of a new notebook password. Set ' +
                'notebook.password in the inventory, then try again'))
    }
    Assert-PasswordHash
    $sha256 = New-Object Security.Cryptography.SHA256CryptoServiceProvider
    $set = [regex]::Match([IO.File]::ReadAllText($ConfigurationFile, $Utf8), $HashPattern).Groups[1].Value
    if (-not $Former.Run) { $Former.Password = Format-Hash $sha256.ComputeHash($Utf8.GetBytes($set)) }
    $sent = $sha256.ComputeHash($Utf8.GetBytes((Expand-Secret "@$HashSecret@" $HashSecret)))
    if ((Format-Hash $sent) -ne $Former.Password) { return }
    throw (New-Failure rotate-same-password ('nothing was changed, because the notebook password is the same as ' +
            'before: anyone who knows it could log in again. Set a different notebook.password, then try again'))
}

# Return the SHA-256 of the public key of a certificate.
function Get-KeyDigest($Certificate) { Get-Sha256 $Certificate.PublicKey.EncodedKeyValue.RawData }

# From here on, the server does not run until everything has been replaced.
function Start-Rotation {
    $Run.Step = 'service'
    $key = 'null'
    if (-not $Former.Run) {
        $certificate = Get-ServerCertificate
        if ($certificate) { $Former.Key = Get-KeyDigest $certificate }
    }
    if ($Former.Key -and $Former.Key -ne 'null') { $key = "`"$($Former.Key)`"" }
    Write-TextFile $RotationFile "{`"v`":1,`"run`":`"$($Run.Id)`",`"password`":`"$($Former.Password)`",`"key`":$key}`n"
    Remove-Switch                                        # what an upgrade that was cut off would restore
    Stop-Server
    Assert-NoProcessLeft
}

# A kernel of an earlier user would still run, although the events say that it ended.
function Assert-NoProcessLeft {
    foreach ($process in @(Get-ProcessBelow $Programs)) {
        throw (New-Failure rotate-process-left ('{path} (process {id}) is still running, so earlier users may still ' +
                'have access. Stop this process, or restart Windows, then run nbserver rotate again') @{
                id = $process.Id; path = $process.Path
            })
    }
}

function Invoke-RotatedStep($Step) {
    $Run.Step = $Step.Name
    $Run.Differences = New-Object Collections.ArrayList
    switch ($Step.Name) {
        'certificate' {
            $is = $null
            $certificate = Get-ServerCertificate
            if ($certificate) { $is = Get-Fingerprint $certificate }
            Add-Difference rotated-key 'private key and certificate' $is 'a new key and certificate'
        }
        'notebook' {
            Add-Difference rotated-password 'notebook password' 'the previous one' 'a new one'
            Add-Difference rotated-work '{path}' 'from earlier sessions' 'a new folder' @{ path = $WorkFolder }
            Move-WorkAside
        }
        'service' { Add-Difference rotated-sessions 'sessions and kernels' 'from before the rotation' 'ended' }
        'check' {
            Add-Difference rotated-port 'certificate on TCP port {port}' $null 'the new certificate' @{
                port = $Settings.notebook.port
            }
        }
    }
    Invoke-Change $Step
}

# The folder is renamed as a whole, into one that only administrators can open. So nothing in it is read, and no link in
# it is followed.
function Move-WorkAside {
    if (-not (Test-Path -LiteralPath $WorkFolder)) { return }
    Assert-NoLink $WorkFolder
    $folder = Join-Path $SetAsideFolder $Run.Id
    foreach ($path in $SetAsideFolder, $folder) {
        if (-not (Test-Path -LiteralPath $path)) { New-ClosedFolder $path $StateAccess }
    }
    Invoke-FileChange 'move-folder' $WorkFolder (Join-Path $folder 'work')
    Write-Notice log work-set-aside '{path} was moved to {folder}. Notebooks in {notebooks} were kept' @{
        path = $WorkFolder; folder = $folder; notebooks = Expand-Path $Settings.notebook.directory
    }
}

# An apply would start the server of a rotation that was interrupted.
function Assert-RotationComplete {
    Read-Rotation
    Set-Found no-rotation-open 'no interrupted rotation was found on this host'
    if (-not $Former.Run) { return }
    if (Test-Change) {
        throw (New-Failure rotation-incomplete-apply ('nbserver rotate was interrupted (run {run}), so earlier users ' +
                'could still log in if nbserver apply started the server. Run nbserver rotate ' +
                'again') @{ run = $Former.Run })
    }
    Write-Notice warning rotation-incomplete ('nbserver rotate was interrupted (run {run}), so the server stays ' +
        'stopped until the rotation is complete. Run nbserver rotate again') @{ run = $Former.Run }
}

$Modes.rotate = { Invoke-Rotation }
$ChangingModes += 'rotate'
