# ---- prelude: server_log ---------------------------------------------------------------------------
# Send the log of the notebook server: mode logs.

# A line of the envelope says how many lines, since when, and after which place in the log (the cursor). If it also says
# how long to wait for more, that is 60 seconds at most, and the sender asks again: when a connection is lost, nothing
# continues to run here. What could be a login token, a password, or a hash of one is masked.

LOG_LINES=100 LOG_SINCE='' LOG_SECONDS=0 LOG_CURSOR=''   # from the envelope
LOG_SENT=0                                         # bytes
LONGEST_LOG=4000000                                # bytes that are read at once

MODES['logs']=send_server_log

# read_service_log, which each scope has, calls read_journal or read_log_file.
send_server_log() {
    local -i begin
    assert_set_up
    read_uptime
    begin=$REPLY
    while :; do
        read_service_log
        if [[ $REPLY ]]; then send_log "$REPLY"; fi
        read_seconds_since "$begin"
        if ((REPLY >= LOG_SECONDS)); then break; fi
        sleep 1
    done
    if [[ $LOG_CURSOR ]]; then send_pieces cursor 0 < <(printf '%s' "$LOG_CURSOR"); fi
}

send_log() { # TEXT
    send_pieces log "$LOG_SENT" < <(printf '%s\n' "$1")
    LOG_SENT=$((LOG_SENT + ${#1} + 1))
}

# REPLY: the lines in the journal after the cursor, or the last ones. The cursor is in the last line that journalctl
# prints; lines of the log begin with a time.
read_journal() {
    local text line
    local -a options=("${SYSTEMCTL[@]:1}" --unit="$SERVICE_UNIT" --output=short-iso --utc --no-hostname --no-pager)
    options+=(--quiet --show-cursor)
    if [[ $LOG_CURSOR ]]; then
        options+=(--after-cursor="$LOG_CURSOR")
    else
        options+=(--lines="$LOG_LINES")
        if [[ $LOG_SINCE ]]; then options+=(--since="$(exec date --date="$LOG_SINCE" +@%s)"); fi
    fi
    if ! text=$(journalctl "${options[@]}" | tail -c "$LONGEST_LOG"); then
        read_last_error                            # without new lines, journalctl has no cursor and exits with code 1
        if [[ $REPLY ]]; then
            fail log-not-read 'could not read the server log: {error}. Fix this error, then try again' error "$REPLY"
        fi
    fi
    line=${text##*$'\n'}
    REPLY=''
    if [[ $line == '-- cursor: '* ]]; then
        LOG_CURSOR=${line#'-- cursor: '}
        text=${text%"$line"}
        text=${text%$'\n'}
    fi
    if [[ $text ]]; then REPLY=$(printf '%s' "$text" | mask_log); fi
}

# Print lines of at most 4,000 bytes, without secrets.
mask_log() {
    sed -E -e 's/^(.{4000}).+/\1 .../' -e 's/([?&;](token|password|code|_xsrf)=)[^][&;[:space:]"]+/\1***/g' \
        -e 's/([Aa]uthorization[^A-Za-z]+([Tt]oken|[Bb]earer|[Bb]asic) +)[^[:space:]"]+/\1***/g' \
        -e 's/\b(argon2|sha1|sha256):[A-Za-z0-9$:+/=,-]{8,}/\1:***/g'
}
