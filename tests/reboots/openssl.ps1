# ---- step: openssl, what makes the request -------------------------------------------------------------

Add-Step openssl 'what makes the request is there' -Test {
    if (-not (Test-TextFile 'C:\faults\site\new.txt' 'ours')) { Difference 'new.txt' $null 'ours' }
} -Apply {
    Set-TextFile 'C:\faults\site\new.txt' 'ours'
}

function Send-CertificateRequest { Write-Event request @{ csr = "-----BEGIN CERTIFICATE REQUEST-----`nasked`n-----END CERTIFICATE REQUEST-----`n" } }
