# ---- prelude: certificate_program ------------------------------------------------------------------
# Create a self-signed certificate with Python.

# The program uses the package cryptography, which is in the lock. Type of key, names, and extensions are the same as in
# the configuration for OpenSSL.

$CertificateProgramFile = Join-Path $ServiceFolder 'certificate.py'

$CertificateProgram = @'
# Create a key (P-256) and a self-signed certificate: certificate.py KEY-FILE FILE DAYS COMMON-NAME NAME...
import datetime
import ipaddress
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

key_file, file, days, common_name, *names = sys.argv[1:]


def alternative(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


key = ec.generate_private_key(ec.SECP256R1())
subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
now = datetime.datetime.now(datetime.timezone.utc)
end = now + datetime.timedelta(int(days))
builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), now, end)
other_usages = (
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
for extension, critical in (
    (x509.SubjectAlternativeName([alternative(name) for name in names]), False),
    (x509.BasicConstraints(ca=False, path_length=None), True),
    (x509.KeyUsage(digital_signature=True, **dict.fromkeys(other_usages, False)), True),
    (x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), False),
    (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
):
    builder = builder.add_extension(extension, critical)
certificate = builder.sign(key, hashes.SHA256())

pem = serialization.Encoding.PEM
with open(key_file, "wb") as out:
    out.write(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
with open(file, "wb") as out:
    out.write(certificate.public_bytes(pem))
'@ -replace "`r", ''

function New-OwnCertificate([string]$NewKey, [string]$NewCertificate) {
    Set-TextFile $CertificateProgramFile $CertificateProgram
    $arguments = @('-I', '-X', 'utf8', $CertificateProgramFile, $NewKey, $NewCertificate)
    $arguments += @([string]$Settings.certificate.days, (Get-CommonName)) + $Settings.certificate.names
    Invoke-Program (Get-EnvironmentProgram 'python.exe') $arguments -Code certificate-program-failed -Text ('could ' +
        'not create the certificate ({program} exited with code {exit_code}): {output}. Fix this error, then try ' +
        'again')
}

# Return false if the key is that of another certificate, or damaged: the server could not start. Without the Python of
# the environment, this is not known.
function Test-OwnKeyPair {
    $python = Get-EnvironmentProgram 'python.exe'
    if (-not (Test-Path -LiteralPath $python)) { return $true }
    $load = 'import ssl, sys; ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(*sys.argv[1:])'
    Invoke-Program $python @('-I', '-X', 'utf8', '-c', $load, $CertificateFile, $KeyFile) -Accept 0, 1 -Quiet
    -not $Run.ExitCode
}
