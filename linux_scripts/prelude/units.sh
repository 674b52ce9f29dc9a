# ---- prelude: systemd's units ---------------------------------------------------------------------------

UNIT_FOLDER=/etc/systemd/system
SYSTEMCTL=(systemctl)
declare -A UNIT=()                                 # properties of the unit that was read last

# The named properties, and those that are always of use. Their words are the same in every language.
read_unit() { # NAME [PROPERTY...]
    local name value
    local IFS=,
    UNIT=()
    while IFS='=' read -r name value; do UNIT[$name]=$value; done < <("${SYSTEMCTL[@]}" show --property="LoadState,ActiveState,UnitFileState,NeedDaemonReload${2:+,}${*:2}" -- "$1")
}

# Kind unit: its file, and whether it was enabled and active.
set_unit() { # NAME TEXT
    local before=''
    if ! has_record unit "$1"; then
        if [[ -e $UNIT_FOLDER/$1 ]]; then
            read_unit "$1"
            copy_aside "$UNIT_FOLDER/$1"
            before="${UNIT[UnitFileState]:-disabled} ${UNIT[ActiveState]:-inactive} $REPLY"
        fi
        save_before unit "$1" "$before"
    fi
    write_whole "$UNIT_FOLDER/$1" "$PROGRAM_OWNER" 644 "$2"
    run_program "${SYSTEMCTL[@]}" daemon-reload
}

# Starts it now and with the system; one that runs is started again.
start_unit() { # NAME
    run_program "${SYSTEMCTL[@]}" enable -- "$1"
    run_program --accept '0 1' "${SYSTEMCTL[@]}" reset-failed -- "$1"   # a unit that failed too often may start again; 1: nothing to forget
    run_program "${SYSTEMCTL[@]}" restart -- "$1"
}

restore_unit() { # NAME BEFORE
    local state active copy
    if [[ -e $UNIT_FOLDER/$1 ]]; then
        run_program --accept '0 5' "${SYSTEMCTL[@]}" stop -- "$1" || return       # 5: it is not loaded
        run_program "${SYSTEMCTL[@]}" disable -- "$1" || return
    fi
    read -r state active copy <<<"$2"
    restore_file "$UNIT_FOLDER/$1" "$copy" || return
    run_program "${SYSTEMCTL[@]}" daemon-reload || return
    if [[ ! $2 ]]; then run_program --accept '0 1' "${SYSTEMCTL[@]}" reset-failed -- "$1" || return; fi   # 1: nothing to forget
    if [[ $state == enabled ]]; then run_program "${SYSTEMCTL[@]}" enable -- "$1" || return; fi
    if [[ $active == active ]]; then run_program "${SYSTEMCTL[@]}" start -- "$1" || return; fi
}

# Undo goes backwards, and what was installed last may be what a unit runs from: units are stopped first.
stop_recorded_units() {
    local line
    for line in "${RECORD[@]}"; do
        split_line "$line"
        if [[ $LINE_KIND == unit ]] && is_of_nbserver unit "$LINE_KEY" "$LINE_BEFORE"; then
            RUN_STEP=$LINE_STEP
            assert_own_systemd                     # before anything is undone
            if [[ ! -e $UNIT_FOLDER/$LINE_KEY ]]; then continue; fi
            run_program --accept '0 5' "${SYSTEMCTL[@]}" stop -- "$LINE_KEY"
        fi
    done
}
