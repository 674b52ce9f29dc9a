# ---- prelude: programs -----------------------------------------------------------------------------
# Run other programs until they exit, and report their output.

CHILD='' CHILD_TO_ITS_END=''                       # the program that runs, and whether a stop waits for it
EXIT_CODE=0                                        # of the last program
OUTPUT=()                                          # the last 50 lines of its output
HAS_START_PIPE=''                                  # descriptor 4: a line in it starts the program

# Run a program until it exits, in its own session: no terminal, no input, none of this script's descriptors.
# Its output becomes log events, line by line. An exit code that --accept does not name is a problem, with the
# message of --failure. Its values are {program}, {exit_code}, {output} (the errors in the output, or its last lines),
# and that of --value.
# --to-its-end: a stop waits for the program, because it must not be interrupted (package managers).
# env: this script sets the variables in the environment of the program. The program env is not used: a proxy or an
# index may contain a password, and everybody can read the arguments of programs.
# run_program [--accept 'CODE...'] [--failure CODE TEXT [--value NAME VALUE]] [--to-its-end]
#     [env NAME=VALUE...] PROGRAM [ARGUMENT...]
run_program() {
    local accept=0 code=program-failed text='{program} exited with code {exit_code}: {output}' word name=''
    local -a further=()
    CHILD_TO_ITS_END=''
    while [[ $1 == --* ]]; do
        case $1 in
            --accept) accept=$2; shift 2 ;;
            --failure) code=$2 text=$3; shift 3 ;;
            --value) further=("$2" "$3"); shift 3 ;;
            --to-its-end) CHILD_TO_ITS_END=1; shift ;;
            *) fail unknown-option 'internal error (a bug in nbserver): run_program has no option {option}. Report '\
'this bug, and include this message' option "$1" ;;
        esac
    done
    for word in "$@"; do
        if [[ $word != env && $word != *=* ]]; then name=${word##*/}; break; fi
    done
    CHILD=starting
    if [[ ! $HAS_START_PIPE ]]; then
        exec 4<> <(:)
        HAS_START_PIPE=1
    fi
    exec 7< <(become_program "$@")
    CHILD=$!
    note_program
    if [[ $RUN_STOPPING ]]; then stop_run; fi
    printf '\n' >&4
    report_output "$name"
    exec 7<&-
    await_child
    CHILD=''
    if [[ $RUN_STOPPING ]]; then end_stopped; fi
    assert_events_kept
    if [[ " $accept " == *" $EXIT_CODE "* ]]; then return 0; fi
    error_text
    format_message "$code" "$text" program "$name" exit_code "$EXIT_CODE" output "$REPLY" "${further[@]}"
    PROBLEM=$MESSAGE PROBLEM_CODE=$MESSAGE_CODE PROBLEM_VALUES=$MESSAGE_VALUES
    return 1
}

# Replace this subshell by the program, as soon as run_program writes a line: bash 5.2 loses the exit code of a process
# that exits before bash has registered it. If the script is killed first, read fails, and nothing starts.
become_program() { # [env NAME=VALUE...] PROGRAM [ARGUMENT...]
    exec 4</dev/fd/4                               # without the end that writes
    IFS= read -r -u 4 || exit
    export NBSERVER_RUN=$RUN_ID                    # see prelude/left_program
    unset TZ                                       # their logs have the time of the host, as usual
    umask 022                                      # everybody may read what programs create, as usual
    if [[ $1 == env ]]; then
        shift
        while [[ $1 == *=* ]]; do
            # shellcheck disable=SC2163            # it is NAME=VALUE
            export "$1"
            shift
        done
    fi
    exec setsid -- "$@" </dev/null 2>&1 3>&- 4>&- 5>&- 6>&- 8>&- 9>&-
}

# Read descriptor 7 to its end. Of a progress bar, only the last state of a line is reported.
report_output() { # PROGRAM
    local line='' part status
    OUTPUT=()
    while :; do
        # With a time limit, because read does not notice a signal that came just before it.
        status=0
        IFS= read -r -t 5 part <&7 || status=$?
        line+=$part
        if ((status > 128)); then continue; fi
        if ((status)) && [[ ! $line ]]; then break; fi
        line=${line%$'\r'}
        line=${line##*$'\r'}
        if [[ ${line//[[:space:]]/} ]]; then
            OUTPUT+=("$line")
            if ((${#OUTPUT[@]} > 50)); then OUTPUT=("${OUTPUT[@]:1}"); fi
            write_event log program "$1" text "${line:0:4000}"
            # What uv does next takes the longest, and it says so only at the end.
            if [[ $1 == uv && $line == 'Installed '* ]]; then
                report_start compiling-modules 'Compiling the Python modules'
            fi
        fi
        line=''
    done
}

# A signal ends the wait, but not the program: then it is awaited again.
await_child() {
    EXIT_CODE=0
    wait "$CHILD" || EXIT_CODE=$?
    while kill -0 "$CHILD" 2>/dev/null; do
        EXIT_CODE=0
        wait "$CHILD" || EXIT_CODE=$?
    done
}

# Wait for a program that was started with "&" while CHILD was "starting". A stop ends it.
await_background() { # PROCESS
    CHILD=$1
    if [[ $RUN_STOPPING ]]; then stop_run; fi
    await_child
    CHILD=''
    if [[ $RUN_STOPPING ]]; then end_stopped; fi
}

# REPLY: what explains a failure, in at most 800 characters: everything from the first line that says "error", "fatal",
# or "E:", and the last warning before it, which often has the reason. Without such a line: the last eight lines.
error_text() {
    local line text='' warning=''
    for line in "${OUTPUT[@]}"; do
        if [[ $text || $line == [Ee][Rr][Rr][Oo][Rr]* || $line == [Ff]atal* || $line == E:* ]]; then
            text+=" / $line"
        elif [[ $line == WARNING* ]]; then
            warning=" / $line"
        fi
    done
    if [[ $text ]]; then
        text=$warning$text
    elif ((${#OUTPUT[@]})); then
        printf -v text ' / %s' "${OUTPUT[@]: -(${#OUTPUT[@]} < 8 ? ${#OUTPUT[@]} : 8)}"
    fi
    text=${text# / }
    if ((${#text} > 800)); then text=${text:0:800}...; fi
    REPLY=${text:-(none)}
}

# Stop the run: first the program, or wait until it exits.
stop_run() {
    RUN_STOPPING=1
    if [[ ! $CHILD ]]; then end_stopped; fi
    if [[ $CHILD == starting ]]; then return 0; fi # run_program calls this again
    if [[ ! $CHILD_TO_ITS_END ]]; then
        { kill -TERM -- "-$CHILD" || kill -TERM "$CHILD"; } 2>/dev/null || true
    fi
}

end_stopped() {
    RUN_OUTCOME=stopped
    exit 3
}
