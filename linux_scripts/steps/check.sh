# ---- step: check -----------------------------------------------------------------------------------
# Check that the server presents its certificate and refuses requests without a password.

# The server's files are compared in the step notebook; this step asks the server itself, over TLS 1.2 or newer.

ANSWERS=()                                         # the status without the password, and with a random token
SHOWN=''                                           # the fingerprint of the certificate; '' if nothing answers

step check 'The server presents its certificate and refuses requests without the password'

check_test() {
    if [[ ! $SERVER_STARTED && ! $HAS_NEW_SETTINGS ]]; then await_young_server; fi
    read_shown
    if [[ $SHOWN != "${RUN_FINGERPRINT:-a new certificate}" ]]; then
        if [[ $RUN_FINGERPRINT ]]; then
            differs port-certificate 'certificate on TCP port {port}' "$SHOWN" "$RUN_FINGERPRINT" \
                port "$NB_NOTEBOOK_PORT"
        else
            differs port-new-certificate 'certificate on TCP port {port}' "$SHOWN" 'a new certificate' \
                port "$NB_NOTEBOOK_PORT"
        fi
    fi
    if [[ $SHOWN ]]; then compare_answers; fi
    if [[ ! $SWITCH_MAY_BE_OPEN ]] && has_open_switch; then
        differs switch-open 'verification of the server' 'not finished' 'finished'
    fi
}

# Report requests that the server does not refuse, although they have no password.
compare_answers() {
    if ! is_refused 0; then
        read_status 0
        differs open-without-password 'HTTP status of GET /api/kernels on TCP port {port} without the password' \
            "$REPLY" '401 or 403' port "$NB_NOTEBOOK_PORT"
    fi
    if ! is_refused 1; then
        read_status 1
        differs open-with-random-token 'HTTP status of GET /api/kernels on TCP port {port} with a random token' \
            "$REPLY" '401 or 403' port "$NB_NOTEBOOK_PORT"
    fi
}

# Right after the host has started, the server runs but does not listen yet. With other settings, it need not listen on
# this port at all.
await_young_server() {
    local -i tenths
    for ((tenths = 0; tenths < 900; tenths++)); do
        if is_listening "$NB_NOTEBOOK_PORT" || ! is_server_young; then return 0; fi
        if ((tenths % 100 == 50)); then
            report_progress waiting-for-server 'Waiting for the server on TCP port {port}' $((tenths / 10)) 90 seconds \
                port "$NB_NOTEBOOK_PORT"
        fi
        sleep 0.1
    done
}

# Whether the process of the server started less than 90 seconds ago. Its start, in hundredths of a second since the
# kernel was started, is the twentieth field after the name in /proc/PID/stat (proc_pid_stat(5)).
is_server_young() {
    local line=''
    local -i age
    read_server_process
    { IFS= read -r line <"/proc/$REPLY/stat"; } 2>/dev/null || return 1
    if [[ ! ${line##*) } =~ ^([^ ]+\ ){19}([0-9]+)\  ]]; then return 1; fi
    read_uptime
    age=$((REPLY - BASH_REMATCH[2]))
    ((age >= 0 && age < 9000))
}

# The service step has just started the server. On a slow host, its start takes a minute.
check_apply() {
    if ! has_answered; then refuse_silent_server; fi
    assert_port_free
    assert_server_closed
}

# Wait for the server. Whether it answers.
has_answered() {
    begin_wait
    while has_time_to_start; do
        read_shown
        if ((${#ANSWERS[@]} == 2)); then return 0; fi
        if has_service_failed; then break; fi
        report_wait
        sleep 1
    done
    return 1
}

refuse_silent_server() {
    assert_port_free                               # another program may use it by now
    if is_unit; then
        read_unit "$SERVICE_UNIT" ExecMainStatus
        if ((${UNIT[ExecMainStatus]:-0} >= 200)); then refuse_unit; fi
    fi
    log_lines print_service_log
    if [[ ! $REPLY ]]; then
        fail server-silent-without-lines 'the notebook server is not responding on TCP port {port}, and its log is '\
'empty. Find the error with systemctl status nbserver (in user scope: systemctl --user status nbserver), fix it, '\
'then try again' \
            port "$NB_NOTEBOOK_PORT"
    fi
    fail server-silent-with-lines \
        'the notebook server is not responding on TCP port {port}. Fix the error that its log shows, then try again. '\
'Last lines of the log: {lines}' \
        port "$NB_NOTEBOOK_PORT" lines "$REPLY"
}

# A notebook server answers these requests with its kernels if the client is logged in, and with 403 otherwise. If it
# answers everybody, everybody can run programs, and a person must find out why.
assert_server_closed() {
    local -i i
    read_service_commands
    for i in 0 1; do
        if is_refused "$i"; then continue; fi
        read_status "$i"
        fail server-open-to-everybody 'the notebook server on TCP port {port} did not refuse a request without the '\
'password (expected HTTP status 401 or 403, got {status}), so others may be able to run programs under the server '\
'account. Stop the server ({stop}) and read its log ({log}). Remove {folder} if someone added files to it, then run '\
'nbserver apply again' \
            port "$NB_NOTEBOOK_PORT" status "$REPLY" \
            stop "$STOP_COMMAND" log "$LOG_COMMAND" folder "${NOTEBOOK_PYTHON%/*/*}"
    done
}

is_refused() { # INDEX
    [[ ${ANSWERS[$1]:-} == 401 || ${ANSWERS[$1]:-} == 403 ]]
}

# REPLY: the status of an answer, which may not be from a web server.
read_status() { # INDEX
    REPLY='no HTTP status'
    if [[ ${ANSWERS[$1]:-} =~ ^[0-9]{3}$ ]]; then REPLY=${ANSWERS[$1]}; fi
}

# SHOWN and ANSWERS: what the server on the port shows. It may answer none or one of the requests.
read_shown() {
    local address=127.0.0.1 line
    SHOWN='' ANSWERS=()
    if [[ $NB_NOTEBOOK_IP != '*' ]]; then address=$NB_NOTEBOOK_IP; fi
    if ! is_listening "$NB_NOTEBOOK_PORT"; then return 0; fi
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
