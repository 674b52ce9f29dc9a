# ---- prelude: lock ---------------------------------------------------------------------------------
# Allow only one run at a time to change this host.

# The kernel releases the lock when the process that holds descriptor 9 exits, however it exits.
enter_lock() {
    local -i code=0
    exec 9>>"$LOCK_FILE"
    # A process that only reads who has the lock (lock_owner) holds it for a moment.
    flock --wait 2 9 || code=$?
    if ((code == 1)); then
        exec 9>&-
        refuse_second_run
    fi
    if ((code)); then
        exec 9>&-
        read_last_error
        fail no-file-locks 'could not lock {path}: {error}. Its file system must support file locks. If it is a '\
'network file system, mount it with locking enabled, then try again' \
            path "$LOCK_FILE" error "${REPLY:-flock exited with code $code}"
    fi
    RUN_LOCKED=1
    printf "run %s, mode %s, by '%s', process %d, since %(%Y-%m-%dT%H:%M:%SZ)T\n" \
        "$RUN_ID" "$RUN_MODE" "${RUN_OPERATOR//[[:cntrl:]]/ }" $$ -1 >"$LOCK_FILE" ||
        problem file-not-written 'could not write {path}. Make sure that its disk is writable and has free space, '\
'then try again' path "$LOCK_FILE"
}

refuse_second_run() {
    lock_owner
    if [[ ! $REPLY ]]; then
        fail another-run-finished 'another run was changing this host and has just finished. Try again'
    fi
    fail run-in-progress 'another run is changing this host: {owner}. Wait for it to finish, then try again' \
        owner "$REPLY"
}

exit_lock() {
    if [[ ! $RUN_LOCKED ]]; then return 0; fi
    RUN_LOCKED=''
    if [[ $LEFT_HAS_ENDED ]]; then rm -f -- "$PROGRAM_FILE"; fi   # else the next run must know about it, too
    { : >"$LOCK_FILE"; } 2>/dev/null || true       # not possible on a full disk; the kernel releases the lock anyway
    exec 9>&-
}

# REPLY: who holds the lock, or ''. If the lock is free, the text in its file is from a run that crashed.
lock_owner() {
    REPLY=''
    if [[ ! -e $LOCK_FILE ]]; then return 0; fi
    if flock --shared --nonblock 7 7<"$LOCK_FILE"; then return 0; fi
    IFS= read -r REPLY <"$LOCK_FILE" || true
}
