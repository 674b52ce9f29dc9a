# ---- prelude: host_log -----------------------------------------------------------------------------
# Write to the system log which script changes this host, and keep the script.

# A line that begins a run has the hash of the script and of the sender's evidence; the one that ends it has the
# outcome. Neither undo nor nbserver removes them. Without a system log, as in most containers, nothing is written.
write_host_log() { # KEY=VALUE...
    local text="run=$RUN_ID mode=$RUN_MODE host=$NB_HOST release=$NB_RELEASE script=$RUN_SCRIPT" error
    if [[ ! -S /dev/log && ! -S /run/systemd/journal/socket ]]; then return 0; fi
    json_string "$RUN_OPERATOR"
    text+=" evidence=${RUN_EVIDENCE:-none} $* operator=$REPLY"
    if error=$(exec timeout 10 logger --id="$$" --tag nbserver --priority user.notice -- "$text" 2>&1 </dev/null); then
        return 0
    fi
    warn host-log-not-written 'could not write to the system log: {error}. Check whether the log service is '\
'running, for example with systemctl status systemd-journald' \
        error "${error:-no error output}"
}

# A script is kept once, in the folder of the first run that used it: the events of each run have its hash.
keep_script() {
    local found
    for found in "$STATE_FOLDER"/runs/*/"$RUN_SCRIPT.sh"; do
        if [[ -f $found ]]; then return 0; fi
    done
    if ! cp -- "${BASH_SOURCE[-1]}" "$RUN_FOLDER/$RUN_SCRIPT.sh"; then
        read_last_error
        rm -f -- "$RUN_FOLDER/$RUN_SCRIPT.sh"   # a part of it would fill the disk
        warn script-not-kept 'could not save a copy of this script in {folder}: {error}. Fix this error (for example, '\
'free some disk space), then run nbserver apply again' \
            folder "$RUN_FOLDER" error "${REPLY:-no error output}"
    fi
}

# From two workstations with different releases, each run would reverse what the other one has changed.
warn_of_newer_release() {
    local first='' newer
    local -i own
    if [[ $RUN_MODE != @(test|apply) ]] || ! can_read_state; then return 0; fi
    find_last_run
    if [[ ! $REPLY ]]; then return 0; fi
    IFS= read -r first <"$REPLY" || true
    read_field release "$first"
    newer=$REPLY
    release_number "$NB_RELEASE"
    own=$REPLY
    release_number "$newer"
    if ((REPLY <= own)); then return 0; fi
    warn release-older 'release {newer} of nbserver made the last change to this host, but this script is from '\
'release {own}, which may install older packages. Upgrade nbserver on this workstation, then try again' \
        newer "$newer" own "$NB_RELEASE"
}

# REPLY: a number that is larger for a newer release; 0 if it is not known.
release_number() { # RELEASE
    REPLY=0
    if [[ $1 =~ ^([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,4}) ]]; then
        REPLY=$(((10#${BASH_REMATCH[1]} * 10000 + 10#${BASH_REMATCH[2]}) * 10000 + 10#${BASH_REMATCH[3]}))
    fi
}
