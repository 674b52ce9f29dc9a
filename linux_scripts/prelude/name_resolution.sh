# ---- prelude: name_resolution ----------------------------------------------------------------------
# Report a host that cannot resolve the names of the servers that it downloads from.

# Package managers and pip try again for a minute or more before they report it.
SERVERS=()                                         # of read_package_servers: URLs

# A proxy, also one of the environment, resolves all other names. If the settings name no server, the repositories of
# the system show whether names can be resolved at all. That is only a warning: pip may be configured to use an address.
assert_names_resolved() {
    local url=${NB_DOWNLOADS_PROXY:-${NB_DOWNLOADS_MIRROR:-$NB_PACKAGES_INDEX_URL}} name
    met names-resolved 'this host can resolve the names of the servers'
    read_installation_folder
    if [[ ! $REPLY || $NB_DOWNLOADS_SOURCE == push ]]; then return 0; fi
    if [[ ! $NB_DOWNLOADS_PROXY && ${http_proxy-}${https_proxy-}${all_proxy-}${HTTPS_PROXY-}${ALL_PROXY-} ]]; then
        return 0
    fi
    if [[ $url ]]; then
        if ! can_resolve "$url"; then
            fail name-not-resolved 'this host cannot resolve the name {name}. Check the name servers of this host '\
'(/etc/resolv.conf) and the host name in the inventory, then try again' name "$REPLY"
        fi
        return 0
    fi
    read_package_servers
    for url in "${SERVERS[@]}"; do
        if can_resolve "$url"; then return 0; fi
        name=$REPLY
    done
    if [[ ${name-} ]]; then
        warn names-not-resolved 'this host cannot resolve the names of the package repositories (for example, '\
'{name}), so it cannot download packages. Check the name servers of this host (/etc/resolv.conf), then try again' \
            name "$name"
    fi
}

# REPLY: the host in the URL. An address needs no resolution.
can_resolve() { # URL
    REPLY=${1#*://}
    REPLY=${REPLY%%/*}
    REPLY=${REPLY##*@}
    if [[ $REPLY == '['* ]]; then return 0; fi
    REPLY=${REPLY%%:*}
    [[ ! $REPLY || $REPLY != *[!0-9.]* ]] ||
        RES_OPTIONS='timeout:2 attempts:1' timeout 10 getent ahosts "$REPLY" >/dev/null 2>&1
}

# SERVERS: the first three http and https URLs in the lists of repositories.
read_package_servers() {
    local file line
    local pattern='^[^#]*(https?://[^]/[:space:]]+)'
    SERVERS=()
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} /etc/zypp/repos.d/*.repo; do
        if [[ ! -f $file || ! -r $file ]]; then continue; fi
        while IFS= read -r line || [[ $line ]]; do
            if [[ $line =~ $pattern && " ${SERVERS[*]} " != *" ${BASH_REMATCH[1]} "* ]]; then
                SERVERS+=("${BASH_REMATCH[1]}")
            fi
            if ((${#SERVERS[@]} == 3)); then return 0; fi
        done <"$file"
    done
}
