# ---- prelude: units --------------------------------------------------------------------------------
# Install and remove units of systemd.

declare -A UNIT=()                                 # properties of the unit that was read last
UNIT_READ=''                                       # its name, and the properties in addition to those always used

# UNIT: the named properties, and those that are always used. Their values are the same in every language.
read_unit() { # NAME [PROPERTY...]
    local name value properties=LoadState,ActiveState,UnitFileState,NeedDaemonReload,MainPID
    if [[ $RUN_MODE == test && $UNIT_READ == "$*" ]]; then return 0; fi   # nothing changes between two steps
    UNIT_READ="$*"
    for name in "${@:2}"; do properties+=,$name; done
    UNIT=()
    while IFS='=' read -r name value; do
        UNIT[$name]=$value
    done < <(exec "${SYSTEMCTL[@]}" show --property="$properties" -- "$1")
}

# Kind unit: its file, and whether it was enabled and active. Called before the unit is stopped.
save_unit() { # NAME
    local before=''
    if has_record unit "$1"; then return 0; fi
    if [[ -e $UNIT_FOLDER/$1 ]]; then
        read_unit "$1"
        copy_aside "$UNIT_FOLDER/$1"
        before="${UNIT[UnitFileState]:-disabled} ${UNIT[ActiveState]:-inactive} $REPLY"
    fi
    save_before unit "$1" "$before"
}

set_unit() { # NAME TEXT
    save_unit "$1"
    write_whole "$UNIT_FOLDER/$1" "$PROGRAM_OWNER" 644 "$2"
    run_program "${SYSTEMCTL[@]}" daemon-reload
}

# Restart the unit, and start it with the system from now on. EXIT_CODE 1: systemd could not start it.
start_unit() { # NAME
    run_program "${SYSTEMCTL[@]}" enable -- "$1"
    reset_failed_unit "$1"
    run_program --accept '0 1' "${SYSTEMCTL[@]}" restart -- "$1"
}

# Print the last three lines that the unit itself has written; if it has written nothing, those of systemd about it.
# After an error, systemd starts the unit again and again, and writes more lines than the unit.
print_unit_log() { # NAME [OPTION of journalctl...]
    local field=_SYSTEMD_UNIT text
    local -a options=("${SYSTEMCTL[@]:1}" "${@:2}" --lines=3 --output=cat --no-pager --quiet)
    if [[ ${SYSTEMCTL[1]:-} == --user ]]; then field=_SYSTEMD_USER_UNIT; fi
    journalctl --sync >/dev/null 2>&1 || true
    text=$(journalctl "${options[@]}" "$field=$1" 2>/dev/null) || text=''
    if [[ ! $text ]]; then text=$(journalctl "${options[@]}" --unit="$1" 2>/dev/null) || text=''; fi
    if [[ $text ]]; then printf '%s\n' "$text"; fi
}

# A unit that failed too often does not start again until systemd forgets that. Exit code 1: it did not fail.
reset_failed_unit() { # NAME
    run_program --accept '0 1' "${SYSTEMCTL[@]}" reset-failed -- "$1"
}

# It stops within TimeoutStopSec of the unit. Exit code 5: it is not loaded.
stop_unit() { # NAME
    report_start stopping-unit 'Stopping {unit}' unit "$1"
    run_program --accept '0 5' "${SYSTEMCTL[@]}" stop -- "$1"
}

restore_unit() { # NAME BEFORE
    local state active copy
    if [[ -e $UNIT_FOLDER/$1 ]]; then
        stop_unit "$1" || return "$?"
        run_program "${SYSTEMCTL[@]}" disable -- "$1" || return "$?"
    fi
    state=${2%% *} active=${2#* } copy=${2#* * }
    active=${active%% *}
    restore_file "$UNIT_FOLDER/$1" "$copy" || return "$?"
    run_program "${SYSTEMCTL[@]}" daemon-reload || return "$?"
    if [[ ! $2 ]]; then reset_failed_unit "$1" || return "$?"; fi
    if [[ $state == enabled ]]; then run_program "${SYSTEMCTL[@]}" enable -- "$1" || return "$?"; fi
    if [[ $active == active ]]; then run_program "${SYSTEMCTL[@]}" start -- "$1" || return "$?"; fi
}

# Undo restores the last change first, and may remove what a unit runs from. So all units are stopped before.
stop_recorded_units() {
    local line
    for line in "${RECORD[@]}"; do
        split_line "$line"
        if [[ $LINE_KIND != unit ]] || ! is_of_nbserver unit "$LINE_KEY" "$LINE_BEFORE"; then continue; fi
        RUN_STEP=$LINE_STEP
        if [[ -e $UNIT_FOLDER/$LINE_KEY ]]; then stop_unit "$LINE_KEY"; fi
    done
}
BEFORE_UNDO+=(stop_recorded_units)
