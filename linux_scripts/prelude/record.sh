# ---- prelude: the record, what was there before a thing was first changed ------------------------------
# One line a thing: step, kind, key, before. Every change below goes through a function of its kind that
# writes here first; restore_KIND puts a kind back; undo plays the record backwards.
# `before` is a text, or null for what was not there; here, '' stands for null.

RECORD=()                                          # the lines of the file, oldest first
RECORD_PATTERN='^\{"v":1,"step":"([a-z][a-z0-9_]*)","kind":"([a-z_]+)","key":"(([^"\\]|\\.)+)","before":(null|"(([^"\\]|\\.)+)")\}$'
LINE_STEP='' LINE_KIND='' LINE_KEY='' LINE_BEFORE=''

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
    PROBLEM=''
    read_last_error                                # what came before is not about this line
    "restore_$LINE_KIND" "$LINE_KEY" "$LINE_BEFORE" || return
    for line in "${RECORD[@]}"; do
        if [[ $line != "$1" ]]; then left+=("$line"); fi
    done
    RECORD=("${left[@]}")
    write_record || problem "$RECORD_FILE could not be written" || return
    key_in_words
    write_event restored kind "$LINE_KIND" what "$REPLY"
}

# What a line is about, for a person: the packages of one installation can be hundreds.
key_in_words() {
    REPLY=$LINE_KEY
    if ((${#REPLY} > 300)); then REPLY="${REPLY:0:300}..."; fi
}

# Whole and at once: a torn record would put back the wrong things.
write_record() {
    { if ((${#RECORD[@]})); then printf '%s\n' "${RECORD[@]}"; fi; } >"$RECORD_FILE.new" &&
        sync "$RECORD_FILE.new" && mv -T "$RECORD_FILE.new" "$RECORD_FILE"
}
