# ---- step: place, a folder and registry values: one that is new, one of another type that was there ----

$Place = 'C:\Program Files\nbserver faults'

Add-Step place 'the folder and the registry values are there' -Test {
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
