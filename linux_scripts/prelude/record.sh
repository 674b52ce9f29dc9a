# ---- prelude: record -------------------------------------------------------------------------------
# Record the previous state of everything that is changed, and restore it.

# The record has one line per thing: step, kind, key, before. Every change goes through a function of its kind, which
# first writes a line. Undo reads the record backwards, and restores each thing with restore_KIND.
# `before` is a text, or null for what was absent. In this script, '' means null.

RECORD=()                                          # the lines of the file, oldest first
RECORD_TEXT='([^"\\]|\\.)+'                        # a text in JSON
RECORD_PATTERN='^\{"v":1,"step":"([a-z][a-z0-9_]*)","kind":"([a-z_]+)",'
RECORD_PATTERN+='"key":"('$RECORD_TEXT')","before":(null|"('$RECORD_TEXT')")\}$'
RECORD_NEWER='^\{"v":([2-9]|[1-9][0-9]{1,3}),'    # a line in the format of a newer release
LINE_STEP='' LINE_KIND='' LINE_KEY='' LINE_BEFORE=''
LINE_STAYS=''                                      # restore_KIND sets it: a later undo must try this line again

# With an incomplete record, undo would restore the wrong things. So nothing is done.
read_record() {
    local line number=0
    RECORD=()
    if [[ ! -e $RECORD_FILE ]]; then return 0; fi
    mapfile -t RECORD <"$RECORD_FILE"
    for line in "${RECORD[@]}"; do
        number=$((number + 1))
        if [[ $line =~ $RECORD_PATTERN ]]; then continue; fi
        if [[ $line =~ $RECORD_NEWER ]]; then
            fail record-newer 'line {number} of {path}, the list of what undo restores, has format version {version}: '\
'a newer release of nbserver wrote it. Upgrade nbserver on the workstation, then try again' \
                number "$number" path "$RECORD_FILE" version "${BASH_REMATCH[1]}"
        fi
        fail record-damaged 'line {number} of {path}, the list of what undo restores, is not valid. Restore this '\
'file from a backup, or correct the line, then try again' \
            number "$number" path "$RECORD_FILE"
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

# Only the first change of a thing is recorded.
save_before() { # KIND KEY BEFORE
    local key before=null
    if has_record "$1" "$2"; then return 0; fi
    json_string "$2"
    key=$REPLY
    if [[ $3 ]]; then
        json_string "$3"
        before=$REPLY
    fi
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

# Restore one thing, and remove its line from the record.
undo_line() { # LINE
    split_line "$1"
    check_line || return "$?"
    PROBLEM='' LINE_STAYS=''
    read_last_error                                # an earlier error is not about this line
    "restore_$LINE_KIND" "$LINE_KEY" "$LINE_BEFORE" || return "$?"
    if [[ $LINE_STAYS ]]; then return 0; fi
    remove_line "$1" || return "$?"
    shorten_key
    write_event restored kind "$LINE_KIND" what "$REPLY"
}

remove_line() { # LINE
    local line
    local -a others=()
    for line in "${RECORD[@]}"; do
        if [[ $line != "$1" ]]; then others+=("$line"); fi
    done
    RECORD=("${others[@]}")
    write_record || problem file-not-written 'could not write {path}. Make sure that its disk is writable and has '\
'free space, then try again' path "$RECORD_FILE"
}

# Whether undo may restore the thing that split_line has read.
check_line() {
    if [[ $(type -t "restore_$LINE_KIND") != function ]]; then
        problem unknown-kind 'this nbserver release cannot undo changes of the kind "{kind}", which another release '\
'made on this host. Run nbserver undo with that release' \
            kind "$LINE_KIND" || return "$?"
    fi
    if ! is_of_nbserver "$LINE_KIND" "$LINE_KEY" "$LINE_BEFORE"; then
        problem not-of-nbserver '{path}, the list of what undo restores, contains a "{kind}" line that nbserver did '\
'not write. Find out who added this line, remove it, then try again' \
            path "$RECORD_FILE" kind "$LINE_KIND" || return "$?"
    fi
}

# Whether this script could have recorded such a line: undo restores nothing else.
# The settings name only the last folder for notebooks. An earlier one may be any folder that the settings may name.
is_of_nbserver() { # KIND KEY BEFORE
    local path
    if [[ $1 == @(folder|data_folder|access|file|files) && $2/ == @([!/]*|*//*|*/./*|*/../*) ]]; then return 1; fi
    case $1 in
        folder) [[ $2/ == @("$PROGRAMS"|"$CONFIGURATION_FOLDER"|"$WORK_FOLDER")/* ]] ;;
        file)
            if [[ $3 && $3 != "$STATE_FOLDER"/before/+([!/]) ]]; then return 1; fi
            [[ $2 == "$CONFIGURATION_FOLDER"/* ]] || is_of_scope "$1" "$2"
            ;;
        first_page)
            if [[ $2/ == @([!/]*|*//*|*/./*|*/../*) || $2 != */Welcome.ipynb ]]; then return 1; fi
            [[ ${2%/*} == "$NB_NOTEBOOK_DIRECTORY" ]] || is_data_folder "${2%/*}"
            ;;
        access | files)
            [[ $2/ == @("$PROGRAMS"|"$CONFIGURATION_FOLDER"|"$WORK_FOLDER"|"$NB_NOTEBOOK_DIRECTORY")/* ]] ||
                is_data_folder "$2"
            ;;
        data_folder)
            for path in "$PROGRAMS" "$CONFIGURATION_FOLDER" "$DATA_FOLDER" "$UNIT_FOLDER/default.target.wants/x" \
                "$NB_NOTEBOOK_DIRECTORY/x"; do
                if [[ $path == "$2"/* ]]; then return 0; fi
            done
            ! is_system_folder "$2"
            ;;
        unit) [[ $2 == "$SERVICE_UNIT" && (! $3 || ${3##* } == "$STATE_FOLDER"/before/+([!/])) ]] ;;
        *) is_of_scope "$1" "$2" ;;
    esac
}

# REPLY: the key for a message. It may be the names of hundreds of packages.
shorten_key() {
    REPLY=$LINE_KEY
    if ((${#REPLY} > 300)); then REPLY="${REPLY:0:300}..."; fi
}

# The file is replaced as a whole, so that a crash leaves the old record or the new one.
write_record() {
    { if ((${#RECORD[@]})); then printf '%s\n' "${RECORD[@]}"; fi; } >"$RECORD_FILE.new" &&
        sync "$RECORD_FILE.new" && mv -T "$RECORD_FILE.new" "$RECORD_FILE"
}
