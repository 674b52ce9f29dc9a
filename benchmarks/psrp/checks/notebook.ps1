$state = "$env:ProgramData\nbserver"
foreach ($pair in @("$state\service", $ServiceAccess), @("$state\work", $WorkAccess)) {
    $is = (Get-Acl -LiteralPath $pair[0]).GetSecurityDescriptorSddlForm('Access')
    if ($is -notmatch '^D:[A-Z]*P' -or ($is -replace '^D:[A-Z]*', '') -ne ($pair[1] -replace '^D:[A-Z]*', '')) { throw "access to $($pair[0])" }
}
$grant = (Get-Acl -LiteralPath $Notebooks).GetSecurityDescriptorSddlForm('Access')
if ($grant -notlike "*;0x1301bf;;;$Sid)*") { throw "access to $Notebooks" }
if ((Get-FileHash -LiteralPath "$state\service\jupyter_server_config.json").Hash -ne $Configuration) { throw 'configuration' }
if ((Get-FileHash -LiteralPath "$state\service\serve.py").Hash -ne $Starter) { throw 'starter' }
