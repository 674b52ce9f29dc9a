# ---- prelude: events -------------------------------------------------------------------------------
# Report events: lines of JSON, which are the only output of this script.

# The number n increases by one per event, so that a reader notices a gap. A test leaves nothing on the host; other
# runs write their events to a file on the host before they send them.
# If KEY ends with a colon, VALUE is JSON: a number, true, false, null, or an object.
# Events go to descriptor 3; all other output goes to standard error (see main).
write_event() { # EVENT [KEY VALUE]...
    local line
    event_time
    line="{\"v\":1,\"n\":$((RUN_EVENTS + 1)),\"time\":\"$REPLY\",\"step\":\"$RUN_STEP\",\"event\":\"$1\""
    shift
    while (($#)); do
        if [[ $1 == *: ]]; then
            line+=",\"${1%:}\":$2"
        else
            json_string "$2"
            line+=",\"$1\":$REPLY"
        fi
        shift 2
    done
    if [[ $RUN_FOLDER && ! $RUN_NOT_KEPT ]] && ! printf '%s}\n' "$line" >&8; then
        # After the first event that cannot be written, none is: those behind a torn line would be lost.
        read_last_error
        RUN_NOT_KEPT=${REPLY:-unknown error}
    fi
    RUN_EVENTS=$((RUN_EVENTS + 1))
    printf '%s}\n' "$line" >&3 2>/dev/null || true   # nobody reads any more; the file has the event
}

# REPLY: the time in UTC with seven digits of a second. Bash 4.4 has no EPOCHREALTIME, and writes zeros.
event_time() {
    local fraction=0000000 now
    if [[ ${EPOCHREALTIME:-} ]]; then
        now=$EPOCHREALTIME
        fraction=${now#*.}0
        printf -v now '%(%Y-%m-%dT%H:%M:%S)T' "${now%.*}"
    else
        printf -v now '%(%Y-%m-%dT%H:%M:%S)T' -1
    fi
    REPLY=$now.${fraction}Z
}

# The events on the host are evidence: without them, a run does not continue.
assert_events_kept() {
    if [[ $RUN_NOT_KEPT && ! $RUN_ENDING ]]; then
        fail events-not-kept 'could not write the events of this run to {folder}: {error}. Fix this error (for '\
'example, free some disk space), then try again' \
            folder "$RUN_FOLDER" error "$RUN_NOT_KEPT"
    fi
}

# Send what run $RUN_ID wrote after event $RUN_AFTER, and continue as long as that run holds the lock.
send_events_after() {
    local file=$STATE_FOLDER/runs/$RUN_ID/events.jsonl line='' part running
    if [[ ! -e $file ]]; then
        printf '%s\n' "this host has no run with the ID \"$RUN_ID\". Check the run ID, the name of the run directory" \
            >&2
        exit 3
    fi
    exec 8<"$file"
    while :; do
        # The lock is checked before the file is read, so that everything written before its release is read.
        lock_owner
        running=''
        if [[ $REPLY == "run $RUN_ID,"* ]]; then running=1; fi
        # A line that is still being written, or torn by a crash, is left out.
        while IFS= read -r part <&8; do
            line+=$part
            send_line "$line"
            line=''
        done
        line+=$part
        if [[ ! $running ]]; then break; fi
        sleep 0.5
    done
}

send_line() { # LINE
    if [[ $1 =~ ^\{\"v\":1,\"n\":([0-9]{1,9}), ]] && ((BASH_REMATCH[1] > RUN_AFTER)); then
        printf '%s\n' "$1" >&3
        RUN_AFTER=${BASH_REMATCH[1]}
    fi
}
