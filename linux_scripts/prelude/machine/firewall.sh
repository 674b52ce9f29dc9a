# ---- prelude: firewall -----------------------------------------------------------------------------
# Open a port in ufw or firewalld, if one of them is active; neither is ever enabled.

FIREWALL=''                                        # ufw, firewalld, or '' if neither is active
FIREWALL_ZONE=''                                   # the default zone of firewalld

read_firewall() {
    local line
    FIREWALL='' FIREWALL_ZONE=''
    if [[ -r /etc/ufw/ufw.conf && -x /usr/sbin/ufw ]]; then   # its configuration may be left without the program
        while IFS= read -r line; do
            if [[ $line == ENABLED=yes ]]; then FIREWALL=ufw; fi
        done </etc/ufw/ufw.conf
    fi
    if [[ ! $FIREWALL && -x /usr/bin/firewall-cmd ]] && firewall-cmd --quiet --state; then
        FIREWALL=firewalld
        FIREWALL_ZONE=$(exec firewall-cmd --get-default-zone)
    fi
}

# After read_firewall: whether ADDRESS (an address, a network, or Any) can reach the TCP port.
has_open_port() { # PORT ADDRESS
    local line words
    case $FIREWALL in
        ufw)
            ufw_words "$1" "$2"
            words=$REPLY
            # ufw shows each rule as the command that added it, perhaps with a comment at the end.
            while IFS= read -r line; do
                if [[ "$line " == "ufw $words "* ]]; then return 0; fi
            done < <(exec ufw show added 2>/dev/null)
            return 1
            ;;
        firewalld)
            firewalld_words "$1" "$2"
            firewall-cmd --quiet --zone="$FIREWALL_ZONE" --query-"$REPLY" &&
                firewall-cmd --quiet --permanent --zone="$FIREWALL_ZONE" --query-"$REPLY"
            ;;
    esac
}

# ufw has one rule for a port and an address. Another one that denies, limits, or logs would be replaced, and undo could
# not restore it; one that denies more comes first, so the port would stay closed. Somebody has decided that.
assert_no_other_rule() { # PORT ADDRESS
    local line words rest kind
    if [[ $FIREWALL != ufw ]]; then return 0; fi
    ufw_words "$1" "$2"
    words=${REPLY#allow }
    while IFS= read -r line; do
        if [[ ! $line =~ ^ufw\ ([a-z]+)\ (log\ |log-all\ )?(.*)$ ]]; then continue; fi
        kind=${BASH_REMATCH[1]} rest="${BASH_REMATCH[3]} "
        # Only these words and a comment: a rule for UDP begins in the same way.
        if [[ $kind == @(deny|reject) && $rest == @("$1"|"$1/tcp"|"${words% proto tcp}")\ ?("comment "*) ]]; then
            rest="$words "
        fi
        if [[ $rest == "$words "* ]]; then
            fail port-denied 'ufw has the rule "{rule}", which contradicts a rule for TCP port {port} from {address}. '\
'Delete it with ufw delete, or set skip = ["firewall"] in the inventory, then try again' \
                rule "$line" port "$1" address "$2"
        fi
    done < <(exec ufw show added 2>/dev/null)
}

# Kind firewall_port: the key is ufw PORT ADDRESS, or firewalld PORT ADDRESS ZONE. Before release 0.7.0, it had no zone.
# The rule may have been in effect only until the next start of firewalld (`now`), or only after it (`permanent`).
open_port() { # PORT ADDRESS
    local words
    if has_open_port "$1" "$2"; then return 0; fi
    read_half_rule "$1" "$2"
    save_before firewall_port "$FIREWALL $1 $2${FIREWALL_ZONE:+ $FIREWALL_ZONE}" "$REPLY"
    case $FIREWALL in
        ufw)
            ufw_words "$1" "$2"
            # shellcheck disable=SC2086 # words without spaces
            run_program ufw $REPLY comment nbserver
            ;;
        firewalld)
            firewalld_words "$1" "$2"
            words=$REPLY
            run_program firewall-cmd --permanent --zone="$FIREWALL_ZONE" --add-"$words"
            run_program firewall-cmd --zone="$FIREWALL_ZONE" --add-"$words"
            ;;
    esac
}

# REPLY: `now`, `permanent`, or ''.
read_half_rule() { # PORT ADDRESS
    local words
    REPLY=''
    if [[ $FIREWALL != firewalld ]]; then return 0; fi
    firewalld_words "$1" "$2"
    words=$REPLY REPLY=''
    if firewall-cmd --quiet --zone="$FIREWALL_ZONE" --query-"$words"; then
        REPLY=now
    elif firewall-cmd --quiet --permanent --zone="$FIREWALL_ZONE" --query-"$words"; then
        REPLY=permanent
    fi
}

restore_firewall_port() { # KEY BEFORE
    split_words "$1"
    case ${SPLIT[0]} in
        ufw) close_ufw_port "${SPLIT[1]}" "${SPLIT[2]}" ;;
        firewalld) close_firewalld_port "$2" "${SPLIT[@]:1}" ;;
    esac
}

close_ufw_port() { # PORT ADDRESS
    if ! type -P ufw >/dev/null; then
        warn_of_removed_firewall ufw "$1"
        return "$?"
    fi
    ufw_words "$1" "$2"
    # shellcheck disable=SC2086 # words without spaces
    run_program ufw delete $REPLY
}

# Exit code 112: there is no such zone by now.
close_firewalld_port() { # BEFORE PORT ADDRESS [ZONE]
    local words
    local -a zone=()
    if [[ ${4-} ]]; then zone=(--zone="$4"); fi
    firewalld_words "$2" "$3"
    words=$REPLY
    read_firewall
    if [[ $FIREWALL == firewalld ]]; then
        if [[ $1 != now ]]; then
            run_program --accept '0 112' firewall-cmd "${zone[@]}" --remove-"$words" || return "$?"
        fi
        if [[ $1 != permanent ]]; then
            run_program --accept '0 112' firewall-cmd --permanent "${zone[@]}" --remove-"$words" || return "$?"
        fi
    elif [[ $1 == permanent ]]; then
        return 0
    elif type -P firewall-offline-cmd >/dev/null; then
        run_program --accept '0 112' firewall-offline-cmd "${zone[@]}" --remove-"$words" || return "$?"
    else
        warn_of_removed_firewall firewalld "$2"
    fi
}

# Without the program that loads them, the kernel has no rules.
warn_of_removed_firewall() { # FIREWALL PORT
    warn firewall-removed '{firewall} is no longer installed, so its rule for TCP port {port} could not be removed. '\
'If you install {firewall} again and it still has this rule, remove the rule' \
        firewall "$1" port "$2"
}

# REPLY: the rule in the words of ufw.
ufw_words() { # PORT ADDRESS
    REPLY="allow $1/tcp"
    if [[ $2 != Any ]]; then REPLY="allow from $2 to any port $1 proto tcp"; fi
}

# REPLY: the end of an option such as --add-port=9999/tcp, or --add-rich-rule=... for one address.
firewalld_words() { # PORT ADDRESS
    local family=ipv4
    if [[ $2 == *:* ]]; then family=ipv6; fi
    REPLY="port=$1/tcp"
    if [[ $2 != Any ]]; then
        REPLY="rich-rule=rule family=\"$family\" source address=\"$2\" port port=\"$1\" protocol=\"tcp\" accept"
    fi
}
