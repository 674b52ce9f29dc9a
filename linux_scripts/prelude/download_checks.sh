# ---- prelude: download_checks ----------------------------------------------------------------------
# Check in mode check whether this host can reach what pip and uv would download.

# The certificates of these hosts come from one of these authorities, unless something inspects TLS on the way.
PUBLIC_HOSTS=(pypi.org files.pythonhosted.org)
PUBLIC_AUTHORITIES=("Let's Encrypt" GlobalSign DigiCert 'Google Trust Services' Amazon Sectigo Certainly ISRG SSL.com)
DOWNLOAD_SECONDS=20                                # to wait for an answer
ANSWER=()                                          # of ask_for_headers: what openssl and the server wrote

# Only what is not installed yet is downloaded. The first package of the lock is in every index that has the others.
check_downloads() {
    local index=${NB_PACKAGES_INDEX_URL:-https://pypi.org/simple} package=${LOCK[0]:-pip}
    if [[ $NB_PACKAGES_SOURCE == distribution || -e $LOCK_MARK ]]; then return; fi
    require package_index assert_url_answers "${index%/}/${package%%[=\[ ]*}/"
    if [[ $index == https://pypi.org/* ]]; then
        require package_files assert_url_answers https://files.pythonhosted.org/
    fi
}

# Ask for the headers of a URL, with the proxy and the authorities that pip would use.
assert_url_answers() { # URL
    local line status='' fault='' issuer=''
    local -i begin=$SECONDS
    if ! [[ $1 =~ ^(https?)://([^/@:]+)(:([0-9]{1,5}))?(/[^[:space:]]*)?$ && $NB_DOWNLOADS_PROXY != *@* ]]; then
        write_finding unknown url-not-checked 'the URL or the proxy contains a password or has another form, so the '\
'download was not checked'
        return
    fi
    ask_for_headers "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "${BASH_REMATCH[4]}" "${BASH_REMATCH[5]:-/}"
    for line in "${ANSWER[@]}"; do
        line=${line%$'\r'}
        case $line in
            issuer=*) issuer=${issuer:-${line#issuer=}} ;;
            'verify error:'*) fault=${line#verify error:num=} ;;
        esac
        if [[ $line =~ ^HTTP/[0-9.]+\ ([0-9]{3}) ]]; then status=${BASH_REMATCH[1]}; fi
    done
    report_answer "$1" "$status" "$((SECONDS - begin))" "$issuer" "${fault:-${ANSWER[0]:-no answer}}"
}

report_answer() { # URL STATUS SECONDS ISSUER FAULT
    local host=${1#*://} authority
    host=${host%%/*}
    if [[ ! $2 ]]; then
        fail url-does-not-answer '{url} does not answer: {error}. Check the network connection of this host and its '\
'trusted authorities, and downloads.proxy in the inventory, or set packages.index_url to a mirror' \
            url "$1" error "$5"
    fi
    met url-answers '{url} answers with status {status} after {seconds} s' url "$1" status "$2" seconds "$3"
    if [[ $2 == 407 || $2 == 5* || $2 == 40[134] && $host != files.pythonhosted.org ]]; then
        fail url-refuses '{url} answers with status {status}. Check packages.index_url and downloads.proxy in the '\
'inventory' \
            url "$1" status "$2"
    fi
    if [[ " ${PUBLIC_HOSTS[*]} " != *" $host "* || ! $4 ]]; then return; fi
    for authority in "${PUBLIC_AUTHORITIES[@]}"; do
        if [[ $4 == *"$authority"* ]]; then return; fi
    done
    warn tls-inspected 'the certificate of {host} is from {issuer}, which is not one of its public authorities. '\
'Something between this host and {host} may inspect TLS. The hashes of the lock still decide what is installed' \
        host "$host" issuer "$4"
}

# ANSWER: what openssl wrote about the connection, and the headers; without TLS, the status line.
ask_for_headers() { # SCHEME HOST PORT PATH
    local proxy=${NB_DOWNLOADS_PROXY#*://}
    local -a options=(-connect "$2:${3:-443}" -servername "$2" -verify_hostname "$2" -verify_return_error -ign_eof)
    ANSWER=()
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
