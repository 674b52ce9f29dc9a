# ---- prelude: data_folders -------------------------------------------------------------------------
# Create folders for notebooks; undo removes them only if they are empty.

# After read_access: whether the service can write in the folder, as its owner or by its group.
can_service_write() { # PATH
    local owner=${ACCESS[$1]% *}
    local -i mode owner_all=8#700 group_all=8#70
    if [[ ! -d $1 ]]; then return 1; fi
    if [[ $NB_SCOPE == user ]]; then
        [[ -w $1 && -x $1 ]]
        return
    fi
    mode=8#${ACCESS[$1]#* }
    if [[ $owner == "$SERVICE_USER:"* ]] && (((mode & owner_all) == owner_all)); then return 0; fi
    [[ $owner == *":$SERVICE_USER" ]] && (((mode & group_all) == group_all))
}

# A new folder belongs to the service, or to the owner of the folder that it is in. A folder that exists keeps its
# owner. In the last two cases its group becomes that of the service, and may write.
add_data_folder() { # PATH
    if [[ ! -e $1 ]]; then
        add_missing_parents "$1"
        create_data_folder "$1" 700
        if ((REPLY == EUID)); then set_access "$1" "$SERVICE" 750; fi
    fi
    read_access "$1"
    assert_no_lost_files "$1"
    if can_service_write "$1"; then return; fi
    if [[ $NB_SCOPE == user ]]; then
        fail notebook-folder-read-only 'you cannot write in {path}. Choose another notebook.directory' path "$1"
    fi
    hold_folder "$1"
    save_access "$1"
    chown -- ":$SERVICE_USER" "$HELD"
    chmod -- g+rwx "$HELD"
}

# Create the missing folders above it. Undo removes them if they are empty.
add_missing_parents() { # PATH
    local parent=${1%/*}
    if [[ ! $parent || -d $parent ]]; then return; fi
    add_missing_parents "$parent"
    create_data_folder "$parent" "$PARENT_MODE"
}

# Root creates nothing in the folder of another user, who could replace it at once. That user creates it, as if they had
# run mkdir themselves. REPLY: the owner's number.
create_data_folder() { # PATH MODE
    local owner group='' parent=${1%/*}
    owner=$(stat --dereference --format=%u -- "${parent:-/}")
    hold_parent "$1" "$owner"
    save_before data_folder "$1" ''
    if ((owner == 0 || owner == EUID)); then
        mkdir -m "$2" -- "$HELD/${1##*/}"
        owner=$EUID
    else
        IFS=: read -r _ _ _ group _ < <(getent passwd "$owner") || true
        if [[ ! $group ]]; then
            fail folder-without-user '{folder} belongs to the number {owner}, which is not the number of a user. '\
'Give it to a user (chown), then run this again' \
                folder "$parent" owner "$owner"
        fi
        run_program setpriv --reuid="$owner" --regid="$group" --clear-groups mkdir -m "$2" -- "$1"
    fi
    REPLY=$owner
}

# A folder that has files stays, and so does its line in the record: a later undo checks it again.
restore_data_folder() { # PATH
    if [[ ! -e $1 && ! -L $1 ]]; then return; fi
    keep_user_for "$1"
    hold_parent "$1" || return
    rmdir -- "$HELD/${1##*/}" 2>/dev/null || LINE_STAYS=1
    if [[ $LINE_STAYS ]]; then
        warn folder-kept '{path} contains files and was kept' path "$1"
        # If its files are in a folder below it, that folder was already found to have them.
        if [[ " ${USER_IS_KEPT_FOR[*]}" != *" $1/"* ]] && has_files_of_service "$1"; then return; fi
    fi
    release_user
}
