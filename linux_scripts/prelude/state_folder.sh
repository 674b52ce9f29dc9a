# ---- prelude: state_folder -------------------------------------------------------------------------
# Create the folder with the data for undo, or check that nobody else could write to it.

initialize_state_folder() {
    if [[ ! -e $DATA_FOLDER && ! -L $DATA_FOLDER ]]; then
        mkdir -p -- "${DATA_FOLDER%/*}"
        mkdir -m "$PARENT_MODE" -- "$DATA_FOLDER"
    fi
    if [[ ! -e $STATE_FOLDER && ! -L $STATE_FOLDER ]]; then mkdir -m 700 -- "$STATE_FOLDER"; fi
    assert_state_folder
}

# Anybody who can write in one of these folders decides what undo restores, and where. Only the user who runs this may
# do that: root, or in user scope the user.
assert_state_folder() {
    assert_no_link "$DATA_FOLDER"
    assert_no_link "$STATE_FOLDER"
    read_all_owners "$STATE_FOLDER"
    assert_own_folder "$DATA_FOLDER"
    assert_own_folder "$STATE_FOLDER"
    assert_no_other_writer
    assert_no_other_reader
    { take_hold "$STATE_FOLDER" "$STATE_FOLDER" && check_owners "$STATE_FOLDER" "$EUID"; } ||
        fail state-folder-unsafe 'the folder that contains the data for undo is not safe to use: {cause}. Fix this '\
'problem, then try again'
}

assert_no_link() { # PATH
    if [[ -L $1 || ! -d $1 ]]; then
        fail state-folder-link '{path} cannot be used, because it is a link or is not a folder. Find out who created '\
'it, remove it, then try again' \
            path "$1"
    fi
}

# After read_all_owners, as the next two.
assert_own_folder() { # PATH
    local user=${OWNERS[$1]#*/*/}
    if [[ ${OWNERS[$1]} != "$EUID"/* ]]; then
        fail state-folder-owner 'the folder {path} cannot be used, because it belongs to {user}, who could change '\
'what undo restores. Check its files for unexpected changes, take ownership of the folder with chown or remove it, '\
'then try again' \
            path "$1" user "${user%%/*}"
    fi
}

assert_no_other_writer() {
    local mode=${OWNERS[$DATA_FOLDER]#*/}
    mode=${mode%%/*}
    if ((8#$mode & 8#22)); then
        fail state-parent-writable 'the folder {path} cannot be used, because other users can write to it (mode '\
'{mode}) and could change what undo restores. Check its files for unexpected changes, run chmod 755 {path} or remove '\
'the folder, then try again' \
            path "$DATA_FOLDER" mode "$mode"
    fi
}

assert_no_other_reader() {
    local mode=${OWNERS[$STATE_FOLDER]#*/}
    mode=${mode%%/*}
    if ((8#$mode & 8#77)); then
        fail state-folder-accessible 'the folder {path} cannot be used, because other users have access to it (mode '\
'{mode}) and could change what undo restores. Check its files for unexpected changes, run chmod 700 {path} or remove '\
'the folder, then try again' \
            path "$STATE_FOLDER" mode "$mode"
    fi
}
