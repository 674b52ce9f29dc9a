$service = "$env:ProgramData\nbserver\service"
$is = (Get-Acl -LiteralPath $service).GetSecurityDescriptorSddlForm('Access')
if ($is -notmatch '^D:[A-Z]*P' -or ($is -replace '^D:[A-Z]*', '') -ne ($Access -replace '^D:[A-Z]*', '')) { throw "access to $service" }
if (-not (Test-Path -LiteralPath "$service\key.pem")) { throw 'no key' }
$certificate = New-Object Security.Cryptography.X509Certificates.X509Certificate2 "$service\certificate.pem"
if ($certificate.NotAfter -lt [DateTime]::Now.AddDays(30)) { throw 'certificate ends' }
if ((Get-FileHash -LiteralPath "$service\certificate.cnf").Hash -ne $Request) { throw 'names of the certificate' }
