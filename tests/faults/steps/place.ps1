# ---- step: place, a folder and registry values: a new one, and one that had another type ----------------

$Place = 'C:\Program Files\nbserver faults'

$RegistryValues += "$GuardKey|New", "$GuardKey|Old"

Add-Step place 'The folder and the registry values exist' -Test {
    Wait-Gate
    Compare-Folder $Place $AdministratorsOnly
    Compare-RegistryValue $GuardKey New 7
    Compare-RegistryValue $GuardKey Old '%SystemRoot%\ours'
} -Apply {
    . $WithGates
    Add-Folder $Place $AdministratorsOnly
    Set-RegistryValue $GuardKey New 7 DWord
    Set-RegistryValue $GuardKey Old '%SystemRoot%\ours' String
}
