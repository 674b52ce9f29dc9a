# ---- prelude: log_file -----------------------------------------------------------------------------
# Read the log of a server that is not a unit, from its file.

# REPLY: the complete lines in a file after the cursor (inode and offset), or the last ones.
read_log_file() { # FILE
    local node size text rest
    local -i start=0
    REPLY=''
    if [[ ! -f $1 || ! -r $1 ]]; then return 0; fi
    read -r node size < <(exec stat --format='%i %s' -- "$1")
    if [[ $LOG_CURSOR =~ ^"$node":([0-9]{1,15})$ ]] && ((BASH_REMATCH[1] <= size)); then start=${BASH_REMATCH[1]}; fi
    if ((size - start > LONGEST_LOG)); then start=$((size - LONGEST_LOG)); fi
    text=$(print_part "$1" "$start" "$((size - start))")
    text=${text%x}
    rest=${text##*$'\n'}
    text=${text%"$rest"}
    if [[ $text && ! $LOG_CURSOR ]]; then text=$(printf '%s' "$text" | print_last_lines); fi
    LOG_CURSOR=$node:$((size - ${#rest}))
    text=${text%$'\n'}
    if [[ $text ]]; then REPLY=$(printf '%s' "$text" | mask_log); fi
}

# Without the x, a command substitution would remove line feeds at the end.
print_part() { # FILE START SIZE
    dd if="$1" iflag=skip_bytes,count_bytes skip="$2" count="$3" status=none | tr '\000' ' '
    printf x
}

# Print the last lines, and none that the server wrote before $LOG_SINCE. It writes the local time, which $TZ hides from
# this script.
print_last_lines() {
    local line since='' shown=1
    local -a lines=()
    if [[ $LOG_SINCE ]]; then
        since=$(exec env -u TZ date --date="$LOG_SINCE" '+%Y-%m-%d %H:%M:%S')
        shown=''
    fi
    while IFS= read -r line; do
        if [[ $since && $line =~ ^\[[A-Z]\ ([0-9]{4}-[0-9]{2}-[0-9]{2}\ [0-9:]{8}) ]]; then
            if [[ ${BASH_REMATCH[1]} < $since ]]; then shown=''; else shown=1; fi
        fi
        if [[ $shown ]]; then lines+=("$line"); fi
    done
    if ((${#lines[@]} > LOG_LINES)); then lines=("${lines[@]: -LOG_LINES}"); fi
    if ((${#lines[@]})); then printf '%s\n' "${lines[@]}"; fi
}
