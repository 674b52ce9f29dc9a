# ---- prelude: download_checks ----------------------------------------------------------------------
# Check in mode check whether this host can reach what pip and uv would download.

DOWNLOAD_SECONDS=20                                # to wait for an answer
ANSWER=()                                          # of ask_for_headers: what openssl and the server wrote

# Only what is not installed yet is downloaded. The first package of the lock is in every index that has the others.
check_downloads() {
    local package=${LOCK[0]:-pip}
    if [[ $NB_PACKAGES_SOURCE == distribution || $NB_DOWNLOADS_SOURCE == push || -e $LOCK_MARK ]]; then return; fi
    if [[ $NB_DOWNLOADS_SOURCE == mirror ]]; then
        require package_index assert_url_answers "$MIRROR_PAGE"
    elif [[ $NB_PACKAGES_INDEX_URL ]]; then
        require package_index assert_url_answers "${NB_PACKAGES_INDEX_URL%/}/${package%%[=\[ ]*}/"
    else
        require package_index report_default_index
    fi
}

report_default_index() {
    write_finding unknown default-index-not-checked 'this script does not specify a package index, so pip and uv use '\
'their default one, which was not checked. To check a specific index, set packages.index_url in the inventory'
}

# Ask for the headers of a URL, with the proxy and the authorities that pip would use.
assert_url_answers() { # URL
    local line status='' fault=''
    local -i begin=$SECONDS
    if [[ ${SECRETS[packages.index_login]-}${SECRETS[downloads.proxy_login]-} ]] ||
        ! [[ $1 =~ ^(https?)://([^/@:]+)(:([0-9]{1,5}))?(/[^[:space:]]*)?$ ]]; then
        write_finding unknown url-not-checked 'the URL or the proxy requires a login, or the URL has a form that this '\
'check does not support, so the download was not checked'
        return
    fi
    ask_for_headers "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "${BASH_REMATCH[4]}" "${BASH_REMATCH[5]:-/}"
    for line in "${ANSWER[@]}"; do
        line=${line%$'\r'}
        if [[ $line == 'verify error:'* ]]; then fault=${line#verify error:num=}; fi
        if [[ $line =~ ^HTTP/[0-9.]+\ ([0-9]{3}) ]]; then status=${BASH_REMATCH[1]}; fi
    done
    report_answer "$1" "$status" "$((SECONDS - begin))" "${fault:-${ANSWER[0]:-no answer}}"
}

report_answer() { # URL STATUS SECONDS FAULT
    if [[ ! $2 ]]; then
        fail url-does-not-answer '{url} is not responding: {error}. Check the network connection and the trusted '\
'authorities of this host, and downloads.proxy in the inventory, or set packages.index_url to a mirror' \
            url "$1" error "$4"
    fi
    met url-answers '{url} responded with status {status} after {seconds} s' url "$1" status "$2" seconds "$3"
    if [[ $2 == 40[1347] || $2 == 5* ]]; then
        fail url-refuses '{url} responded with status {status}. Check packages.index_url and downloads.proxy in the '\
'inventory' \
            url "$1" status "$2"
    fi
}

# ANSWER: what openssl wrote about the connection, and the headers; without TLS, the status line.
ask_for_headers() { # SCHEME HOST PORT PATH
    local proxy=${NB_DOWNLOADS_PROXY#*://}
    local -a options=(-connect "$2:${3:-443}" -verify_return_error -ign_eof)
    ANSWER=()
    if [[ $2 == *[!0-9.]* ]]; then
        options+=(-servername "$2" -verify_hostname "$2")
    else
        options+=(-verify_ip "$2")
    fi
    proxy=${proxy%/}
    if [[ $1 == http ]]; then
        ask_without_tls "${proxy:-$2:${3:-80}}" "$2${3:+:$3}" "${proxy:+http://$2${3:+:$3}}$4"
        return
    fi
    if [[ ! $(type -P openssl) ]]; then
        ANSWER=('openssl is not installed')
        return
    fi
    trust_authorities "${AUTHORITIES[@]}"
    if [[ $REPLY ]]; then options+=(-CAfile "$REPLY"); fi
    if [[ $proxy ]]; then options+=(-proxy "$proxy"); fi
    mapfile -t ANSWER < <(write_request "$2${3:+:$3}" "$4" |
        timeout "$DOWNLOAD_SECONDS" openssl s_client "${options[@]}" 2>&1 | tr -d '\0')
}

# The kernel may wait for minutes for a connection, so another process connects.
ask_without_tls() { # HOST:PORT HOST-HEADER PATH
    local line
    if IFS= read -r -t "$DOWNLOAD_SECONDS" line < <(
        exec 7<>"/dev/tcp/${1%:*}/${1##*:}"
        write_request "$2" "$3" >&7
        IFS= read -r line <&7
        printf '%s\n' "$line"
    ); then ANSWER=("$line"); fi
}

write_request() { # HOST-HEADER PATH
    printf 'HEAD %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: nbserver\r\nConnection: close\r\n\r\n' "$2" "$1"
}
