# ---- prelude: other programs, all through this one wrapper ---------------------------------------------

CHILD='' CHILD_TO_ITS_END=''                       # the program that runs now, and whether a stop waits for it
EXIT_CODE=0                                        # of the last one

# Runs a program to its end, in a session of its own: no terminal, no input, none of this script's
# descriptors. What it prints becomes log events, line by line. An exit code that --accept does not name is
# a problem, told with --todo, what a person can do about it, and the program's last words.
# --to-its-end: a stop waits for it, because it must not be cut off (package managers).
# env: the variables are put into its environment by this script, not by the program env: a proxy or an index may
# hold a password, and everybody can read the arguments of programs.
run_program() { # [--accept 'CODE...'] [--todo TEXT] [--to-its-end] [env NAME=VALUE...] PROGRAM [ARGUMENT...]
    local accept=0 todo='' word name='' line='' part words code
    local -a last=()
    CHILD_TO_ITS_END=''
    while [[ $1 == --* ]]; do
        case $1 in
            --accept) accept=$2; shift 2 ;;
            --todo) todo=". $2"; shift 2 ;;
            --to-its-end) CHILD_TO_ITS_END=1; shift ;;
            *) fail "run_program does not know $1" ;;
        esac
    done
    for word in "$@"; do
        if [[ $word != env && $word != *=* ]]; then name=${word##*/}; break; fi
    done
    CHILD=starting
    exec 7< <(
        umask 022                                  # what they make is for all to read, as usual
        if [[ $1 == env ]]; then
            shift
            while [[ $1 == *=* ]]; do
                # shellcheck disable=SC2163        # it is NAME=VALUE
                export "$1"
                shift
            done
        fi
        exec setsid -- "$@" </dev/null 2>&1 3>&- 6>&- 8>&- 9>&-
    )
    CHILD=$!
    if [[ $RUN_STOPPING ]]; then stop_run; fi
    while :; do
        # With a limit: read does not hear of a signal that came just before it.
        code=0
        IFS= read -r -t 5 part <&7 || code=$?
        line+=$part
        if ((code > 128)); then continue; fi
        if ((code)) && [[ ! $line ]]; then break; fi
        line=${line%$'\r'}
        line=${line##*$'\r'}                       # of a progress bar only its last state
        if [[ ${line//[[:space:]]/} ]]; then
            last+=("$line")
            if ((${#last[@]} > 12)); then last=("${last[@]:1}"); fi
            write_event log program "$name" text "${line:0:4000}"
        fi
        line=''
    done
    exec 7<&-
    EXIT_CODE=0
    wait "$CHILD" || EXIT_CODE=$?
    while kill -0 "$CHILD" 2>/dev/null; do         # a signal ended the waiting, not the program
        EXIT_CODE=0
        wait "$CHILD" || EXIT_CODE=$?
    done
    CHILD=''
    if [[ $RUN_STOPPING ]]; then end_stopped; fi
    assert_kept
    if [[ " $accept " == *" $EXIT_CODE "* ]]; then return 0; fi
    printf -v words ' / %s' "${last[@]}"
    if ((${#last[@]} == 0)); then words=''; fi
    PROBLEM="$name ended with code $EXIT_CODE$todo${words/# \//. Its last words:}"
    return 1
}

# Somebody wants this run to stop: the program that runs is ended, or awaited, then the run.
stop_run() {
    RUN_STOPPING=1
    if [[ ! $CHILD ]]; then end_stopped; fi
    if [[ $CHILD == starting ]]; then return 0; fi # run_program comes back here
    if [[ ! $CHILD_TO_ITS_END ]]; then { kill -TERM -- "-$CHILD" || kill -TERM "$CHILD"; } 2>/dev/null || true; fi
}

end_stopped() {
    RUN_OUTCOME=stopped
    exit 3
}
