# ---- prelude: one run at a time on this host -----------------------------------------------------------

# The kernel itself gives the lock back when the process that holds descriptor 9 ends, however it ends.
enter_lock() {
    exec 9>>"$LOCK_FILE"
    # Who asks for the owner (lock_owner) has it for a moment: that is no other run.
    if ! flock --wait 2 9; then
        exec 9>&-
        lock_owner
        fail "another run changes this host: ${REPLY:-it has just ended}. Wait until it ends, then run this again"
    fi
    RUN_LOCKED=1
    printf "run %s, mode %s, by '%s', process %d, since %(%Y-%m-%dT%H:%M:%SZ)T\n" "$RUN_ID" "$RUN_MODE" "${RUN_OPERATOR//[[:cntrl:]]/ }" $$ -1 >"$LOCK_FILE" || problem "$LOCK_FILE could not be written"
}

exit_lock() {
    if [[ ! $RUN_LOCKED ]]; then return 0; fi
    RUN_LOCKED=''
    { : >"$LOCK_FILE"; } 2>/dev/null || true       # a disk that can't be written any more; the lock itself is the kernel's
    exec 9>&-
}

# Who holds the lock, or nothing: the text is emptied when the lock is given back, and a lock that can be
# taken belongs to nobody, whatever its dead owner left in it.
lock_owner() {
    REPLY=''
    if [[ ! -e $LOCK_FILE ]]; then return; fi
    if flock --shared --nonblock 7 7<"$LOCK_FILE"; then return; fi
    IFS= read -r REPLY <"$LOCK_FILE" || true
}
