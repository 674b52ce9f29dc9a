# ---- step: openssl ---------------------------------------------------------------------------------
# Install OpenSSL from the distribution, which creates the certificate.

step openssl 'OpenSSL is installed'

openssl_test() {
    if ! has_openssl; then differs openssl 'OpenSSL' '' 'the openssl package'; fi
}

openssl_apply() {
    install_packages openssl
}
