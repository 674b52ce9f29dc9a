# ---- prelude: service_unit -------------------------------------------------------------------------
# Compare the unit of the notebook server, and install it.

# unit_text, which each scope has, returns its text.

compare_unit() {
    local file=$UNIT_FOLDER/$SERVICE_UNIT
    unit_text
    if ! has_text "$file" "$REPLY"; then
        differs file-differs '{path}' 'different or missing' 'as in this script' path "$file"
    else
        read_access "$file"
        compare_access "$file" "$PROGRAM_OWNER" 644
    fi
    read_unit "$SERVICE_UNIT"
    if [[ ${UNIT[UnitFileState]:-} != enabled ]]; then
        differs unit-not-enabled 'unit {unit}' "${UNIT[UnitFileState]:-}" enabled unit "$SERVICE_UNIT"
    fi
    if [[ ${UNIT[ActiveState]:-} != active ]]; then
        differs unit-not-active 'unit {unit}' "${UNIT[ActiveState]:-}" active unit "$SERVICE_UNIT"
    elif [[ ${UNIT[NeedDaemonReload]:-} == yes ]]; then
        differs unit-not-reloaded 'unit {unit}' 'changed since systemd loaded it' loaded unit "$SERVICE_UNIT"
    fi
}

install_unit() {
    save_unit "$SERVICE_UNIT"
    stop_unit "$SERVICE_UNIT"                      # if the run is interrupted, the next run sees a stopped unit
    unit_text
    set_unit "$SERVICE_UNIT" "$REPLY"
    start_unit "$SERVICE_UNIT"
}

has_unit_failed() {
    read_unit "$SERVICE_UNIT"
    [[ ${UNIT[ActiveState]:-} == failed ]]
}

# REPLY: the number of its main process, or 0.
read_unit_process() {
    read_unit "$SERVICE_UNIT" MainPID
    REPLY=${UNIT[MainPID]:-0}
}

# REPLY: when the files that the server reads at its start were last changed. If a file was changed after the server
# started, the unit's text differs, and the server is restarted. The mark is as old as the environment.
started_text() {
    local -a files=("$STARTER_FILE" "$NOTEBOOK_FILE" "$CERTIFICATE_FILE") times=()
    if [[ $NOTEBOOK_PYTHON == "$ENVIRONMENT"/* && -e $LOCK_MARK ]]; then files+=("$LOCK_MARK"); fi
    if [[ -e ${files[0]} && -e ${files[1]} && -e ${files[2]} ]]; then
        mapfile -t times < <(stat --format='%.9Y' -- "${files[@]}")
    fi
    REPLY=${times[*]:-none}
}
