# ---- prelude: files --------------------------------------------------------------------------------
# Write text files, and restore the files that were replaced.

# With SECRET, each @SECRET@ in a text stands for the secret of that name.

# REPLY: TEXT with the secret in it.
expand_secret() { # TEXT SECRET
    local rest=$1 mark=@$2@
    REPLY=''
    while [[ $2 && $rest == *"$mark"* ]]; do
        REPLY+=${rest%%"$mark"*}${SECRETS[$2]}
        rest=${rest#*"$mark"}
    done
    REPLY+=$rest
}

# Whether the file has this text. A test by hand does not know the secret, and compares only the text around it. With
# "around", only that text is compared in any case.
has_text() { # FILE TEXT [SECRET [around]]
    local is rest=$2 secret=${3:-} mark=@${3:-}@
    if [[ ! -f $1 ]] || IFS= read -r -d '' is <"$1"; then return 1; fi   # it does not exist, or has a byte 0
    if [[ ! $secret || (${SECRETS[$secret]+known} && ${4:-} != around) || $rest != *"$mark"* ]]; then
        expand_secret "$rest" "$secret"
        [[ $is == "$REPLY" ]]
        return "$?"
    fi
    if [[ $is != "${rest%%"$mark"*}"* ]]; then return 1; fi
    while [[ $rest == *"$mark"* ]]; do
        if [[ $is != *"${rest%%"$mark"*}"* ]]; then return 1; fi
        is=${is#*"${rest%%"$mark"*}"}
        rest=${rest#*"$mark"}
    done
    [[ $is == *"$rest" ]]
}

# A file that is as it should be is not written again: its new time would restart the server.
set_text_file() { # PATH OWNER MODE TEXT [SECRET]
    save_file_before "$1"
    expand_secret "$4" "${5:-}"
    read_access "$1"
    if [[ ${ACCESS[$1]} == "$2 $3" && ! -L $1 ]] && has_text "$1" "$REPLY"; then return 0; fi
    write_whole "$1" "$2" "$3" "$REPLY"
}

# The file is replaced as a whole. Nobody can read it before it has its owner and mode.
write_whole() { # PATH OWNER MODE TEXT
    local name=${1##*/}
    hold_parent "$1"
    rm -f -- "$HELD/$name.new"
    printf %s "$4" >"$HELD/$name.new" ||
        problem file-not-written 'could not write {path}. Make sure that its disk is writable and has free space, '\
'then try again' path "$1"
    chown --no-dereference -- "$2" "$HELD/$name.new"
    chmod -- "$3" "$HELD/$name.new"
    mv -T -- "$HELD/$name.new" "$HELD/$name"
}

# Kind file. A file that existed is copied into the state folder: the record never has the text of a file.
save_file_before() { # PATH
    if has_record file "$1"; then return 0; fi
    REPLY=''
    if [[ -e $1 ]]; then copy_aside "$1"; fi
    save_before file "$1" "$REPLY"
}

# REPLY: a copy of the file in the state folder, with its owner and mode.
copy_aside() { # PATH
    hold_parent "$1"
    mkdir -p "$STATE_FOLDER/before"
    REPLY=$STATE_FOLDER/before/$RUN_ID-$RUN_EVENTS-${#RECORD[@]}
    cp -a -T -- "$HELD/${1##*/}" "$REPLY"
    sync -- "$REPLY"                               # before the record names it
}

restore_file() { # PATH BEFORE
    if [[ ! $2 && ! -e ${1%/*} && ! -L ${1%/*} ]]; then return 0; fi
    hold_parent "$1" || return "$?"
    local file=$HELD/${1##*/}
    rm -f -- "$file.new" || return "$?"                 # from a run that was interrupted while it wrote the file
    if [[ $2 ]]; then
        { cp -a -T -- "$2" "$file.new" && mv -T -- "$file.new" "$file"; } ||
            problem copy-not-restored 'could not restore the saved copy {copy}' copy "$2"
    else
        rm -f -- "$file" || problem file-not-removed 'could not remove {path}' path "$1"
    fi
}

# A copy is kept as long as a line of the record names it: an interrupted undo can be repeated.
remove_file_copies() {
    json_string "$STATE_FOLDER/before/"
    if [[ "${RECORD[*]}" != *"${REPLY:1:-1}"* ]]; then rm -rf -- "$STATE_FOLDER/before"; fi
}
