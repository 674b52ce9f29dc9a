# ---- prelude: service_access -----------------------------------------------------------------------
# Make sure that the user can write to the notebook folder; undo restores its permissions.

can_service_write() { # PATH
    [[ -d $1 && -w $1 && -x $1 ]]
}

compare_notebook_folder() {
    if ! can_service_write "$NB_NOTEBOOK_DIRECTORY"; then
        differs notebook-folder-access 'notebook server access to {path}' 'no access' 'read and write' \
            path "$NB_NOTEBOOK_DIRECTORY"
    fi
}

add_service_access() { # PATH
    if ! can_service_write "$1"; then
        fail notebook-folder-read-only 'you cannot write to {path}. Set notebook.directory in the inventory to a '\
'folder that you can write to' path "$1"
    fi
}

# The server runs as this user, who has access to every earlier folder for notebooks.
warn_of_kept_folder() { # PATH
    return 0
}

# A folder that has files stays, and so does its line in the record: a later undo checks it again.
restore_data_folder() { # PATH
    if [[ ! -e $1 && ! -L $1 ]]; then return 0; fi
    hold_parent "$1" || return "$?"
    rmdir -- "$HELD/${1##*/}" 2>/dev/null || LINE_STAYS=1
    if [[ $LINE_STAYS ]]; then warn folder-kept '{path} was kept, because it contains files' path "$1"; fi
}

restore_access() { # PATH BEFORE
    if [[ ! -e $1 && ! -L $1 ]]; then return 0; fi
    hold_folder "$1" || return "$?"
    { chown -- "${2% *}" "$HELD" && chmod -- "00${2#* }" "$HELD"; } ||
        problem access-not-restored 'could not set the owner and mode of {path} to {access}' \
            path "$1" access "$2" || return "$?"
}

AS_SERVICE=()                                      # the service runs as the user who runs this

read_service_user() {
    return 0
}
