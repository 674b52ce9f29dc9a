# ---- step: check ---------------------------------------------------------------------------------------
# The port answers, over TLS 1.2 or newer, with the certificate that stands on this host.

step check 'the port answers with this certificate'

check_test() {
    local should=${RUN_FINGERPRINT:-the certificate that the step of that name makes}
    read_shown_fingerprint
    if [[ $REPLY != "$should" ]]; then difference "port $NB_NOTEBOOK_PORT" "$REPLY" "$should"; fi
}

check_apply() {
    local line words=''
    local -i second
    # The server was just started; a slow host takes a minute.
    for ((second = 0; second < 180; second++)); do
        read_shown_fingerprint
        if [[ $REPLY ]]; then return; fi
        if ((second % 10 == 5)); then
            if has_service_failed; then break; fi
            write_event progress what 'waiting for the server' done: "$second" total: 180 unit seconds
        fi
        sleep 1
    done
    while IFS= read -r line; do words+="$line / "; done < <(print_service_log)
    fail "nothing answers on port $NB_NOTEBOOK_PORT. The server's last words: ${words% / }"
}

# The fingerprint of the certificate that the port shows; '' where nothing answers. Any certificate is
# accepted here because the caller compares it; nothing is sent.
read_shown_fingerprint() {
    local address=127.0.0.1 line
    if [[ $NB_NOTEBOOK_IP != '*' ]]; then address=$NB_NOTEBOOK_IP; fi
    if ! is_listening "$NB_NOTEBOOK_PORT"; then return; fi
    REPLY=''
    while IFS= read -r line; do
        if [[ $line == *ingerprint=* ]]; then fingerprint_of "$line"; fi
    done < <(print_shown_certificate "$address" "$NB_NOTEBOOK_PORT")
}
