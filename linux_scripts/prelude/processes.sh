# ---- prelude: a program in the background, where no systemd is to be had -------------------------------
# Its file has a line `PID START BOOT`, by which the process is known again and no other is taken for it,
# and behind it the text that it was started for.

PROCESS='' PROCESS_SINCE=''                                         # of the process that was read last; '' where it does not run

read_process() { # FILE
    local pid='' since=''
    PROCESS='' PROCESS_SINCE=''
    if [[ ! -r $1 ]]; then return; fi
    read -r pid since <"$1" || true
    if [[ ! $pid =~ ^[1-9][0-9]*$ ]]; then return; fi
    process_since "$pid"
    if [[ $REPLY && $REPLY == "$since" ]]; then PROCESS=$pid PROCESS_SINCE=$since; fi
}

# When it was started, in the kernel's count, and in which run of the kernel; '' where it does not run.
process_since() { # PID
    local line='' boot=''
    REPLY=''
    if [[ ! -r /proc/$1/stat ]]; then return; fi
    { IFS= read -r line </proc/"$1"/stat; } 2>/dev/null || true
    { read -r boot </proc/sys/kernel/random/boot_id; } 2>/dev/null || true
    line=${line##*) }                              # its name stands before that, and may hold anything
    if [[ $line != Z* && $line =~ ^([^ ]+\ ){19}([0-9]+)\  ]]; then REPLY="${BASH_REMATCH[2]} $boot"; fi
}

# Kind process: its file. It writes that itself, so that it never runs without one.
start_process() { # FILE LOG TEXT PROGRAM [ARGUMENT...]
    local -i wait
    local file=$1 log=$2 text=$3
    shift 3
    save_before process "$file" ''
    stop_process "$file"
    (
        cd /
        process_since "$BASHPID"
        write_whole "$file" "$PROGRAM_OWNER" 600 "$BASHPID $REPLY"$'\n'"$text"
        exec setsid -- "$@" </dev/null >>"$log" 2>&1 3>&- 6>&- 7>&- 8>&- 9>&-
    ) &
    for ((wait = 0; wait < 100; wait++)); do
        read_process "$file"
        if [[ $PROCESS == "$!" ]]; then return; fi
        sleep 0.05
    done
}

# Asked to end, and after 20 seconds made to.
stop_process() { # FILE
    local -i wait
    for ((wait = 0; wait < 300; wait++)); do
        read_process "$1"
        if [[ ! $PROCESS ]]; then return 0; fi
        if ((wait == 0)); then kill -TERM "$PROCESS" 2>/dev/null || true; fi
        if ((wait == 200)); then kill -KILL "$PROCESS" 2>/dev/null || true; fi
        sleep 0.1
    done
    problem "process $PROCESS does not end"
}

restore_process() { # FILE
    stop_process "$1" || return
    restore_file "$1" ''
}

# Undo goes backwards, and what the process runs from came first.
stop_recorded_processes() {
    local line
    for line in "${RECORD[@]}"; do
        split_line "$line"
        if [[ $LINE_KIND == process ]] && is_of_nbserver process "$LINE_KEY" ''; then stop_process "$LINE_KEY"; fi
    done
}
