# ---- prelude: service_access -----------------------------------------------------------------------
# Give the service access to the notebook folder, and remove this access at undo.

# After read_access: whether the service can write in the folder, as its owner or by its group.
can_service_write() { # PATH
    local owner=${ACCESS[$1]% *}
    local -i mode owner_all=8#700 group_all=8#70
    if [[ ! -d $1 ]]; then return 1; fi
    mode=8#${ACCESS[$1]#* }
    if [[ $owner == "$SERVICE_USER:"* ]] && (((mode & owner_all) == owner_all)); then return 0; fi
    [[ $owner == *":$SERVICE_USER" ]] && (((mode & group_all) == group_all))
}

# Whether an access list lets the service write in the folder. Such a list can allow more or less than the mode says
# (acl(5)), so the kernel is asked, as the user of the service.
# `find` does so; the `test` of Ubuntu since 25.10 compares only the mode.
is_open_by_list() { # PATH
    local found=''
    if [[ ! -d $1 ]] || ! has_access_list "$1" || ! has_user "$SERVICE_USER"; then return 1; fi
    read_service_user
    read -r found < <(instead_of_subshell "$1" find . -maxdepth 0 -writable -executable 2>/dev/null) || true
    [[ $found == . ]]
}

compare_notebook_folder() {
    if ! can_service_write "$NB_NOTEBOOK_DIRECTORY" && ! is_open_by_list "$NB_NOTEBOOK_DIRECTORY"; then
        differs notebook-folder-access 'notebook server access to {path}' 'no access' 'read and write' \
            path "$NB_NOTEBOOK_DIRECTORY"
    fi
    read_lost_files "$NB_NOTEBOOK_DIRECTORY"
    if [[ $REPLY ]]; then
        differs file-without-user 'owner of {path}' "${REPLY%% *}" 'the service or an existing user' \
            path "${REPLY#* }"
    fi
}

add_service_access() { # PATH
    assert_no_lost_files "$1"
    if has_access_list "$1"; then
        assert_open_by_list "$1"
        return "$?"
    fi
    if can_service_write "$1"; then return 0; fi
    hold_folder "$1"
    save_access "$1"
    chown -- ":$SERVICE_USER" "$HELD"
    chmod -- g+rwx "$HELD"
}

# In a folder with an access list, chmod would give the group nothing, and could give others more: the group bits of its
# mode are the most that the list allows.
assert_open_by_list() { # PATH
    if is_open_by_list "$1"; then return 0; fi
    fail notebook-folder-access-list 'the access control list of {path} does not let the service write to this '\
'folder. Run setfacl --modify user:{user}:rwx {path}, then run nbserver apply again' path "$1" user "$SERVICE_USER"
}

# A folder for notebooks that this script created belongs to the service, and so do the files in it.
warn_of_kept_folder() { # PATH
    read_access "$1"
    if ! can_service_write "$1"; then return 0; fi
    warn earlier-notebook-folder '{path} is the previous notebook.directory, and the service can still write to it. '\
'Move its files to another folder, or change its owner with chown -R' \
        path "$1"
}

# A folder that has files stays, and so does its line in the record: a later undo checks it again.
restore_data_folder() { # PATH
    if [[ ! -e $1 && ! -L $1 ]]; then return 0; fi
    keep_user_for "$1"
    hold_parent "$1" || return "$?"
    rmdir -- "$HELD/${1##*/}" 2>/dev/null || LINE_STAYS=1
    if [[ $LINE_STAYS ]]; then
        warn folder-kept '{path} was kept, because it contains files' path "$1"
        # If its files are in a folder below it, that folder was already found to have them.
        if [[ " ${USER_IS_KEPT_FOR[*]}" != *" $1/"* ]] && has_files_of_service "$1"; then return 0; fi
    fi
    release_user
}

# A folder for notebooks may have files of the service by now.
restore_access() { # PATH BEFORE
    if [[ ! -e $1 && ! -L $1 ]]; then return 0; fi
    keep_user_for "$1"
    hold_folder "$1" || return "$?"
    { chown -- "${2% *}" "$HELD" && chmod -- "00${2#* }" "$HELD"; } ||
        problem access-not-restored 'could not set the owner and mode of {path} to {access}' \
            path "$1" access "$2" || return "$?"
    if has_files_of_service "$1"; then
        save_before files "$1" ''
    else
        release_user
    fi
}

# The words before a command that make it run as the user of the service, away from the terminal of this script. Before
# read_service_user, nothing runs.
AS_SERVICE=(false)

read_service_user() {
    if [[ ! $GOOD_ACCOUNT ]]; then read_account "$SERVICE_USER"; fi
    AS_SERVICE=(setsid -- setpriv --reuid="$ACCOUNT_NUMBER" --regid="$ACCOUNT_GROUP" --clear-groups --no-new-privs)
    if can_keep_apart; then AS_SERVICE+=(--{inh,ambient}-caps="-all,+$UNUSED_CAPABILITY"); fi
    AS_SERVICE+=(--)
}

# Code in a notebook runs as the same user. It must not take over a program that this script runs outside of the unit,
# by writing to its memory. The kernel allows that only to a process with at least the same capabilities (ptrace(2)), so
# the program keeps one that means nothing (capabilities(7)). A container may not have it.
UNUSED_CAPABILITY=net_broadcast                    # bit 11

can_keep_apart() {
    local name value
    while read -r name value; do
        if [[ $name == CapPrm: ]]; then
            (((16#$value >> 11) & 1))
            return "$?"
        fi
    done </proc/self/status
    return 1
}
