# ---- prelude: port ---------------------------------------------------------------------------------
# Find out which program listens on the port of the notebook server.

assert_port_free() {
    if is_listening "$NB_NOTEBOOK_PORT" && ! is_own_port "$REPLY"; then
        fail port-used 'TCP port {port} is used by another program (find it with ss --listening --tcp --processes). '\
'Stop this program, or choose another notebook.port in the inventory' \
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
    # Each file descriptor of a socket is a link to socket:[INODE].
    while IFS= read -r link; do
        shown=1
        if [[ $link == socket:* && "$1 " == *" ${link//[!0-9]/} "* ]]; then return 0; fi
    done < <(readlink -- "/proc/$pid/fd/"*)
    [[ ! $shown ]]
}
