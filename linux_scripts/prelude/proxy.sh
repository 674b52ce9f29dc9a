# ---- prelude: proxy --------------------------------------------------------------------------------
# Pass the proxy of the settings to programs that download.

PROXY=(env)                                        # `env` and the variables of the proxy, for run_program
AUTHORITIES=(/etc/ssl/certs/ca-certificates.crt /etc/ssl/ca-bundle.pem)   # of Debian and Ubuntu, of openSUSE and SLES

# Some programs read only the lower-case names of these variables.
read_proxy() {
    PROXY=(env)
    if [[ $NB_DOWNLOADS_PROXY ]]; then
        PROXY+=("http_proxy=$NB_DOWNLOADS_PROXY" "https_proxy=$NB_DOWNLOADS_PROXY")
    fi
}
