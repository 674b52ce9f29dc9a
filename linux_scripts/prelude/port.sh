# ---- prelude: port ---------------------------------------------------------------------------------
# Find out which program uses the notebook port, and check the address of the server.

assert_port_free() {
    met port-free 'TCP port {port} is free, or used by the notebook server' port "$NB_NOTEBOOK_PORT"
    if is_listening "$NB_NOTEBOOK_PORT" && ! is_own_port "$REPLY"; then
        fail port-used 'TCP port {port} is used by another program (find it with ss --listening --tcp --processes). '\
'Stop it, or choose another notebook.port in the inventory' \
            port "$NB_NOTEBOOK_PORT"
    fi
}

# Whether a program listens on the TCP port. REPLY: the inodes of its sockets, each after a space.
# A line of /proc/net/tcp (proc_net(5)) has the local address as HEX-ADDRESS:HEX-PORT in field 2, the state in field 4
# (0A: it listens), and the inode in field 10.
is_listening() { # PORT
    local port file state local_address inode
    REPLY=''
    printf -v port %04X "$1"
    for file in /proc/net/tcp /proc/net/tcp6; do
        if [[ ! -r $file ]]; then continue; fi
        while read -r _ local_address _ state _ _ _ _ _ inode _; do
            if [[ $state == 0A && $local_address == *":$port" ]]; then REPLY+=" $inode"; fi
        done <"$file"
    done
    [[ $REPLY ]]
}

# Whether our server has one of these sockets. That it runs is not enough: it may listen on another port.
# If the kernel does not show the sockets of the process, it is assumed to have one.
is_own_port() { # ' INODE...'
    local link pid shown=''
    read_server_process
    pid=$REPLY
    if ((pid == 0)); then return 1; fi
    # Each file descriptor of a socket is a link to socket:[INODE]. If others are closed meanwhile, `find` continues.
    while IFS= read -r link; do
        shown=1
        if [[ $link == socket:* && "$1 " == *" ${link//[!0-9]/} "* ]]; then return 0; fi
    done < <(exec find "/proc/$pid/fd" -mindepth 1 -printf '%l\n' 2>/dev/null)
    [[ ! $shown ]]
}

# The server could not listen on another address, unless the kernel allows that (ip(7), ip_nonlocal_bind).
assert_address_local() {
    local allowed=0
    met address-right 'the notebook server can listen on {address}' address "$NB_NOTEBOOK_IP"
    { read -r allowed </proc/sys/net/ipv4/ip_nonlocal_bind; } 2>/dev/null || true
    if [[ $allowed == 0 ]] && is_foreign_address "$NB_NOTEBOOK_IP"; then
        fail address-not-local 'notebook.ip is {address}, but this host does not have this address. Set notebook.ip '\
'to an address listed by "ip address" on this host, or to "*" for all addresses' \
            address "$NB_NOTEBOOK_IP"
    fi
}

# Whether an address is not one of this host. For each IPv4 address, /proc/net/fib_trie has the line `|-- ADDRESS`,
# followed by `/32 host LOCAL`. IPv6 addresses are in /proc/net/if_inet6, as 32 hexadecimal digits.
is_foreign_address() { # ADDRESS
    local file=/proc/net/fib_trie line entry=''
    case $1 in
        '*' | 0.0.0.0 | 127.* | :: | ::ffff:*) return 1 ;;
        *:*)
            file=/proc/net/if_inet6
            ipv6_digits "$1"
            ;;
    esac
    if [[ ! -r $file ]]; then return 1; fi
    while IFS= read -r line; do
        if [[ $1 == *:* && $line == "$REPLY "* ]]; then return 1; fi
        if [[ $line == *'/32 host LOCAL' && $entry == *"|-- $1" ]]; then return 1; fi
        entry=$line
    done <"$file"
    return 0
}

# REPLY: the 32 digits of an IPv6 address, in which :: stands for as many words 0 as are missing.
ipv6_digits() { # ADDRESS
    local word zeros=00000000000000000000000000000000 head='' tail='' digits=''
    local -a words=()
    IFS=: read -r -a words < <(printf '%s\n' "${1/::/:x:}")
    for word in "${words[@]}"; do
        if [[ $word == x ]]; then
            head=$digits digits=''
        elif [[ $word ]]; then
            digits+=${zeros:0:4-${#word}}${word,,}
        fi
    done
    tail=$digits
    REPLY=$head${zeros:${#head}+${#tail}}$tail
}
