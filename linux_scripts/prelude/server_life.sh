# ---- prelude: server_life --------------------------------------------------------------------------
# Restart or stop the installed server: modes restart and stop.

# The server starts as it is installed. What differs from the settings stays as it is until the next apply.

SERVER_SECONDS=180                                 # in which a server must start
WAIT_BEGIN=0 WAIT_REPORTED=0                       # of begin_wait; the seconds after which report_wait reports next

MODES['restart']=restart_server
MODES['stop']=stop_server
CHANGING_MODES+=(restart stop)

# Mode restart, which also starts a server that was stopped.
restart_server() {
    assert_installed
    assert_may_start
    report_restart
    make_change restart_and_check
    prove_server
}

report_restart() {
    RUN_STEP=service DIFFERENCES=()
    read_server_process
    if ((REPLY)); then
        differs server-restarts 'the notebook server' 'running' 'restarted'
    else
        differs server-starts 'the notebook server' 'stopped' 'running'
    fi
}

restart_and_check() {
    restart_service
    if ((EXIT_CODE)); then refuse_unit; fi
}

# Mode stop. The server stays stopped when the host restarts, until a restart or an apply.
stop_server() {
    assert_installed
    RUN_STEP=service DIFFERENCES=()
    read_server_process
    if ((REPLY)); then
        differs server-stops 'the notebook server' 'running' 'stopped'
    elif has_start_with_system; then
        differs server-stays-stopped 'the notebook server' 'set to start with the system' \
            'not set to start with the system'
    else
        write_event unchanged
        return "$?"
    fi
    make_change keep_stopped
    read_server_process
    if ((REPLY)); then
        fail server-not-stopped 'the notebook server is running as process {id}, although nbserver has just stopped '\
'it. Find out what starts it, then try again' id "$REPLY"
    fi
}

assert_installed() {
    RUN_STEP=service
    if has_recorded_service; then assert_set_up; else refuse_absent_server; fi
}

assert_set_up() {
    if ! is_set_up; then refuse_absent_server; fi
}

refuse_absent_server() {
    fail server-not-installed 'this host has no notebook server managed by nbserver. Run nbserver apply first'
}

# RUN_FINGERPRINT: of the certificate of the server.
assert_may_start() {
    assert_no_open_rotation
    assert_has_certificate
    RUN_STEP=service
    assert_can_restart
}

# After an incomplete rotation, earlier users could still log in to a server that starts.
assert_no_open_rotation() {
    read_rotation
    if [[ $ROTATION_RUN ]]; then
        fail rotation-incomplete-start 'nbserver rotate was interrupted (run {run}), so earlier users could still log '\
'in if the server started. Run nbserver rotate again' run "$ROTATION_RUN"
    fi
}

assert_has_certificate() {
    RUN_STEP=certificate
    read_certificate
    if [[ ! $RUN_FINGERPRINT ]]; then
        fail server-without-certificate 'the server has no valid certificate, so it cannot start. Run nbserver apply '\
'instead'
    fi
}

# Make a change of this part for the differences that were found. The step's own test is about the settings.
make_change() { # FUNCTION [ARGUMENT...]
    write_event started title "${STEP_TITLES[$RUN_STEP]}"
    write_differences
    assert_events_kept
    "$@"
    RUN_CHANGED=$((RUN_CHANGED + 1))
    write_event changed
}

# Wait until the server shows the installed certificate and refuses requests without the password.
prove_server() {
    RUN_STEP=check DIFFERENCES=() SWITCH_MAY_BE_OPEN=1
    differs server-proven 'certificate on TCP port {port}' '' "$RUN_FINGERPRINT" port "$NB_NOTEBOOK_PORT"
    change_step check
}

begin_wait() {
    read_uptime
    WAIT_BEGIN=$REPLY WAIT_REPORTED=5
}

# Whether the server still has time to start. A server that hangs makes each question take seconds, too.
has_time_to_start() {
    read_seconds_since "$WAIT_BEGIN"
    ((REPLY < SERVER_SECONDS))
}

# Every ten seconds.
report_wait() {
    read_seconds_since "$WAIT_BEGIN"
    if ((REPLY < WAIT_REPORTED)); then return 0; fi
    WAIT_REPORTED=$((REPLY + 10))
    report_progress waiting-for-server 'Waiting for the server on TCP port {port}' "$REPLY" "$SERVER_SECONDS" seconds \
        port "$NB_NOTEBOOK_PORT"
}
