# ---- step: firewall --------------------------------------------------------------------------------
# Allow connections to the notebook port in ufw or firewalld, if one of them is active.

# There is one rule per address in the settings. Neither firewall is enabled or disabled. Rules of an earlier run for
# another port or address are removed.

FIREWALL_IS_REPORTED=''

step firewall 'The firewall allows connections to the notebook port'

firewall_test() {
    local address line
    read_firewall
    note_no_firewall
    if [[ $FIREWALL ]]; then
        for address in "${NB_FIREWALL_REMOTE_ADDRESSES[@]}"; do
            if ! has_open_port "$NB_NOTEBOOK_PORT" "$address"; then
                assert_no_other_rule "$NB_NOTEBOOK_PORT" "$address"
                differs port-closed '{firewall} rule for TCP port {port} from {address}' '' 'present' \
                    firewall "$FIREWALL" port "$NB_NOTEBOOK_PORT" address "$address"
            fi
        done
    fi
    for line in "${RECORD[@]}"; do
        if is_unwanted_port "$line"; then differs port-open 'firewall rule {rule}' 'present' '' rule "$LINE_KEY"; fi
    done
}

# Once per run.
note_no_firewall() {
    if [[ $FIREWALL || $FIREWALL_IS_REPORTED ]]; then return 0; fi
    FIREWALL_IS_REPORTED=1
    note no-firewall 'neither ufw nor firewalld is active. If this host has another firewall, allow TCP port {port} '\
'in it' \
        port "$NB_NOTEBOOK_PORT"
}

firewall_apply() {
    local address line
    local -a lines=("${RECORD[@]}")
    if [[ $FIREWALL ]]; then
        for address in "${NB_FIREWALL_REMOTE_ADDRESSES[@]}"; do
            open_port "$NB_NOTEBOOK_PORT" "$address"
        done
    fi
    for line in "${lines[@]}"; do
        if ! is_unwanted_port "$line"; then continue; fi
        undo_line "$line" ||
            fail rule-not-removed 'could not remove the firewall rule "{rule}": {cause}. Fix this error, then run '\
'nbserver apply again' \
                rule "$LINE_KEY"
    done
}

# Whether a line of the record is a rule that the settings no longer have, or one of a former default zone of firewalld.
is_unwanted_port() { # LINE
    local address zone
    split_line "$1"
    if [[ $LINE_KIND != firewall_port ]]; then return 1; fi
    split_words "$LINE_KEY"
    zone=${SPLIT[3]-}
    if [[ $zone && $FIREWALL == firewalld && $zone != "$FIREWALL_ZONE" ]]; then return 0; fi
    for address in "${NB_FIREWALL_REMOTE_ADDRESSES[@]}"; do
        if [[ "${SPLIT[1]} ${SPLIT[2]}" == "$NB_NOTEBOOK_PORT $address" ]]; then return 1; fi
    done
    return 0
}
