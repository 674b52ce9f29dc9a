# ---- prelude: messages -----------------------------------------------------------------------------
# Format messages: each has a sentence with named values, and a code that never changes.

# Return the text with each {name} replaced by the value of that name. Braces in a value are left as they are. A value
# may end with a period, such as a message of Windows; if the sentence ends there, one period is enough.
function Format-Message([string]$Text, [hashtable]$Values) {
    [regex]::Replace($Text, '\{([a-z0-9_]+)\}(\. )?', {
            param($match)
            $value = [string]$Values[$match.Groups[1].Value]
            $end = $match.Groups[2].Value
            if ($end -and $value.EndsWith('.', [StringComparison]::Ordinal)) { $value + ' ' } else { $value + $end }
        })
}

# Return an exception to throw. {cause} in the text stands for the message of another exception, $Cause.
function New-Failure {
    param([string]$Code, [string]$Text, [hashtable]$Values = @{}, [Exception]$Cause)
    if (-not $Cause) { return New-CodedException $Code $Text $Values }
    $failure = ConvertTo-Failure $Cause
    New-CodedException $Code $Text ($Values + @{ cause = $failure.Message }) $failure
}

function New-CodedException {
    param([string]$Code, [string]$Text, [hashtable]$Values, [Exception]$Inner)
    $exception = New-Object InvalidOperationException((Format-Message $Text $Values), $Inner)
    $exception.Data['code'] = $Code
    $exception.Data['text'] = $Text
    $exception.Data['values'] = $Values
    $exception
}

# Exceptions of .NET and of commands have no code: they get one.
function ConvertTo-Failure([Exception]$Exception) {
    if ($Exception.Data.Contains('code')) { return $Exception }
    $values = @{ error = $Exception.Message }
    if (Test-DiskFull $Exception) {
        return New-CodedException disk-full ('the disk is full: {error}. Free ' +
            'some disk space, then try again') $values $Exception
    }
    New-CodedException unexpected-error '{error}' $values $Exception
}

# Return the fields of an event that reports an exception.
function Get-FailureField([Exception]$Exception) {
    $failure = ConvertTo-Failure $Exception
    $fields = @{ code = $failure.Data['code']; values = $failure.Data['values']; text = $failure.Message }
    $cause = $failure.InnerException
    if ($cause -and $cause.Data.Contains('code')) {
        $fields.cause = @{ code = $cause.Data['code']; values = $cause.Data['values'] }
    }
    $fields
}

# ERROR_DISK_FULL and ERROR_HANDLE_DISK_FULL.
function Test-DiskFull([Exception]$Exception) { Test-WindowsError $Exception '80070070', '80070027' }

# Return whether Windows gave one of these codes as the reason. Its text is in its display language.
function Test-WindowsError([Exception]$Exception, [string[]]$Codes) {
    for ($inner = $Exception; $inner; $inner = $inner.InnerException) {
        $code = '{0:x8}' -f [Runtime.InteropServices.Marshal]::GetHRForException($inner)
        if ($Codes -contains $code) { return $true }
    }
    $false
}

# Report something that a person should read: a warning, or a note in the log.
function Write-Notice {
    param([ValidateSet('warning', 'log')][string]$Event, [string]$Code, [string]$Text, [hashtable]$Values = @{})
    if ($Finding.Name -and $Event -eq 'warning') {
        Write-Finding warning (New-CodedException $Code $Text $Values)
        return
    }
    Write-Event $Event @{ code = $Code; values = $Values; text = Format-Message $Text $Values }
}

# Report that a long action continues. $Unit is bytes, packages, or seconds; $Total may be unknown.
function Write-StepProgress {
    param([string]$Code, [string]$Text, [hashtable]$Values = @{}, $Done, $Total, [string]$Unit)
    $fields = @{ code = $Code; values = $Values; what = Format-Message $Text $Values }
    if ($null -ne $Done) { $fields.done = $Done; $fields.total = $Total; $fields.unit = $Unit }
    Write-Event progress $fields
}

# A step's Test calls this for each difference. $Is and $Should are words or values; $null means absent.
function Add-Difference {
    param([string]$Code, [string]$What, $Is, $Should, [hashtable]$Values = @{})
    $what = Format-Message $What $Values
    [void]$Run.Differences.Add(@{ code = $Code; values = $Values; what = $what; is = $Is; should = $Should })
}
