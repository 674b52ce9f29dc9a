# ---- step: openssl -------------------------------------------------------------------------------------
# The distribution's own, which makes the certificate.

step openssl 'OpenSSL is there'

openssl_test() {
    if [[ $NB_SCOPE == user ]]; then return; fi       # without it Python makes the certificate
    if ! has_openssl; then difference OpenSSL '' 'the package openssl'; fi
}

openssl_apply() {
    install_packages openssl
}
