# ---- prelude: ports in the firewall: ufw or firewalld, where one is active; neither is ever switched on ---

FIREWALL=''                                        # ufw, firewalld, or '' where none is active

read_firewall() {
    local line
    FIREWALL=''
    if [[ -r /etc/ufw/ufw.conf && -x /usr/sbin/ufw ]]; then   # its configuration stays where the program was removed
        while IFS= read -r line; do
            if [[ $line == ENABLED=yes ]]; then FIREWALL=ufw; fi
        done </etc/ufw/ufw.conf
    fi
    if [[ ! $FIREWALL && -x /usr/bin/firewall-cmd ]] && firewall-cmd --quiet --state; then FIREWALL=firewalld; fi
}

# After read_firewall: whether ADDRESS (an address, a network, or Any) reaches the TCP port.
has_open_port() { # PORT ADDRESS
    local line words
    case $FIREWALL in
        ufw)
            ufw_words "$1" "$2"
            words=$REPLY
            # The words are those of the command that made the rule; a comment may stand behind them.
            while IFS= read -r line; do
                if [[ "$line " == "ufw $words "* ]]; then return 0; fi
            done < <(ufw show added 2>/dev/null)
            return 1
            ;;
        firewalld)
            firewalld_words "$1" "$2"
            firewall-cmd --quiet --query-"$REPLY" && firewall-cmd --quiet --permanent --query-"$REPLY"
            ;;
    esac
}

# Kind firewall_port: key is FIREWALL PORT ADDRESS.
open_port() { # PORT ADDRESS
    local words
    if has_open_port "$1" "$2"; then return; fi
    save_before firewall_port "$FIREWALL $1 $2" ''
    case $FIREWALL in
        ufw)
            ufw_words "$1" "$2"
            # shellcheck disable=SC2086 # words without spaces
            run_program ufw $REPLY comment nbserver
            ;;
        firewalld)
            firewalld_words "$1" "$2"
            words=$REPLY
            run_program firewall-cmd --permanent --add-"$words"
            run_program firewall-cmd --add-"$words"
            ;;
    esac
}

restore_firewall_port() { # KEY
    local firewall port address words
    read -r firewall port address <<<"$1"
    read_firewall
    case $firewall in
        ufw)
            if [[ ! $(type -P ufw) ]]; then tell_gone_firewall "$1"; return; fi
            ufw_words "$port" "$address"
            # shellcheck disable=SC2086 # words without spaces
            run_program ufw delete $REPLY || return
            ;;
        firewalld)
            firewalld_words "$port" "$address"
            words=$REPLY
            if [[ $FIREWALL == firewalld ]]; then
                run_program firewall-cmd --remove-"$words" || return
                run_program firewall-cmd --permanent --remove-"$words" || return
            elif [[ $(type -P firewall-offline-cmd) ]]; then
                run_program firewall-offline-cmd --remove-"$words" || return
            else tell_gone_firewall "$1"
            fi
            ;;
    esac
}

# Rules go with the program that puts them into the kernel.
tell_gone_firewall() { # KEY
    local port=${1#* }
    write_event warning text "${1%% *} is not installed any more, so there is no rule to take away. If it comes back with its old configuration, look there for TCP port ${port% *}"
}

ufw_words() { # PORT ADDRESS
    REPLY="allow $1/tcp"
    if [[ $2 != Any ]]; then REPLY="allow from $2 to any port $1 proto tcp"; fi
}

# An option's end: port=9999/tcp, or rich-rule=... for one address.
firewalld_words() { # PORT ADDRESS
    local family=ipv4
    if [[ $2 == *:* ]]; then family=ipv6; fi
    REPLY="port=$1/tcp"
    if [[ $2 != Any ]]; then REPLY="rich-rule=rule family=\"$family\" source address=\"$2\" port port=\"$1\" protocol=\"tcp\" accept"; fi
}
