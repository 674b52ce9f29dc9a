# ---- step: check ---------------------------------------------------------------------------------------
# The port answers, over TLS 1.2 or newer, with the certificate that stands on this host, and the server that runs
# refuses requests without the password. Its files are compared before (step notebook); this asks the server itself.

WAYS=('without the password' 'with a random token')
ANSWERS=()                                         # the status of the answer to each of them, as far as there is one
SHOWN=''                                           # the fingerprint of the certificate; '' where nothing answers

step check 'the port answers with this certificate, and refuses whoever has no password'

check_test() {
    local should=${RUN_FINGERPRINT:-the certificate that the step of that name makes}
    local -i i
    read_shown
    if [[ $SHOWN != "$should" ]]; then difference "port $NB_NOTEBOOK_PORT" "$SHOWN" "$should"; fi
    if [[ ! $SHOWN ]]; then return; fi
    for i in "${!WAYS[@]}"; do
        if ! is_refused "$i"; then
            answer_in_words "$i"
            difference "GET /api/kernels on port $NB_NOTEBOOK_PORT ${WAYS[i]}" "$REPLY" 'refused with 401 or 403'
        fi
    done
}

check_apply() {
    local line words=''
    local -i second
    # The server was just started; a slow host takes a minute.
    for ((second = 0; second < 180; second++)); do
        read_shown
        if ((${#ANSWERS[@]} == ${#WAYS[@]})); then
            assert_closed
            return
        fi
        if ((second % 10 == 5)); then
            if has_service_failed; then break; fi
            write_event progress what 'waiting for the server' done: "$second" total: 180 unit seconds
        fi
        sleep 1
    done
    while IFS= read -r line; do words+="$line / "; done < <(print_service_log)
    fail "nothing answers on port $NB_NOTEBOOK_PORT. The server's last words: ${words% / }"
}

# A notebook server answers these requests with its kernels to whoever is logged in, and with 403 to everybody else.
assert_closed() {
    local stop="systemctl stop $SERVICE_UNIT" log="journalctl --unit $SERVICE_UNIT"
    local -i i
    if [[ $NB_SCOPE == user ]]; then stop='nbserver stop local' log="journalctl --user --unit $SERVICE_UNIT"; fi
    if ! is_unit; then log="cat $PROCESS_LOG"; fi
    for i in "${!WAYS[@]}"; do
        if ! is_refused "$i"; then
            answer_in_words "$i"
            fail "GET /api/kernels on port $NB_NOTEBOOK_PORT ${WAYS[i]} is $REPLY instead of refused with 401 or 403: \
perhaps everybody who reaches this port can run programs as the server's user. Stop the server ($stop) and read its \
log ($log). If something was added to ${NOTEBOOK_PYTHON%/*/*}, remove it. Then run apply again"
        fi
    done
}

is_refused() { # NUMBER
    [[ ${ANSWERS[$1]:-} == 401 || ${ANSWERS[$1]:-} == 403 ]]
}

answer_in_words() { # NUMBER
    REPLY='not answered by a web server'
    if [[ ${ANSWERS[$1]:-} =~ ^[0-9]{3}$ ]]; then REPLY="answered with ${ANSWERS[$1]}"; fi
}

read_shown() {
    local address=127.0.0.1 line
    SHOWN='' ANSWERS=()
    if [[ $NB_NOTEBOOK_IP != '*' ]]; then address=$NB_NOTEBOOK_IP; fi
    if ! is_listening "$NB_NOTEBOOK_PORT"; then return; fi
    while IFS= read -r line; do
        case $line in
            Fingerprint=*)
                fingerprint_of "$line"
                SHOWN=$REPLY
                ;;
            Status=*) ANSWERS+=("${line#*=}") ;;
        esac
    done < <(print_shown "$address" "$NB_NOTEBOOK_PORT")
}
