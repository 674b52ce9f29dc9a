# ---- prelude: findings -----------------------------------------------------------------------------
# Report in mode check which requirements this host meets, one finding for each.

# In mode check: the requirement that is being checked, what was reported about it, and the message if it is met.
$Finding = @{ Name = ''; State = ''; Found = $null }

# Make sure that a requirement is met: $Assert throws, or writes a warning, if it is not. In mode check, each
# requirement is a finding; in other modes, the first one that is not met stops the run.
function Assert-Requirement([string]$Name, [scriptblock]$Assert) {
    if ($Run.Mode -ne 'check') { & $Assert; return }
    $Finding.Name = $Name
    $Finding.State = ''
    Set-Found requirement-met 'this host meets the requirement'
    try {
        & $Assert
        if (-not $Finding.State) { Write-Finding ok $Finding.Found }
    }
    catch {
        if ($_.Exception.Data.Contains('code')) { Write-Finding failed $_.Exception }
        else {
            Write-Finding unknown (New-Failure check-failed 'could not check this requirement: {cause}' -Cause (
                    $_.Exception))
        }
    }
    finally { $Finding.Name = '' }
}

# What to report about a requirement that is met.
function Set-Found {
    param([string]$Code, [string]$Text, [hashtable]$Values = @{})
    $Finding.Found = New-CodedException $Code $Text $Values
}

# The first sentence of a message is what was found; the others are what to do.
function Write-Finding([string]$State, [Exception]$Message) {
    $Finding.State = $State
    $fields = Get-FailureField $Message
    $sentences = @($Message.Data['text'] -split '\. ', 2)
    $fields.name = $Finding.Name
    $fields.state = $State
    $fields.text = Format-Message $sentences[0] $fields.values
    $fields.todo = ''
    if ($sentences.Count -gt 1) { $fields.todo = Format-Message $sentences[1] $fields.values }
    if ($State -eq 'failed') { $Run.Outcome = 'failed' }
    Write-Event finding $fields
}
