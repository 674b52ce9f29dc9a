# ---- prelude: installer_settings -------------------------------------------------------------------
# Choose the settings of pip and uv: proxy, index, and trusted authorities.

declare -A PIP_CONFIGURATION=()                    # option -> value

# PROXY: the environment of pip and uv. The user's own configuration is used: the hashes in the lock decide what is
# installed.
read_package_environment() {
    read_proxy
    PROXY+=(PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1 UV_NO_PROGRESS=1 PIP_PROGRESS_BAR=off)
}

# After create_environment: uv gets the configuration of the user's pip, which it does not read itself.
read_own_package_environment() {
    local file index extra links proxy
    read_pip_configuration
    index=${PIP_CONFIGURATION[index-url]:-}
    extra=${PIP_CONFIGURATION[extra-index-url]:-}
    links=${PIP_CONFIGURATION[find-links]:-}
    proxy=${PIP_CONFIGURATION[proxy]:-}
    if [[ ! $NB_PACKAGES_INDEX_URL ]]; then
        if [[ $index ]]; then PROXY+=("UV_DEFAULT_INDEX=$index"); fi
        if [[ $extra ]]; then PROXY+=("UV_INDEX=$extra" UV_INDEX_STRATEGY=unsafe-best-match); fi
        if [[ $links ]]; then PROXY+=("UV_FIND_LINKS=${links// /,}"); fi
    fi
    if [[ ! $NB_DOWNLOADS_PROXY && $proxy ]]; then PROXY+=("http_proxy=$proxy" "https_proxy=$proxy"); fi
    for file in "${SSL_CERT_FILE:-}" "${PIP_CONFIGURATION[cert]:-}" "${AUTHORITIES[@]}"; do
        if [[ -r $file ]]; then
            PROXY+=("SSL_CERT_FILE=$file")
            return
        fi
    done
}

# PIP_CONFIGURATION, from lines such as global.index-url='https://...'. A variable takes precedence over the section
# install, and that over the section global. Of two lines with the same name, the later one takes precedence, because
# some releases of pip list every file.
read_pip_configuration() {
    local line name
    local -i rank
    local -A ranks=([global]=1 [install]=2 [:env:]=3) seen=()
    PIP_CONFIGURATION=()
    while IFS= read -r line; do
        if [[ ! $line =~ ^(global|install|:env:)\.([a-z-]+)=\'(.*)\'$ ]]; then continue; fi
        rank=${ranks[${BASH_REMATCH[1]}]}
        name=${BASH_REMATCH[2]}
        if ((rank >= ${seen[$name]:-0})); then
            seen[$name]=$rank
            PIP_CONFIGURATION[$name]=${BASH_REMATCH[3]//\\n/ }
        fi
    done < <("$NOTEBOOK_PYTHON" -I -m pip config list 2>/dev/null)
}
