# ---- main ----------------------------------------------------------------------------------------------

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
    assert_kept
    read_last_error                                # what came before is not about this step
    if ! is_skipped "$1"; then "$1_test"; fi
}

write_differences() {
    local -i i
    local is should
    for ((i = 0; i < ${#DIFFERENCES[@]}; i += 3)); do
        is=is should=should
        if [[ ! ${DIFFERENCES[i + 1]} ]]; then is=is: DIFFERENCES[i + 1]=null; fi
        if [[ ! ${DIFFERENCES[i + 2]} ]]; then should=should: DIFFERENCES[i + 2]=null; fi
        write_event difference what "${DIFFERENCES[i]}" "$is" "${DIFFERENCES[i + 1]}" "$should" "${DIFFERENCES[i + 2]}"
    done
}

# What differs from what the steps want. Leaves the host alone.
plan() {
    local name
    for name in "${STEPS[@]}"; do
        test_step "$name"
        if ((${#DIFFERENCES[@]})); then RUN_DIFFERS=true; fi
        if [[ $RUN_MODE != test ]]; then continue; fi
        if ((${#DIFFERENCES[@]})); then write_differences; else write_event unchanged; fi
    done
}

# Apply where something differs, then test again: what is still different then has failed.
apply_step() { # STEP
    test_step "$1"
    if ((${#DIFFERENCES[@]} == 0)); then
        write_event unchanged
        return
    fi
    write_event started title "${STEP_TITLES[$1]}"
    write_differences
    assert_kept
    "$1_apply"
    test_step "$1"
    if ((${#DIFFERENCES[@]})); then fail "${DIFFERENCES[0]} is still '${DIFFERENCES[1]}' instead of '${DIFFERENCES[2]}'"; fi
    RUN_CHANGED=$((RUN_CHANGED + 1))
    write_event changed
}

apply() {
    local name
    plan
    for name in "${STEPS[@]}"; do
        if [[ $RUN_DIFFERS == true ]]; then
            apply_step "$name"
        else                                       # nothing differs, so nothing is tested again
            RUN_STEP=$name
            write_event unchanged
        fi
    done
}

# Puts back what was there before, newest first. What can't be put back stays in the record and is told.
undo() {
    local line
    local -a lines=("${RECORD[@]}")
    local -i i
    stop_recorded_units
    stop_recorded_processes
    for ((i = ${#lines[@]} - 1; i >= 0; i--)); do
        split_line "${lines[i]}"
        RUN_STEP=$LINE_STEP
        assert_kept
        line=${lines[i]}
        if ! undo_line "$line"; then
            RUN_OUTCOME=failed
            key_in_words
            write_event failed text "$REPLY could not be put back: ${PROBLEM:-see above}. Mend what stands in its way, then run undo again"
        fi
    done
    remove_file_copies
}

# A run that changes something holds the lock and keeps its events; a test leaves no trace.
start_run() {
    local hash folder
    assert_scope
    if [[ $RUN_MODE == test ]]; then
        if [[ -e $STATE_FOLDER && ($EUID -eq 0 || $NB_SCOPE == user) ]]; then
            assert_state_folder
            read_record
        fi
    else
        if [[ $EUID -ne 0 && $NB_SCOPE == machine ]]; then fail 'root rights are missing. Run this as root, or with sudo'; fi
        initialize_state_folder
        enter_lock
        read_record
        folder=$STATE_FOLDER/runs/$RUN_ID
        if [[ -e $folder ]]; then fail "run '$RUN_ID' was here before; a run's name is used once"; fi
        mkdir -p -- "$folder"
        RUN_FOLDER=$folder
        exec 8>>"$RUN_FOLDER/events.jsonl"
    fi
    read -r hash _ < <(sha256sum -- "${BASH_SOURCE[0]}")
    write_event started host "$NB_HOST" mode "$RUN_MODE" operator "$RUN_OPERATOR" release "$NB_RELEASE" run "$RUN_ID" script_sha256 "$hash"
}

# The last thing of every run, however it ends.
# shellcheck disable=SC2317 # a trap calls it
finish_run() { # EXIT-CODE
    trap - ERR EXIT
    trap '' TERM INT HUP
    if [[ $RUN_MODE == events ]]; then exit "$1"; fi   # what this run says must not pass for what the other said
    if [[ ! $RUN_OUTCOME ]]; then
        RUN_OUTCOME=failed
        read_last_error
        write_event failed text "the script ended with code $1 and did not say why; bash's own words: ${REPLY:-see standard error}"
    fi
    RUN_STEP=''
    write_event finished outcome "$RUN_OUTCOME" differs: "$RUN_DIFFERS" changed: "$RUN_CHANGED" reboot: "$RUN_REBOOT" fingerprint "$RUN_FINGERPRINT"
    exit_lock
    if [[ $RUN_OUTCOME != ok ]]; then exit 3; fi
    if [[ $RUN_REBOOT == true ]]; then exit 102; fi
    if [[ $RUN_MODE == test && $RUN_DIFFERS == true ]]; then exit 2; fi
    exit 0
}

# A command failed that nobody asked about.
# shellcheck disable=SC2317 # a trap calls it
give_up() { # CODE COMMAND
    if [[ $BASHPID != "$$" ]]; then exit "$1"; fi  # a subshell: the shell above it hears of it
    local problem=$PROBLEM line
    trap - ERR
    RUN_OUTCOME=failed
    line_of_step
    line=$REPLY
    read_last_error
    if [[ $RUN_MODE != events ]]; then write_event failed text "${problem:-$2 ended with code $1${REPLY:+. Its last words: $REPLY}}" at "line $line"; fi
    exit 3
}

main() { # [test|apply|undo|envelope]
    # Events go to where standard output went; what anything else prints cannot pass for one.
    exec 3>&1 1>&2
    read_last_error                                # a file may hold lines of others
    trap 'give_up "$?" "$BASH_COMMAND"' ERR
    trap 'finish_run "$?"' EXIT
    trap stop_run TERM INT HUP
    trap : PIPE                                    # nobody reads the events any more: they are in their file
    RUN_MODE='test'
    case ${1:-test} in
        test | apply | undo) RUN_MODE=${1:-test} ;;
        envelope) read_envelope ;;
        *) fail "'$1' is no mode: test, apply or undo" ;;
    esac
    exec </dev/null
    name_run
    if [[ $RUN_MODE == events ]]; then send_events_after; exit 0; fi
    start_run
    case $RUN_MODE in
        test) plan ;;
        apply) apply ;;
        undo) undo ;;
    esac
    assert_kept
    RUN_OUTCOME=${RUN_OUTCOME:-ok}
    exit 0
}

main "$@"
