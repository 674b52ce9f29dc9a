# ---- main ------------------------------------------------------------------------------------------
# Run the steps in the mode that was asked for, and report the outcome.

# shellcheck disable=SC2317 # MODES names the functions that it seems nothing calls

is_skipped() { # STEP
    local name
    for name in "${NB_SKIP[@]}"; do
        if [[ $name == "$1" ]]; then return 0; fi
    done
    return 1
}

test_step() { # STEP
    RUN_STEP=$1
    DIFFERENCES=()
    assert_events_kept
    read_last_error                                # an earlier error is not about this step
    if ! is_skipped "$1"; then "$1_test"; fi
}

write_differences() {
    local -i i
    local is should
    for ((i = 0; i < ${#DIFFERENCES[@]}; i += 5)); do
        json_or_null "${DIFFERENCES[i + 3]}"
        is=$REPLY
        json_or_null "${DIFFERENCES[i + 4]}"
        should=$REPLY
        write_event difference code "${DIFFERENCES[i]}" is: "$is" should: "$should" \
            values: "${DIFFERENCES[i + 1]}" what "${DIFFERENCES[i + 2]}"
    done
}

json_or_null() { # TEXT
    if [[ $1 ]]; then json_string "$1"; else REPLY=null; fi
}

# Test all steps, which changes nothing.
plan() {
    local name
    for name in "${STEPS[@]}"; do
        test_step "$name"
        if ((${#DIFFERENCES[@]})); then RUN_DIFFERS=true; fi
        note_new_settings "$name"
        if is_change; then continue; fi
        if ((${#DIFFERENCES[@]})); then write_differences; else write_event unchanged; fi
    done
}

# Apply a step if something differs, then test it again: a difference that remains is a failure.
apply_step() { # STEP
    test_step "$1"
    if ((${#DIFFERENCES[@]} == 0)); then
        write_event unchanged
        return "$?"
    fi
    change_step "$1"
}

# Make the change for the differences that were found.
change_step() { # STEP
    write_event started title "${STEP_TITLES[$1]}"
    write_differences
    assert_events_kept
    "$1_apply"
    test_step "$1"
    if ((${#DIFFERENCES[@]})); then
        fail still-differs '{what} did not change as expected: expected "{should}", got "{is}". Check whether another '\
'program is changing it back, then try again' \
            what "${DIFFERENCES[2]}" is "${DIFFERENCES[3]}" should "${DIFFERENCES[4]}"
    fi
    RUN_CHANGED=$((RUN_CHANGED + 1))
    write_event changed
}

# Report a finding for each requirement.
check_host() {
    RUN_STEP=preflight
    if can_read_state; then require rotation assert_rotation_complete; fi
    test_step preflight
    check_downloads
}

apply() {
    local name
    assert_rotation_complete
    return_environments
    plan
    for name in "${STEPS[@]}"; do
        if [[ $RUN_DIFFERS == true ]]; then
            if [[ $name == notebook ]]; then begin_switch; fi
            apply_step "$name"
            if [[ $name == service ]]; then verify_switch; fi
        else                                       # nothing differs, so nothing is tested again
            RUN_STEP=$name
            write_event unchanged
        fi
    done
}

# Restore the previous state, newest change first. What cannot be restored is reported and stays in the record.
undo() {
    local line name
    local -a lines=("${RECORD[@]}")
    local -i i
    for name in "${BEFORE_UNDO[@]}"; do "$name"; done
    for ((i = ${#lines[@]} - 1; i >= 0; i--)); do
        line=${lines[i]}
        split_line "$line"
        RUN_STEP=$LINE_STEP
        assert_events_kept
        if ! undo_line "$line"; then
            RUN_OUTCOME=failed
            shorten_key
            write_message failed text not-restored \
                'could not restore {key}: {cause}. Fix this error, then run nbserver undo again' key "$REPLY"
        fi
    done
    remove_file_copies
    if [[ $RUN_OUTCOME != failed ]]; then end_rotation; fi
}

# A run that makes changes takes the lock and keeps its events on the host; other runs leave nothing behind.
start_run() {
    local name
    for name in "${BEFORE_RUN[@]}"; do "$name"; done
    if is_change; then
        start_change
    elif [[ -e $STATE_FOLDER ]] && can_read_state; then
        assert_state_folder
        read_record
    fi
    read -r RUN_SCRIPT _ < <(exec sha256sum -- "${BASH_SOURCE[0]}")
    write_event started host "$NB_HOST" mode "$RUN_MODE" operator "$RUN_OPERATOR" release "$NB_RELEASE" run "$RUN_ID" \
        script_sha256 "$RUN_SCRIPT"
    warn_of_newer_release
    if ! is_change; then return 0; fi
    write_host_log state=started
    keep_script
    end_left_program
}

start_change() {
    local folder name
    for name in "${BEFORE_CHANGE[@]}"; do "$name"; done
    initialize_state_folder
    enter_lock
    read_record
    folder=$STATE_FOLDER/runs/$RUN_ID
    if [[ -e $folder ]]; then
        fail run-id-used 'this host already has a run with the ID "{run}". Use another run ID' run "$RUN_ID"
    fi
    mkdir -p -- "$folder"
    RUN_FOLDER=$folder
    exec 8>>"$RUN_FOLDER/events.jsonl"
}

# The last thing of every run, however it ends.
finish_run() { # EXIT-CODE
    trap - ERR EXIT
    trap '' TERM INT HUP
    if [[ $RUN_MODE == events ]]; then exit "$1"; fi   # an event of this run must not be mistaken for one of the other
    if [[ ! $RUN_OUTCOME ]]; then
        RUN_OUTCOME=failed
        read_last_error
        write_message failed text script-ended 'the script stopped unexpectedly with exit code {exit_code}: {error}. '\
'Fix this error, then try again' \
            exit_code "$1" error "${REPLY:-see standard error}"
        FAILURE=("$MESSAGE_CODE" "$MESSAGE_VALUES" "$MESSAGE")
    fi
    if is_switch_to_end; then read -r RUN_EVENTS RUN_OUTCOME < <(end_switch_in_subshell) || true; fi
    RUN_STEP=''
    if [[ $RUN_FOLDER && $RUN_SCRIPT ]]; then
        write_host_log state=finished outcome="$RUN_OUTCOME" changed="$RUN_CHANGED" reboot="$RUN_REBOOT"
    fi
    write_event finished outcome "$RUN_OUTCOME" differs: "$RUN_DIFFERS" changed: "$RUN_CHANGED" reboot: "$RUN_REBOOT" \
        fingerprint "$RUN_FINGERPRINT"
    exit_lock
    if [[ $RUN_OUTCOME != ok ]]; then exit 3; fi
    if [[ $RUN_REBOOT == true ]]; then exit 102; fi
    if [[ $RUN_MODE == @(test|status) && $RUN_DIFFERS == true ]]; then exit 2; fi
    exit 0
}

# A command failed that no function handles: report the problem that it left, or its exit code.
# shellcheck disable=SC2317 # a trap calls it
give_up() { # CODE COMMAND
    if [[ $BASHPID != "$$" ]]; then exit "$1"; fi  # a subshell: its parent gets the exit code
    trap - ERR
    RUN_OUTCOME=failed
    line_of_step
    if [[ $RUN_MODE == events ]]; then exit 3; fi
    if [[ $PROBLEM ]]; then
        write_event failed code "$PROBLEM_CODE" values: "$PROBLEM_VALUES" text "$PROBLEM" at "line $REPLY"
        FAILURE=("$PROBLEM_CODE" "$PROBLEM_VALUES" "$PROBLEM")
    else
        local line=$REPLY program=${2%%[[:space:]]*}
        if [[ $(type -t -- "$program") != file ]]; then program='the script'; fi   # a part of bash, or a function
        read_last_error
        write_message failed text command-failed '{command} exited with code {exit_code}: {error}. Fix this error, '\
'then try again' \
            command "$program" exit_code "$1" error "${REPLY:-no error output}" -- at "line $line"
        FAILURE=("$MESSAGE_CODE" "$MESSAGE_VALUES" "$MESSAGE")
    fi
    exit 3
}

# The first event has the hash of the script, which only a file has: what a pipe contained is gone.
assert_script_is_file() {
    if [[ -f ${BASH_SOURCE[0]} ]]; then return 0; fi
    fail script-is-no-file 'the script must be a file on this host, but it was read from a pipe or an argument. Copy '\
'{host}.sh to the host, then run on the host: bash {host}.sh' \
        host "$NB_HOST"
}

# Mode test.
test_host() {
    if can_read_state; then assert_rotation_complete; fi
    plan
}

# Mode status.
show_host() {
    report_status
    test_host
}

main() { # [MODE [--thorough] [--repair]] | envelope
    # Events go to the original standard output; what anything else prints cannot be mistaken for one.
    exec 3>&1 1>&2
    read_last_error                                # a file may already contain lines
    trap 'give_up "$?" "$BASH_COMMAND"' ERR
    trap 'finish_run "$?"' EXIT
    trap stop_run TERM INT HUP
    trap : PIPE                                    # nobody reads the events any more: they are in their file
    RUN_MODE='test'
    if [[ ${1:-} == envelope ]]; then
        read_envelope
    else
        read_mode "${1:-test}"
        read_options "${@:2}"
    fi
    exec </dev/null
    assert_script_is_file
    name_run
    if [[ $RUN_MODE == events ]]; then send_events_after; exit 0; fi
    start_run
    "${MODES[$RUN_MODE]}"
    assert_events_kept
    RUN_OUTCOME=${RUN_OUTCOME:-ok}
    exit 0
}

main "$@"
