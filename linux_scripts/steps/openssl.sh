# ---- step: openssl -------------------------------------------------------------------------------------
# The distribution's own, which makes the certificate.

step openssl 'OpenSSL is there'

openssl_test() {
    if [[ ! $(type -P openssl) ]]; then difference OpenSSL '' 'the package openssl'; fi
}

openssl_apply() {
    install_packages openssl
}
