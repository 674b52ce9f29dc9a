# ---- prelude: proxy --------------------------------------------------------------------------------
# Pass the proxy of the settings, and the trusted authorities, to programs that download.

PROXY=(env)                                        # `env` and the variables of the proxy, for run_program
AUTHORITIES=(/etc/ssl/certs/ca-certificates.crt /etc/ssl/ca-bundle.pem)   # of Debian and Ubuntu, of openSUSE and SLES

# PROXY: pip and uv trust the authorities in the first of these files that can be read. REPLY: that file, or ''.
trust_authorities() { # FILE...
    for REPLY in "$@"; do
        if [[ -f $REPLY && -r $REPLY ]]; then
            PROXY+=("PIP_CERT=$REPLY" "SSL_CERT_FILE=$REPLY")
            return "$?"
        fi
    done
    REPLY=''
}

# Some programs read only the lower-case names of these variables.
read_proxy() {
    PROXY=(env)
    if [[ $NB_DOWNLOADS_PROXY ]]; then
        read_login_url "$NB_DOWNLOADS_PROXY" downloads.proxy_login
        PROXY+=("http_proxy=$REPLY" "https_proxy=$REPLY")
    fi
}

# REPLY: the URL with the login of this name, if the envelope has one. Only variables of programs may have it, because
# everybody can read arguments.
read_login_url() { # URL NAME
    REPLY=$1
    if [[ ${SECRETS[$2]:-} ]]; then REPLY=${1%%://*}://${SECRETS[$2]}@${1#*://}; fi
}
