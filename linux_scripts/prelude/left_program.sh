# ---- prelude: left_program -------------------------------------------------------------------------
# Stop a program that an interrupted run left running.

# The kernel releases the lock of a run that is killed, for example because memory is short. Its program continues, and
# would change the same files as the next run. So the file names it while it runs.
PROGRAM_FILE=$STATE_FOLDER/program                 # its session, the run, and whether it must run to its end
LEFT=()                                            # of read_left_processes
LEFT_HAS_ENDED=''                                  # no program of an earlier run is left

# A service that the program starts has its own session, so it is left alone.
note_program() {
    if [[ $RUN_LOCKED ]]; then
        { printf '%d %s %s\n' "$CHILD" "$RUN_ID" "${CHILD_TO_ITS_END:-0}" >"$PROGRAM_FILE"; } 2>/dev/null || true
    fi
}

# LEFT: the processes in the session that have the run in their environment. Another session may have that number by
# now. The session is the fourth field after the name in /proc/PID/stat (proc_pid_stat(5)); Z is a process that exited.
read_left_processes() { # SESSION RUN
    local folder line word
    local -a words=()
    LEFT=()
    for folder in /proc/[0-9]*; do
        { IFS= read -r line <"$folder/stat"; } 2>/dev/null || continue
        if [[ ! ${line##*) } =~ ^[^Z]\ [0-9]+\ [0-9]+\ $1\  ]]; then continue; fi
        { mapfile -d '' -t words <"$folder/environ"; } 2>/dev/null || continue
        for word in "${words[@]}"; do
            if [[ $word == "NBSERVER_RUN=$2" ]]; then LEFT+=("${folder##*/}"); fi
        done
    done
}

end_left_program() {
    await_left_program
    LEFT_HAS_ENDED=1
}

# Send SIGTERM, and SIGKILL after 20 seconds. A package manager is not interrupted.
await_left_program() {
    local session='' run='' to_its_end=''
    local -i tenths
    if [[ ! -e $PROGRAM_FILE ]]; then return 0; fi
    read -r session run to_its_end <"$PROGRAM_FILE" || true
    if [[ ! $session =~ ^[1-9][0-9]*$ || ! $run ]]; then return 0; fi
    for ((tenths = 0; tenths < 3000; tenths++)); do
        read_left_processes "$session" "$run"
        if ((${#LEFT[@]} == 0)); then return 0; fi
        if ((tenths == 0)); then
            warn waiting-for-left-program 'run {run} was interrupted, but a program that it started is still running '\
'(process {id}). Waiting for it to exit' run "$run" id "${LEFT[0]}"
        fi
        if [[ $to_its_end == 0 ]]; then
            if ((tenths == 0)); then kill -TERM "${LEFT[@]}" 2>/dev/null || true; fi
            if ((tenths == 200)); then kill -KILL "${LEFT[@]}" 2>/dev/null || true; fi
        fi
        sleep 0.1
    done
    fail left-program-runs 'run {run} was interrupted, and a program that it started is still running (process {id}). '\
'Wait for this program to finish, or stop it, then try again' run "$run" id "${LEFT[0]}"
}
