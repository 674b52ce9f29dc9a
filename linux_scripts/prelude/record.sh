# ---- prelude: the record, what was there before a thing was first changed ------------------------------
# One line a thing: step, kind, key, before. Every change below goes through a function of its kind that
# writes here first; restore_KIND puts a kind back; undo plays the record backwards.
# `before` is a text, or null for what was not there; here, '' stands for null.

RECORD=()                                          # the lines of the file, oldest first
RECORD_PATTERN='^\{"v":1,"step":"([a-z][a-z0-9_]*)","kind":"([a-z_]+)","key":"(([^"\\]|\\.)+)","before":(null|"(([^"\\]|\\.)+)")\}$'
LINE_STEP='' LINE_KIND='' LINE_KEY='' LINE_BEFORE=''
LINE_STAYS=''                                      # what the line is about stays for a later undo, and so does the line

# A record that is not whole would put back the wrong things: nothing is done then.
read_record() {
    local line
    RECORD=()
    if [[ ! -e $RECORD_FILE ]]; then return; fi
    mapfile -t RECORD <"$RECORD_FILE"
    for line in "${RECORD[@]}"; do
        [[ $line =~ $RECORD_PATTERN ]] || fail "$RECORD_FILE has a line that is none of a record. Look at it, mend it, run this again"
    done
}

split_line() { # LINE
    [[ $1 =~ $RECORD_PATTERN ]]
    local -a found=("${BASH_REMATCH[@]}")
    LINE_STEP=${found[1]} LINE_KIND=${found[2]}
    json_text "${found[3]}"
    LINE_KEY=$REPLY
    json_text "${found[6]}"
    LINE_BEFORE=$REPLY
}

save_before() { # KIND KEY BEFORE
    local key before=null
    if has_record "$1" "$2"; then return; fi
    json_string "$2"
    key=$REPLY
    if [[ $3 ]]; then json_string "$3" && before=$REPLY; fi
    RECORD+=("{\"v\":1,\"step\":\"$RUN_STEP\",\"kind\":\"$1\",\"key\":$key,\"before\":$before}")
    write_record
}

has_record() { # KIND KEY
    local line
    json_string "$2"
    for line in "${RECORD[@]}"; do
        if [[ $line == *"\",\"kind\":\"$1\",\"key\":$REPLY,\"before\":"* ]]; then return 0; fi
    done
    return 1
}

# Puts one thing back now, and takes it off the record.
undo_line() { # LINE
    local line
    local -a left=()
    split_line "$1"
    [[ $(type -t "restore_$LINE_KIND") == function ]] || problem "this script cannot put back a '$LINE_KIND'; use the release that wrote it" || return
    is_of_nbserver "$LINE_KIND" "$LINE_KEY" "$LINE_BEFORE" ||
        problem "nbserver never changes that, so the record should not name it. Look at $RECORD_FILE, and take that line out\
 if nobody can say where it comes from" || return
    PROBLEM='' LINE_STAYS=''
    read_last_error                                # what came before is not about this line
    "restore_$LINE_KIND" "$LINE_KEY" "$LINE_BEFORE" || return
    if [[ $LINE_STAYS ]]; then return 0; fi
    for line in "${RECORD[@]}"; do
        if [[ $line != "$1" ]]; then left+=("$line"); fi
    done
    RECORD=("${left[@]}")
    write_record || problem "$RECORD_FILE could not be written" || return
    shorten_key
    write_event restored kind "$LINE_KIND" what "$REPLY"
}

# Whether a line of the record names something that this script could have written down: undo acts on nothing else.
# Of folders for notebooks the settings know only the last one; an earlier one may be any that the settings may name.
is_of_nbserver() { # KIND KEY BEFORE
    local place
    if [[ $1 == @(folder|data_folder|access|file|files) && $2/ == @([!/]*|*//*|*/./*|*/../*) ]]; then return 1; fi
    case $1 in
        folder) [[ $2/ == @("$PROGRAMS"|"$CONFIGURATION_FOLDER"|"$WORK_FOLDER")/* ]] ;;
        file)
            [[ ! $3 || $3 == "$STATE_FOLDER"/before/+([!/]) ]] || return 1
            [[ $2 == "$CONFIGURATION_FOLDER"/* || $2 == "$PROCESS_LOG" ]]
            ;;
        access | files)
            [[ $2/ == @("$PROGRAMS"|"$CONFIGURATION_FOLDER"|"$WORK_FOLDER"|"$NB_NOTEBOOK_DIRECTORY")/* ]] ||
                is_data_folder "$2"
            ;;
        data_folder)
            for place in "$PROGRAMS" "$CONFIGURATION_FOLDER" "$DATA_FOLDER" "$UNIT_FOLDER/default.target.wants/x" \
                "$NB_NOTEBOOK_DIRECTORY/x"; do
                if [[ $place == "$2"/* ]]; then return 0; fi
            done
            ! is_system_folder "$2"
            ;;
        user) [[ $2 == "$SERVICE_USER" ]] ;;
        unit) [[ $2 == "$SERVICE_UNIT" && (! $3 || ${3##* } == "$STATE_FOLDER"/before/+([!/])) ]] ;;
        process) [[ $2 == "$PROCESS_FILE" ]] ;;
        *) return 0 ;;
    esac
}

# What a line is about, for a person: the packages of one installation can be hundreds.
shorten_key() {
    REPLY=$LINE_KEY
    if ((${#REPLY} > 300)); then REPLY="${REPLY:0:300}..."; fi
}

# Whole and at once: a torn record would put back the wrong things.
write_record() {
    { if ((${#RECORD[@]})); then printf '%s\n' "${RECORD[@]}"; fi; } >"$RECORD_FILE.new" &&
        sync "$RECORD_FILE.new" && mv -T "$RECORD_FILE.new" "$RECORD_FILE"
}
