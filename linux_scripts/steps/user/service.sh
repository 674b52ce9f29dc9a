# ---- step: service ---------------------------------------------------------------------------------
# Run the notebook server as a unit of the user's own systemd, or in the background.

# It is a process in the background if that systemd is not running: see prelude/service.

step service 'The notebook server is running'

service_test() {
    if is_unit; then
        assert_own_systemd
        compare_unit
    else
        process_test
    fi
    warn_of_old_files
}

service_apply() {
    if [[ $EUID -eq 0 ]]; then warn_of_root; fi
    if ! is_unit; then
        process_apply
        return "$?"
    fi
    add_missing_parents "$UNIT_FOLDER/default.target.wants/$SERVICE_UNIT"
    warn_of_logout
    install_unit
}

warn_of_root() {
    if [[ -d /run/systemd/system ]]; then
        warn server-has-root 'the notebook server runs as root, and so does everything that users run in it. To run '\
'it as a separate user, run nbserver undo, set scope = "machine" in the inventory, then run nbserver apply'
    else
        warn server-has-root-here 'the notebook server runs as root, and so does everything that users run in it. To '\
'avoid this, run nbserver as another user'
    fi
}

warn_of_logout() {
    if [[ $(loginctl show-user --property=Linger -- "$EUID" 2>/dev/null || true) != Linger=yes ]]; then
        warn stops-at-logout 'the server stops when you log out. To keep it running, run loginctl enable-linger'
    fi
}

# REPLY: what a process was started for. If the file of the process has another text, it is restarted.
process_text() {
    started_text
    read_service
    REPLY="${SERVICE_COMMAND[*]}
${SERVICE_ENVIRONMENT[*]}
$REPLY
"
}

process_test() {
    read_process "$PROCESS_FILE"
    process_text
    if [[ ! $PROCESS ]]; then
        differs server-not-running 'the notebook server' 'not running' 'running in the background'
    elif ! has_text "$PROCESS_FILE" "$PROCESS $PROCESS_SINCE"$'\n'"$REPLY"; then
        if has_other_environment; then
            report_other_environment
        else
            differs server-outdated 'the notebook server' 'not restarted since the last change' 'restarted'
        fi
    fi
}

# A program that bash starts with & ignores Ctrl-C and Ctrl-\, and so would everything that people start in a terminal
# of the notebook. Neither bash nor the `env` of every distribution can undo that.
HEAR_SIGNALS='
import os, signal, sys
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
'

process_apply() {
    warn server-in-background 'your systemd user instance is not running, so the server runs in the background until '\
'this machine restarts or until you run nbserver stop local'
    start_background
}

restart_process() {
    assert_same_command
    start_background
}

# What the process was started with before is in its file: the command and the environment are two lines.
assert_same_command() {
    local is=''
    process_text
    IFS= read -r -d '' is <"$PROCESS_FILE" || true
    is=${is#*$'\n'}
    if [[ ${is%$'\n'*$'\n'} != "${REPLY%$'\n'*$'\n'}" ]]; then
        fail server-other-command 'the current settings start the server with a different command than before. Run '\
'nbserver apply instead'
    fi
}

start_background() {
    save_file_before "$PROCESS_LOG"
    launch_process
}

launch_process() {
    process_text
    note_start
    start_process "$PROCESS_FILE" "$PROCESS_LOG" "$REPLY" env -i "${SERVICE_ENVIRONMENT[@]}" \
        "$NOTEBOOK_PYTHON" -I -c "$HEAR_SIGNALS" "${SERVICE_COMMAND[@]}"
}
