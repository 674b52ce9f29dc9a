# ---- prelude: first_page ---------------------------------------------------------------------------
# Put a first notebook into the notebook folder; if users change it, it is kept.

# Kind first_page: the record has the states of this file that are not somebody's work: `absent`, and the SHA-256 of
# each text that this script wrote. In any other state the file stays as it is, even at undo. Once the file is written,
# `absent` is no longer in the record: a file that somebody deletes is not created again.
# The file is read, written, and removed as the user of the service (AS_SERVICE, see service_access), so a link there
# leads only to what that user may change anyway. If that user has put something in its way, the page is not written,
# with a warning: this is not a reason to refuse the server.

PAGE_FAILED=''                                     # whether this run could not write it

compare_first_page() {
    local file=$NB_NOTEBOOK_DIRECTORY/Welcome.ipynb
    if [[ ! ${FIRST_PAGE#$'\n'} || $PAGE_FAILED ]] || ! can_read_state; then return 0; fi
    if is_page_due "$file"; then
        differs first-page-differs '{path}' 'missing or outdated' 'as in this script' path "$file"
    fi
}

add_first_page() {
    local file=$NB_NOTEBOOK_DIRECTORY/Welcome.ipynb hash
    if [[ ! ${FIRST_PAGE#$'\n'} ]] || ! is_page_due "$file"; then return 0; fi
    read_page_hash
    hash=$REPLY
    read_page_state "$file"
    set_page_states "$file" "$REPLY $hash"
    if write_first_page "$file"; then
        set_page_states "$file" "$hash"
    else
        PAGE_FAILED=1
        read_last_error
        warn first-page-not-written 'could not write {path}: {error}. The server works without this file. To create '\
'the file, fix this error, then run nbserver apply again' path "$file" error "${REPLY:-no error output}"
    fi
}

# Called in a condition.
write_first_page() { # PATH
    local folder=${1%/*} file=./${1##*/}
    for_page "$folder" rm -f -- "$file.new" &&     # from a run that was interrupted
        printf %s "${FIRST_PAGE#$'\n'}" | for_page "$folder" dd of="$file.new" conv=excl status=none &&
        for_page "$folder" chmod -- "$FILE_MODE" "$file.new" &&
        for_page "$folder" mv -T -- "$file.new" "$file"
}

# Run a program as the user of the server, after read_service_user. It gets none of this script's descriptors, and not
# more than a minute: other programs of that user could stop it.
for_page() { # FOLDER PROGRAM [ARGUMENT...]
    (instead_of_subshell "$@")
}

# The program replaces the subshell of the caller. It starts in the folder, because the user of the server may not be
# able to reach the folder by its path: home folders are often closed.
instead_of_subshell() { # FOLDER PROGRAM [ARGUMENT...]
    take_hold "$1" "$1" || exit
    cd -- "$HELD" || exit
    exec timeout --kill-after=10 60 "${AS_SERVICE[@]}" "${@:2}" 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
}

# Whether the file has another text than this script, and nobody has changed it.
is_page_due() { # PATH
    local states
    if has_page_text "$1"; then return 1; fi
    read_page_states "$1"
    states=$REPLY
    read_page_state "$1"
    if [[ " $states " != *" $REPLY "* ]]; then return 1; fi
    states=$REPLY
    read_page_hash
    [[ $states != "$REPLY" ]]
}

# Whether the file has the text of this script. Not more is read than can be equal.
has_page_text() { # PATH
    local is='' text=${FIRST_PAGE#$'\n'}
    if [[ ! -f $1 || -L $1 ]]; then return 1; fi
    read_service_user
    IFS= read -r -d '' is < <(
        instead_of_subshell "${1%/*}" dd if="./${1##*/}" bs=$((${#text} + 1)) count=1 \
            iflag=fullblock,nofollow,nonblock 2>/dev/null
    ) || true
    [[ $is == "$text" ]]
}

# REPLY: the SHA-256 of the text in this script.
read_page_hash() {
    read -r REPLY _ < <(printf %s "${FIRST_PAGE#$'\n'}" | sha256sum)
}

# REPLY: `absent`, the SHA-256 of the file, or `other`. At most a mebibyte is read, and nothing but a plain file.
read_page_state() { # PATH
    REPLY=absent
    if [[ ! -e $1 && ! -L $1 ]]; then return 0; fi
    REPLY=other
    if [[ ! -f $1 || -L $1 ]]; then return 0; fi
    read_service_user
    read -r REPLY _ < <(
        instead_of_subshell "${1%/*}" dd if="./${1##*/}" bs=1M count=1 iflag=nofollow,nonblock 2>/dev/null | sha256sum
    )
}

# REPLY: the recorded states, separated by spaces.
read_page_states() { # PATH
    local line
    json_string "$1"
    for line in "${RECORD[@]}"; do
        if [[ $line != *"\",\"kind\":\"first_page\",\"key\":$REPLY,\"before\":\""* ]]; then continue; fi
        line=${line##*:\"}
        REPLY=${line%\"\}}
        return "$?"
    done
    REPLY=absent
}

set_page_states() { # PATH STATES
    local line
    local -a others=()
    json_string "$1"
    for line in "${RECORD[@]}"; do
        if [[ $line != *"\",\"kind\":\"first_page\",\"key\":$REPLY,\"before\":"* ]]; then others+=("$line"); fi
    done
    RECORD=("${others[@]}")
    read_service_user
    save_before first_page "$1" "$2"
}

restore_first_page() { # PATH STATES
    read_page_state "$1"
    if [[ $REPLY == absent || " $2 " != *" $REPLY "* ]]; then return 0; fi
    for_page "${1%/*}" rm -f -- "./${1##*/}" || problem file-not-removed 'could not remove {path}' path "$1"
}
