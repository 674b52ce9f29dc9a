# ---- prelude: download_checks ----------------------------------------------------------------------
# Find out in mode check whether this host can reach what pip and uv would download.

DOWNLOAD_SECONDS=20                                # for a connection and an answer
LONGEST_PAGE=8000000                               # bytes that are read of a page
ANSWER=()                                          # of ask: what openssl and the server wrote

# Only what is not installed yet is downloaded. The first package of the lock is in every index that has the others.
check_downloads() {
    local line package
    if [[ $NB_PACKAGES_SOURCE == distribution || $NB_DOWNLOADS_SOURCE == push || -e $LOCK_MARK ]]; then return 0; fi
    line=${LOCK[0]%% *}
    package=${line%%[=\[]*}
    package=${package,,}
    package=${package//[_.]/-}
    if [[ $NB_DOWNLOADS_SOURCE == mirror ]]; then
        require package_index assert_page_answers "$MIRROR_PAGE" "$package" "${line##*==}"
    elif [[ $NB_PACKAGES_INDEX_URL ]]; then
        require package_index assert_page_answers "${NB_PACKAGES_INDEX_URL%/}/$package/" "$package" "${line##*==}"
    else
        require package_index report_default_index
    fi
}

report_default_index() {
    write_finding unknown default-index-not-checked 'this script does not specify a package index, so pip and uv use '\
'their default index, which was not checked. To check a specific index, set packages.index_url in the inventory'
}

# Ask for a page, with the proxy and the authorities that pip would use. It must have a link to a wheel: a login page of
# the network has none.
assert_page_answers() { # URL PACKAGE VERSION
    local line status='' fault='' offered=''
    local wheel=${2//-/[-_.]+}-${3%%+*}
    local -i begin seconds size=0
    if [[ ${SECRETS[packages.index_login]-}${SECRETS[downloads.proxy_login]-} ]] ||
        ! [[ $1 =~ ^(https?)://([^/@:]+)(:([0-9]{1,5}))?(/[^[:space:]]*)?$ ]]; then
        write_finding unknown url-not-checked 'this download was not checked, because its URL or the proxy requires a '\
'login, or because this check does not support this kind of URL'
        return "$?"
    fi
    read_uptime
    begin=$REPLY
    ask "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "${BASH_REMATCH[4]}" "${BASH_REMATCH[5]:-/}"
    read_seconds_since "$begin"
    seconds=$REPLY
    for line in "${ANSWER[@]}"; do
        size+=$((${#line} + 1))
        if [[ $line == 'verify error:'* ]]; then fault=${line#verify error:num=}; fi
        if [[ ! $status && $line =~ ^HTTP/[0-9.]+\ ([0-9]{3}) ]]; then status=${BASH_REMATCH[1]}; fi
        if [[ ${line,,} =~ ${wheel,,}[-+%] ]]; then offered=1; fi
    done
    if [[ $status == 3* ]]; then
        write_finding unknown url-redirects '{url} responded with a redirect (HTTP status {status}), which this check '\
'does not follow. Open the URL in a browser on this host: it must lead to the package index, not to a login page' \
            url "$1" status "$status"
        return "$?"
    fi
    report_answer "$1" "$status" "$seconds" "${fault:-${ANSWER[0]:-no answer}}"
    if [[ ! $offered ]]; then refuse_page "$1" "$2" "$3" "$size" "$seconds"; fi
}

refuse_page() { # URL PACKAGE VERSION BYTES SECONDS
    if (($4 >= LONGEST_PAGE || $5 >= DOWNLOAD_SECONDS)); then
        write_finding unknown page-read-in-part 'only part of the page {url} was read ({bytes} bytes in {seconds} s), '\
'and this part has no link to {package} {version}. Open the URL in a browser on this host: it must be a page of the '\
'package index or the mirror, not a login page' \
            url "$1" bytes "$4" seconds "$5" package "$2" version "$3"
        return "$?"
    fi
    fail page-without-package 'the page {url} has no link to {package} {version}. Open the URL in a browser on this '\
'host. If it shows the package index or the mirror, add the package to it; otherwise, correct packages.index_url, '\
'downloads.mirror, or downloads.proxy in the inventory' \
        url "$1" package "$2" version "$3"
}

report_answer() { # URL STATUS SECONDS FAULT
    if [[ ! $2 ]]; then
        fail url-does-not-answer '{url} is not responding: {error}. Check the network connection and the trusted CA '\
'certificates of this host, and downloads.proxy in the inventory, or set packages.index_url to a mirror' \
            url "$1" error "$4"
    fi
    met url-answers '{url} responded with HTTP status {status} after {seconds} s' url "$1" status "$2" seconds "$3"
    if [[ $2 == 40[1347] || $2 == 5* ]]; then
        fail url-refuses '{url} responded with HTTP status {status}. Check packages.index_url and downloads.proxy in '\
'the inventory' \
            url "$1" status "$2"
    fi
}

# ANSWER: what openssl wrote about the connection, the headers, and the page.
ask() { # SCHEME HOST PORT PATH
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
        return "$?"
    fi
    if [[ ! $(type -P openssl) ]]; then
        ANSWER=('openssl is not installed')
        return "$?"
    fi
    trust_authorities "${AUTHORITIES[@]}"
    if [[ $REPLY ]]; then options+=(-CAfile "$REPLY"); fi
    if [[ $proxy ]]; then options+=(-proxy "$proxy"); fi
    mapfile -t ANSWER < <(write_request "$2${3:+:$3}" "$4" |
        timeout "$DOWNLOAD_SECONDS" openssl s_client "${options[@]}" 2>&1 | tr -d '\0' | head -c "$LONGEST_PAGE")
}

# The kernel may wait for minutes for a connection, so another process connects. If it is connected, it ends in time:
# read waits longer.
ask_without_tls() { # HOST:PORT HOST-HEADER PATH
    local line
    {
        if IFS= read -r -t "$((DOWNLOAD_SECONDS + 5))" line; then
            mapfile -t ANSWER
            ANSWER=("$line" "${ANSWER[@]}")
        fi
    } < <(
        exec 7<>"/dev/tcp/${1%:*}/${1##*:}"
        write_request "$2" "$3" >&7
        timeout "$DOWNLOAD_SECONDS" cat <&7 | tr -d '\0' | head -c "$LONGEST_PAGE"
    )
}

# HTTP/1.0, because a server may divide an answer of HTTP/1.1 into chunks.
write_request() { # HOST-HEADER PATH
    printf 'GET %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: nbserver\r\nConnection: close\r\n\r\n' "$2" "$1"
}
