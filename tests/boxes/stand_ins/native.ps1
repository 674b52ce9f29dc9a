# What Windows knows of a process and .NET does not tell: who started it, and its command line. Wine answers.

$global:StandInNative = $null

function global:Get-StandInNative {
    if ($global:StandInNative) { return $global:StandInNative }
    $assembly = [Reflection.Emit.AssemblyBuilder]::DefineDynamicAssembly((New-Object Reflection.AssemblyName 'StandInNative'), 'Run')
    $type = $assembly.DefineDynamicModule('StandInNative').DefineType('StandInNative', 'Public')
    $functions = @(
        @('OpenProcess', 'kernel32.dll', [IntPtr], @([int], [bool], [int])),
        @('CloseHandle', 'kernel32.dll', [bool], @([IntPtr])),
        @('ReadProcessMemory', 'kernel32.dll', [bool], @([IntPtr], [IntPtr], [byte[]], [IntPtr], [IntPtr])),
        @('NtQueryInformationProcess', 'ntdll.dll', [int], @([IntPtr], [int], [long[]], [int], [IntPtr]))
    )
    foreach ($function in $functions) {
        $method = $type.DefinePInvokeMethod($function[0], $function[1], 'Public, Static, PinvokeImpl', 'Standard', $function[2], [Type[]]$function[3], 'Winapi', 'Unicode')
        $method.SetImplementationFlags('PreserveSig')
    }
    $global:StandInNative = $type.CreateType()
    $global:StandInNative
}

function global:Read-StandInMemory([IntPtr]$Process, [long]$Address, [int]$Size) {
    $bytes = New-Object byte[] $Size
    if (-not (Get-StandInNative)::ReadProcessMemory($Process, [IntPtr]$Address, $bytes, [IntPtr]$Size, [IntPtr]::Zero)) { throw 'the process ended' }
    , $bytes
}

# Id of the process that started this one (0: nobody known), and the command line ($null where it can't be read).
function global:Get-StandInProcessFacts([int]$Id) {
    $native = Get-StandInNative
    $facts = @{ Parent = 0; CommandLine = $null }
    $process = $native::OpenProcess(0x410, $false, $Id)   # PROCESS_QUERY_INFORMATION, PROCESS_VM_READ
    if ($process -eq [IntPtr]::Zero) { return $facts }
    try {
        $basic = New-Object long[] 6
        if ($native::NtQueryInformationProcess($process, 0, $basic, 48, [IntPtr]::Zero)) { return $facts }
        $facts.Parent = [int]$basic[5]
        # In the process's environment block: ProcessParameters, in them CommandLine, a UNICODE_STRING.
        $parameters = [BitConverter]::ToInt64((Read-StandInMemory $process ($basic[1] + 0x20) 8), 0)
        $text = Read-StandInMemory $process ($parameters + 0x70) 16
        $facts.CommandLine = [Text.Encoding]::Unicode.GetString((Read-StandInMemory $process ([BitConverter]::ToInt64($text, 8)) ([BitConverter]::ToUInt16($text, 0))))
    }
    catch { $facts.CommandLine = $null }
    finally { [void]$native::CloseHandle($process) }
    $facts
}
