# ---- the tests' own: gates, the points at which a run can be held, cut off or counted ------------------
# C:\faults\gates has a line a gate that was reached; C:\faults\hold (`gate N` or `event N`) holds the run from there on;
# C:\faults\fail (`N`) makes gate N throw; C:\faults\applied has a line for each Apply that began.

$Ground = 'C:\faults'
$GuardKey = 'HKLM:\SOFTWARE\nbserver faults'
$Gates = @{ Passed = 0 }

# These steps have folders of their own. A disk that is mounted in a folder, which Wine shows as a link, is full in some tests.
$PlainKnownPath = ${function:Assert-KnownPath}
function Assert-KnownPath([string]$Path) {
    if ($Path -ne 'C:\Program Files\nbserver faults' -and -not (Test-Below $Path $Ground)) { & $PlainKnownPath $Path }
}
function Test-Link { $false }

function Wait-Gate {
    $Gates.Passed++
    [IO.File]::AppendAllText("$Ground\gates", "$($Gates.Passed) $($Run.Events) $($Run.Step)`n")
    if ((Read-Order fail) -eq [string]$Gates.Passed) { 
        throw (New-Failure cut-off "cut off at gate $($Gates.Passed)")
    }
    while ($true) {
        $kind, $number = (Read-Order hold) -split ' '
        if (-not $kind) { return }
        if ($kind -eq 'gate' -and $Gates.Passed -lt [int]$number) { return }
        if ($kind -eq 'event' -and $Run.Events -lt [int]$number) { return }
        [Threading.Thread]::Sleep(20)
    }
}

function Read-Order([string]$Name) {
    if ([IO.File]::Exists("$Ground\$Name")) { try { [IO.File]::ReadAllText("$Ground\$Name").Trim() } catch [IO.IOException] { '' } }
}

function Write-Applied { [IO.File]::AppendAllText("$Ground\applied", "$($Run.Id) $($Run.Step)`n") }

# Dot-sourced by an Apply: gates between what the prelude saves and what it changes. They end with the Apply.
$Plain = @{ SaveBefore = ${function:Save-Before}; WriteTextFile = ${function:Write-TextFile}; NewClosedFolder = ${function:New-ClosedFolder}; SetAccess = ${function:Set-Access} }
$WithGates = {
    function Save-Before([string]$Kind, [string]$Key, $Before) { Wait-Gate; & $Plain.SaveBefore $Kind $Key $Before }
    function Write-TextFile([string]$Path, [string]$Text, [string]$Secret) {
        if ($Path -ne $RecordFile) { Wait-Gate }
        & $Plain.WriteTextFile $Path $Text $Secret
    }
    function New-ClosedFolder([string]$Path, [string]$Sddl) { Wait-Gate; & $Plain.NewClosedFolder $Path $Sddl }
    function Set-ItemProperty { Wait-Gate; Microsoft.PowerShell.Management\Set-ItemProperty @args }
    function New-Item { Wait-Gate; Microsoft.PowerShell.Management\New-Item @args }
    function Set-Access([string]$Path, [string]$Sddl) { Wait-Gate; & $Plain.SetAccess $Path $Sddl }
    function Register-ScheduledTask { Wait-Gate; & ${function:global:Register-ScheduledTask} @args }
    Write-Applied
    Wait-Gate
}

# Putting back: a gate before it, and one before its line leaves the record.
$PlainRestore = $Restore.Clone()
foreach ($kind in $PlainRestore.Keys) {
    $Restore[$kind] = [scriptblock]::Create("param(`$Key, `$Before) Wait-Gate; & `$PlainRestore['$kind'] `$Key `$Before; Wait-Gate")
}
