# ---- prelude: service_unit -------------------------------------------------------------------------
# Compare the unit of the notebook server, and install it.

# unit_text, which each scope has, returns its text.

COMPARED+=("$UNIT_FOLDER/$SERVICE_UNIT")
SERVER_STARTED=''                                  # when this run started the server, in seconds since 1970
OLD_FILES_REPORTED=''                              # of warn_of_old_files
FAILED_PROCESS=0                                   # of has_unit_failed: the process that failed last

compare_unit() {
    local file=$UNIT_FOLDER/$SERVICE_UNIT
    unit_text
    if has_other_start "$file" "$REPLY"; then
        differs server-outdated 'the notebook server' 'not restarted since the last change' 'restarted'
    elif ! has_text "$file" "$REPLY"; then
        if has_other_environment; then report_other_environment; fi
        differs file-differs '{path}' 'different or missing' 'as in this script' path "$file"
    else
        read_access "$file"
        compare_access "$file" "$PROGRAM_OWNER" 644
    fi
    read_unit "$SERVICE_UNIT"
    if [[ ${UNIT[UnitFileState]:-} != enabled ]]; then
        differs unit-not-enabled 'unit {unit}' "${UNIT[UnitFileState]:-}" 'enabled' unit "$SERVICE_UNIT"
    fi
    if [[ ${UNIT[ActiveState]:-} != active ]]; then
        differs unit-not-active 'unit {unit}' "${UNIT[ActiveState]:-}" 'active' unit "$SERVICE_UNIT"
    elif [[ ${UNIT[NeedDaemonReload]:-} == yes ]]; then
        differs unit-not-reloaded 'unit {unit}' 'changed on disk, but not reloaded' 'reloaded' unit "$SERVICE_UNIT"
    fi
}

