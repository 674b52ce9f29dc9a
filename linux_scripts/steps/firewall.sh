# ---- step: firewall ------------------------------------------------------------------------------------
# One rule for each address in the settings, in ufw or firewalld where one of them is active. Neither is switched
# on or off. Rules of an earlier run for another port or address are taken away.

FIREWALL_IS_TOLD=''

step firewall 'the firewall lets the notebook port in'

firewall_test() {
    local address line
    if [[ $NB_SCOPE == user ]]; then return; fi       # only root opens ports
    read_firewall
    if [[ ! $FIREWALL && ! $FIREWALL_IS_TOLD ]]; then
        FIREWALL_IS_TOLD=1
        write_event log text "neither ufw nor firewalld is active here; where another firewall is, it has to let TCP port $NB_NOTEBOOK_PORT in"
    fi
    if [[ $FIREWALL ]]; then
        for address in "${NB_FIREWALL_REMOTE_ADDRESSES[@]}"; do
            if ! has_open_port "$NB_NOTEBOOK_PORT" "$address"; then difference "$FIREWALL, TCP port $NB_NOTEBOOK_PORT from $address" '' open; fi
        done
    fi
    for line in "${RECORD[@]}"; do
        if is_former_port "$line"; then difference "${LINE_KEY// /, }" open ''; fi
    done
}

firewall_apply() {
    local address line
    local -a lines=("${RECORD[@]}")
    if [[ $FIREWALL ]]; then
        for address in "${NB_FIREWALL_REMOTE_ADDRESSES[@]}"; do open_port "$NB_NOTEBOOK_PORT" "$address"; done
    fi
    for line in "${lines[@]}"; do
        if is_former_port "$line"; then undo_line "$line" || fail "${LINE_KEY// /, } could not be closed: $PROBLEM"; fi
    done
}

# Whether a line of the record is a rule that the settings no longer want.
is_former_port() { # LINE
    local address
    split_line "$1"
    if [[ $LINE_KIND != firewall_port ]]; then return 1; fi
    for address in "${NB_FIREWALL_REMOTE_ADDRESSES[@]}"; do
        if [[ ${LINE_KEY#* } == "$NB_NOTEBOOK_PORT $address" ]]; then return 1; fi
    done
    return 0
}
