# ---- step: openssl ---------------------------------------------------------------------------------
# Install the distribution's OpenSSL, which creates the certificate.

step openssl 'OpenSSL is installed'

openssl_test() {
    if ! has_openssl; then differs openssl 'OpenSSL' '' 'the openssl package'; fi
}

openssl_apply() {
    install_packages openssl
}
