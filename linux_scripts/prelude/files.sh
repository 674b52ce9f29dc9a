# ---- prelude: folders, who may use them, and text files ------------------------------------------------
# OWNER is USER:GROUP, MODE octal digits as `stat` prints them: 750, not 0750.

declare -A ACCESS=()                               # path -> 'USER:GROUP MODE', or '' for what is not there

# One `stat` for all of them.
read_access() { # PATH...
    local path
    local -a there=() lines=()
    local -i i
    for path in "$@"; do
        ACCESS[$path]=''
        if [[ -e $path ]]; then there+=("$path"); fi
    done
    if ((${#there[@]} == 0)); then return; fi
    mapfile -t lines < <(stat --dereference --format="$OWNER_FORMAT %a" -- "${there[@]}")
    for ((i = 0; i < ${#there[@]}; i++)); do ACCESS[${there[i]}]=${lines[i]}; done
}

# After read_access: a folder that is not there, or has another owner or mode.
compare_folder() { # PATH OWNER MODE
    if [[ ! -d $1 ]]; then difference "$1" 'not there' 'a folder'
    elif [[ ${ACCESS[$1]} != "$2 $3" ]]; then difference "access to $1" "${ACCESS[$1]}" "$2 $3"
    fi
}

# Kind folder: what this script made; undo removes it with all that is in it.
add_folder() { # PATH OWNER MODE
    if [[ ! -e $1 ]]; then
        hold_parent "$1"
        save_before folder "$1" ''
        mkdir -m 700 -- "$HELD/${1##*/}"
    fi
    set_access "$1" "$2" "$3"
}

# An environment's mark goes first: one that is half removed, by a run that was cut off, is not taken for whole.
restore_folder() { # PATH
    if [[ ! -e $1 && ! -L $1 ]]; then return; fi
    hold_folder "$1" || return
    rm -f -- "$HELD/nbserver.lock" || return
    hold_parent "$1" || return
    rm -rf --one-file-system -- "${HELD:?}/${1##*/}" || problem "rm could not remove all of it"
}

# Kind access: owner and mode of what was there before this script.
set_access() { # PATH OWNER MODE
    hold_folder "$1"
    if [[ $(stat --dereference --format="$OWNER_FORMAT %a" -- "$HELD") == "$2 $3" ]]; then return; fi
    save_access "$1"
    chown -- "$2" "$HELD"
    chmod -- "00$3" "$HELD"                        # with 00 in front it also takes away what is not named
}

# After hold_folder, where it was there before this script.
save_access() { # PATH
    if has_record folder "$1" || has_record data_folder "$1"; then return; fi
    save_before access "$1" "$(stat --dereference --format='%u:%g %a' -- "$HELD")"
}

# A folder for notebooks may hold files of the service by now.
restore_access() { # PATH BEFORE
    if [[ ! -e $1 && ! -L $1 ]]; then return; fi
    keep_user_for "$1"
    hold_folder "$1" || return
    { chown -- "${2% *}" "$HELD" && chmod -- "00${2#* }" "$HELD"; } ||
        problem "owner and mode could not be set to $2" || return
    if has_files_of_service "$1"; then save_before files "$1" ''; else keep_user_for ''; fi
}

# ---- text files; with SECRET, every @SECRET@ in the text stands for the secret of that name

# TEXT with the secret in its places.
expand_secret() { # TEXT SECRET
    local rest=$1 mark=@$2@
    REPLY=''
    while [[ $2 && $rest == *"$mark"* ]]; do
        REPLY+=${rest%%"$mark"*}${SECRETS[$2]}
        rest=${rest#*"$mark"}
    done
    REPLY+=$rest
}

# Whether the file holds this text. A test by hand does not know the secret: all around it is compared. With
# "around" that is all that is compared in any case.
has_text() { # FILE TEXT [SECRET [around]]
    local is rest=$2 secret=${3:-} mark=@${3:-}@
    if [[ ! -f $1 ]] || IFS= read -r -d '' is <"$1"; then return 1; fi   # none, or one with a byte 0
    if [[ ! $secret || (${SECRETS[$secret]+known} && ${4:-} != around) || $rest != *"$mark"* ]]; then
        expand_secret "$rest" "$secret"
        [[ $is == "$REPLY" ]]
        return
    fi
    if [[ $is != "${rest%%"$mark"*}"* ]]; then return 1; fi
    while [[ $rest == *"$mark"* ]]; do
        if [[ $is != *"${rest%%"$mark"*}"* ]]; then return 1; fi
        is=${is#*"${rest%%"$mark"*}"}
        rest=${rest#*"$mark"}
    done
    [[ $is == *"$rest" ]]
}

set_text_file() { # PATH OWNER MODE TEXT [SECRET]
    save_file_before "$1"
    expand_secret "$4" "${5:-}"
    write_whole "$1" "$2" "$3" "$REPLY"
}

# Whole and at once; nobody else can read it before it has its owner and mode.
write_whole() { # PATH OWNER MODE TEXT
    local name=${1##*/}
    hold_parent "$1"
    rm -f -- "$HELD/$name.new"
    printf %s "$4" >"$HELD/$name.new" || problem "$1 could not be written"
    chown --no-dereference -- "$2" "$HELD/$name.new"
    chmod -- "$3" "$HELD/$name.new"
    mv -T -- "$HELD/$name.new" "$HELD/$name"
}

# Kind file. What was there is kept as a copy beside the record: the record itself never holds a file's text.
save_file_before() { # PATH
    if has_record file "$1"; then return; fi
    REPLY=''
    if [[ -e $1 ]]; then copy_aside "$1"; fi
    save_before file "$1" "$REPLY"
}

# A copy of a file beside the record, with owner and mode.
copy_aside() { # PATH
    hold_parent "$1"
    mkdir -p "$STATE_FOLDER/before"
    REPLY=$STATE_FOLDER/before/$RUN_ID-$RUN_EVENTS-${#RECORD[@]}
    cp -a -T -- "$HELD/${1##*/}" "$REPLY"
}

restore_file() { # PATH BEFORE
    if [[ ! $2 && ! -e ${1%/*} && ! -L ${1%/*} ]]; then return; fi
    hold_parent "$1" || return
    local file=$HELD/${1##*/}
    rm -f -- "$file.new" || return                 # of a run that was cut off while it wrote
    if [[ $2 ]]; then
        { cp -a -T -- "$2" "$file.new" && mv -T -- "$file.new" "$file"; } || problem "its copy $2 could not be put back"
    else rm -f -- "$file" || problem "rm could not remove it"
    fi
}

# Copies stay until no line of the record can ask for one: an undo that is cut off is done again.
remove_file_copies() {
    if [[ "${RECORD[*]}" != *"$STATE_FOLDER/before/"* ]]; then rm -rf -- "$STATE_FOLDER/before"; fi
}

# ---- the folder that undo trusts: made for who runs this (root, or in user scope the user) only; any other is refused

initialize_state_folder() {
    if [[ ! -e $DATA_FOLDER && ! -L $DATA_FOLDER ]]; then
        mkdir -p -- "${DATA_FOLDER%/*}"
        mkdir -m "$PARENT_MODE" -- "$DATA_FOLDER"
    fi
    if [[ ! -e $STATE_FOLDER && ! -L $STATE_FOLDER ]]; then mkdir -m 700 -- "$STATE_FOLDER"; fi
    assert_state_folder
}

# Who can write to one of them could choose what undo puts back, and where.
assert_state_folder() {
    local folder who=root refused='cannot be trusted with what undo would put back. Look at it, mend or remove it, run this again'
    local -a lines=()
    if [[ $NB_SCOPE == user ]]; then who=$SERVICE_USER; fi
    for folder in "$DATA_FOLDER" "$STATE_FOLDER"; do
        if [[ -L $folder || ! -d $folder ]]; then fail "$folder is a link or no folder; it $refused"; fi
    done
    mapfile -t lines < <(stat --format='%u %a' -- "$DATA_FOLDER" "$STATE_FOLDER")
    if [[ ${lines[0]} != "$EUID "* || $((8#${lines[0]#* } & 0022)) -ne 0 ]]; then fail "$DATA_FOLDER belongs to others than $who, or others can write there (${lines[0]}); it $refused"; fi
    if [[ ${lines[1]} != "$EUID "* || $((8#${lines[1]#* } & 0077)) -ne 0 ]]; then fail "$STATE_FOLDER belongs to others than $who, or others have access to it (${lines[1]}); it $refused"; fi
    hold_folder "$STATE_FOLDER" || fail "$PROBLEM, then run this again"
}
