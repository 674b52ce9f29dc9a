# ---- step: openssl, what creates the request -----------------------------------------------------------

Add-Step openssl 'What creates the request is installed' -Test {
    if (-not (Test-TextFile 'C:\faults\site\new.txt' 'ours')) { Add-Difference file-content 'new.txt' $null 'ours' }
} -Apply {
    Set-TextFile 'C:\faults\site\new.txt' 'ours'
}

function Send-CertificateRequest {
    Write-Event request @{ csr = "-----BEGIN CERTIFICATE REQUEST-----`nasked`n-----END CERTIFICATE REQUEST-----`n" }
}
