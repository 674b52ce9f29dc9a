# ---- prelude: registry -----------------------------------------------------------------------------
# Read values in the registry.

# Return the value and its type, or nothing if it does not exist. Variables in a REG_EXPAND_SZ value stay unexpanded.
function Get-RegistryValue([string]$Path, [string]$Name) {
    if (-not (Test-Path -LiteralPath $Path)) { return }
    $key = Get-Item -LiteralPath $Path
    if ($key.GetValueNames() -notcontains $Name) { return }
    @{ value = $key.GetValue($Name, $null, 'DoNotExpandEnvironmentNames'); type = [string]$key.GetValueKind($Name) }
}
