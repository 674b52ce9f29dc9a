# ---- prelude: processes ----------------------------------------------------------------------------
# Run a program in the background, where no systemd is available.

# Its file has a line `PID START BOOT`, which no other process can have, and then the text that it was started for.

PROCESS='' PROCESS_SINCE=''                        # of the process that was read last; '' if it does not run

read_process() { # FILE
    local pid='' since=''
    PROCESS='' PROCESS_SINCE=''
    if [[ ! -r $1 ]]; then return 0; fi
    read -r pid since <"$1" || true
    if [[ ! $pid =~ ^[1-9][0-9]*$ ]]; then return 0; fi
    process_since "$pid"
    if [[ $REPLY && $REPLY == "$since" ]]; then PROCESS=$pid PROCESS_SINCE=$since; fi
}

# REPLY: when the process was started, in clock ticks since the kernel was, and the ID of that boot; '' if it does not
# run. In /proc/PID/stat (proc_pid_stat(5)), the second field is the name in parentheses, which may have any character.
# So the fields are counted from the last parenthesis: the state (Z: it has exited) is the first one after it, and the
# start time is the twentieth.
process_since() { # PID
    local line='' boot=''
    REPLY=''
    if [[ ! -r /proc/$1/stat ]]; then return 0; fi
    { IFS= read -r line </proc/"$1"/stat; } 2>/dev/null || true
    { read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null || true
    line=${line##*) }
    if [[ $line != Z* && $line =~ ^([^ ]+\ ){19}([0-9]+)\  ]]; then REPLY="${BASH_REMATCH[2]} $boot"; fi
}

# Kind process: its file. The process writes the file itself, so that it never runs without one.
start_process() { # FILE LOG TEXT PROGRAM [ARGUMENT...]
    local -i i
    local file=$1 log=$2 text=$3
    shift 3
    save_before process "$file" ''
    stop_process "$file"
    (
        cd /
        process_since "$BASHPID"
        write_whole "$file" "$PROGRAM_OWNER" 600 "$BASHPID $REPLY"$'\n'"$text"
        exec setsid -- "$@" </dev/null >>"$log" 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
    ) &
    for ((i = 0; i < 100; i++)); do
        read_process "$file"
        if [[ $PROCESS == "$!" ]]; then return 0; fi
        sleep 0.05
    done
}

# Send SIGTERM, and SIGKILL after 20 seconds.
stop_process() { # FILE
    local -i tenths
    for ((tenths = 0; tenths < 300; tenths++)); do
        read_process "$1"
        if [[ ! $PROCESS ]]; then return 0; fi
        if ((tenths == 0)); then kill -TERM "$PROCESS" 2>/dev/null || true; fi
        if ((tenths == 200)); then kill -KILL "$PROCESS" 2>/dev/null || true; fi
        if ((tenths % 50 == 49)); then
            report_progress stopping-process 'Stopping process {id}' $(((tenths + 1) / 10)) 30 seconds id "$PROCESS"
        fi
        sleep 0.1
    done
    problem process-not-stopped 'process {id} did not exit within 30 seconds, even after SIGKILL. Restart this '\
'machine to stop it' id "$PROCESS"
}

restore_process() { # FILE
    stop_process "$1" || return "$?"
    restore_file "$1" ''
}

# As for units: undo may remove what the process runs from, so it is stopped first.
stop_recorded_processes() {
    local line
    for line in "${RECORD[@]}"; do
        split_line "$line"
        if [[ $LINE_KIND != process ]] || ! is_of_nbserver process "$LINE_KEY" ''; then continue; fi
        RUN_STEP=$LINE_STEP
        stop_process "$LINE_KEY"
    done
}
BEFORE_UNDO+=(stop_recorded_processes)
