# ---- prelude: evidence -----------------------------------------------------------------------------
# Report each run whose events this host has kept, and the hashes: mode evidence.

# Nothing is changed, and nothing is left on this host. The workstation compares the hashes with its run directories.
MODES['evidence']=report_kept_runs

report_kept_runs() {
    local folder file run script size hash
    if ! can_read_state; then
        fail evidence-needs-root 'reading the events of earlier runs requires root privileges. Run nbserver as root '\
'or with sudo'
    fi
    for folder in "$STATE_FOLDER"/runs/*/; do
        file=${folder}events.jsonl
        if [[ ! -f $file ]]; then continue; fi
        read_run "$file"
        run=$REPLY
        read_field script_sha256 "$run"
        read_script_state "$REPLY"
        script=$REPLY
        size=$(stat --format=%s -- "$file")
        read -r hash _ < <(exec sha256sum <"$file")
        folder=${folder%/}
        write_event kept id "${folder##*/}" run: "$run" script "$script" sha256 "$hash" size: "$size"
    done
}

# REPLY: whether the script with this hash is in the folder of a run: kept, changed, or missing.
read_script_state() { # SHA256
    local file hash
    REPLY=missing
    for file in "$STATE_FOLDER"/runs/*/"$1.sh"; do
        if [[ ! -f $file ]]; then continue; fi
        read -r hash _ < <(exec sha256sum <"$file")
        REPLY=kept
        if [[ $hash != "$1" ]]; then REPLY=changed; fi
    done
}
