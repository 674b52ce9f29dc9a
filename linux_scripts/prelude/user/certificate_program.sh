# ---- prelude: certificate_program ------------------------------------------------------------------
# Create a certificate with OpenSSL, or with Python if there is no OpenSSL.

MAKE_WITH_PYTHON='
import datetime, ipaddress, os, sys
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
unused = (
    "content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign encipher_only "
    "decipher_only"
)
usage = dict.fromkeys(unused.split(), False)
builder = builder.add_extension(x509.SubjectAlternativeName([alternative(name) for name in names]), False)
builder = builder.add_extension(x509.BasicConstraints(False, None), True)
builder = builder.add_extension(x509.KeyUsage(digital_signature=True, **usage), True)
builder = builder.add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), False)
builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
os.umask(0o077)
open(key_file, "wb").write(private)
open(file, "wb").write(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
'

create_certificate() { # KEY-FILE CERTIFICATE-FILE
    if has_openssl; then
        run_program openssl req -new -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days "$NB_CERTIFICATE_DAYS" \
            -config "$REQUEST_FILE.next" -keyout "$1" -out "$2"
    else
        run_program "$NOTEBOOK_PYTHON" -I -c "$MAKE_WITH_PYTHON" "$1" "$2" "$NB_CERTIFICATE_DAYS" \
            "${NB_HOST:0:64}" "${NB_CERTIFICATE_NAMES[@]}"
    fi
}