# Once per run. An update of the distribution replaces the files of OpenSSL and Python, but a server that runs keeps
# those with which it has started. If something differs, this run or the next apply may restart it.
warn_of_old_files() {
    local line file=''
    if [[ $OLD_FILES_REPORTED || $RUN_DIFFERS == true ]] || ((${#DIFFERENCES[@]})); then return 0; fi
    OLD_FILES_REPORTED=1
    read_server_process
    if ((REPLY == 0)); then return 0; fi
    {
        while IFS= read -r line; do
            if [[ $line == *\ /usr/@(lib*.so*|bin/python3*)' (deleted)' ]]; then file=/${line#*/}; fi
        done <"/proc/$REPLY/maps"
    } 2>/dev/null || return 0
    if [[ $file ]]; then
        warn server-has-old-files 'the server still uses files that an update of the distribution has replaced, such '\
'as {path}. To use the new files, run nbserver restart, which ends kernels' path "${file% (deleted)}"
    fi
}

install_unit() {
    save_unit "$SERVICE_UNIT"
    stop_unit "$SERVICE_UNIT"                      # if the run is interrupted, the next run sees a stopped unit
    unit_text
    set_unit "$SERVICE_UNIT" "$REPLY"
    note_start
    start_unit "$SERVICE_UNIT"
    if ((EXIT_CODE)); then refuse_unit; fi
}

# Start the installed unit again, and note in its file for which files it was started. If the run is interrupted before
# that, the next run finds a server that was started before a change. EXIT_CODE 1: systemd could not start it.
restart_unit() {
    local started
    started_text
    started=$REPLY
    note_start
    start_unit "$SERVICE_UNIT"
    if ((EXIT_CODE == 0)); then note_started_files "$started"; fi
}

note_started_files() { # TEXT
    local is=''
    IFS= read -r -d '' is <"$UNIT_FOLDER/$SERVICE_UNIT" || true
    if [[ $is != *$'\nStarted='* || $is == *$'\n'"Started=$1"$'\n' ]]; then return 0; fi
    set_unit "$SERVICE_UNIT" "${is%$'\n'Started=*}"$'\n'"Started=$1"$'\n'
}

# Stop the unit, and do not start it with the system until start_unit does.
keep_unit_stopped() {
    run_program --accept '0 1' "${SYSTEMCTL[@]}" disable -- "$SERVICE_UNIT"
    stop_unit "$SERVICE_UNIT"
    reset_failed_unit "$SERVICE_UNIT"
}

has_enabled_unit() {
    read_unit "$SERVICE_UNIT"
    [[ ${UNIT[UnitFileState]:-} == enabled ]]
}

# Restore the unit of the previous server, and start it. Called before "||".
start_saved_unit() { # FOLDER
    restore_file "$UNIT_FOLDER/$SERVICE_UNIT" "$1/$SERVICE_UNIT" || return "$?"
    adapt_saved_unit "$1" || return "$?"
    run_program "${SYSTEMCTL[@]}" daemon-reload || return "$?"
    note_start
    run_program "${SYSTEMCTL[@]}" enable -- "$SERVICE_UNIT" || return "$?"
    reset_failed_unit "$SERVICE_UNIT" || return "$?"
    run_program "${SYSTEMCTL[@]}" restart -- "$SERVICE_UNIT"
}

note_start() {
    printf -v SERVER_STARTED '%(%s)T' -1
}

# Whether the file differs from the text only in its last entry: what started_text says.
has_other_start() { # FILE TEXT
    local is=''
    if [[ ! -f $1 ]] || IFS= read -r -d '' is <"$1"; then return 1; fi
    [[ $is == "${2%Started=*}Started="* && $is != "$2" ]]
}

# Whether systemd has given up, or the unit has failed for the third time. Before systemd 235, NRestarts is missing.
has_unit_failed() {
    read_unit "$SERVICE_UNIT" SubState NRestarts ExecMainPID
    FAILED_PROCESS=${UNIT[ExecMainPID]:-0}
    case ${UNIT[ActiveState]:-}/${UNIT[SubState]:-} in
        failed/* | inactive/*) return 0 ;;
        */auto-restart) ((${UNIT[NRestarts]:-0} >= 2)) ;;
        *) return 1 ;;
    esac
}

# Print the last lines in the log of the unit since this run started it. By now, systemd may have started a process
# after the one that failed.
print_service_unit_log() {
    local text
    local -a options=()
    if [[ $SERVER_STARTED ]]; then options=(--since "@$SERVER_STARTED"); fi
    text=$(print_unit_log "$SERVICE_UNIT" "${options[@]}" "_PID=$FAILED_PROCESS")
    if [[ ! $text ]]; then text=$(print_unit_log "$SERVICE_UNIT" "${options[@]}"); fi
    if [[ $text ]]; then printf '%s\n' "$text"; fi
}

# Stop the run: systemd could not run the unit's program. A status from 200 says what systemd could not do
# (systemd.exec(5)).
refuse_unit() {
    local status ending
    read_unit "$SERVICE_UNIT" ExecMainStatus ExecMainPID
    FAILED_PROCESS=${UNIT[ExecMainPID]:-0}
    status=${UNIT[ExecMainStatus]:-0}
    # The line that says why may still be on its way to the journal.
    journalctl --sync 2>/dev/null || :
    log_lines print_service_unit_log
    ending=$REPLY
    if ((status == 217 || status == 218 || status >= 226 && status <= 231)); then
        read_refused_settings
        fail unit-settings-refused 'systemd could not start {unit} with {settings} (status {status}). In a container, '\
'these settings may require more privileges. Fix the error that the log shows, or change the settings with {command}, '\
'then try again. Last lines of the log: {lines}' \
            unit "$SERVICE_UNIT" command "${SYSTEMCTL[*]} edit $SERVICE_UNIT" \
            settings "$REPLY" status "$status" lines "$ending"
    fi
    fail unit-not-started 'systemd could not start {unit} (status {status}). Fix the error that its log shows, then '\
'try again. Last lines of the log: {lines}' \
        unit "$SERVICE_UNIT" status "$status" lines "$ending"
}

# REPLY: what COMMAND prints, in one line.
log_lines() { # COMMAND
    local line ending=''
    while IFS= read -r line; do
        ending+=" / $line"
    done < <("$1")
    REPLY=${ending# / }
}

# REPLY: the settings of the unit that systemd refuses, each tried alone in a unit for the program `true`. If none is
# refused alone, all of them.
read_refused_settings() {
    local line all='' refused=''
    local -i status
    unit_text
    while IFS= read -r line; do
        case $line in
            Protect* | Private* | Restrict* | ReadWritePaths=* | BindPaths=* | SystemCall* | NoNewPrivileges=*) ;;
            CapabilityBoundingSet=* | AmbientCapabilities=* | LockPersonality=* | DevicePolicy=* | KeyringMode=*) ;;
            *) continue ;;
        esac
        all+=", $line"
        status=0
        timeout 30 systemd-run "${SYSTEMCTL[@]:1}" --wait --quiet --property="$line" true >/dev/null 2>&1 || status=$?
        if ((status >= 200)); then refused+=", $line"; fi
    done < <(printf '%s\n' "$REPLY")
    REPLY=${refused:-$all}
    REPLY=${REPLY#, }
}

# REPLY: the number of its main process, or 0.
read_unit_process() {
    read_unit "$SERVICE_UNIT"
    REPLY=${UNIT[MainPID]:-0}
}

# REPLY: when the files that the server reads at its start were last changed. If a file was changed after the server
# started, the unit's text differs, and the server is restarted. The mark is as old as the environment.
started_text() {
    local file
    local -a files=("$STARTER_FILE" "$NOTEBOOK_FILE" "$CERTIFICATE_FILE") times=()
    if [[ $NOTEBOOK_PYTHON == "$ENVIRONMENT"/* && -e $LOCK_MARK ]]; then files+=("$LOCK_MARK"); fi
    if [[ -e ${files[0]} && -e ${files[1]} && -e ${files[2]} ]]; then
        read_access "${files[@]}"
        for file in "${files[@]}"; do times+=("${MODIFIED[$file]-}"); done
    fi
    REPLY=${times[*]:-none}
}
