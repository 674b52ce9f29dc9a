# ---- prelude: certificate_program ------------------------------------------------------------------
# Create a certificate with OpenSSL.

create_certificate() { # KEY-FILE CERTIFICATE-FILE
    run_program openssl req -new -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days "$NB_CERTIFICATE_DAYS" \
        -config "$REQUEST_FILE.next" -keyout "$1" -out "$2"
}
