# ---- prelude: data_folders -------------------------------------------------------------------------
# Create the notebook folder; undo removes it only if it is empty.

# A new folder belongs to the service, or to the owner of the folder that it is in. A folder that exists keeps its
# owner. In the last two cases its group becomes that of the service, and may write.
add_data_folder() { # PATH
    if [[ ! -e $1 ]]; then
        add_missing_parents "$1"
        create_data_folder "$1" 700
        if ((REPLY == EUID)); then set_access "$1" "$SERVICE" 750; fi
    fi
    read_access "$1"
    add_service_access "$1"
}

# Create the missing folders above it. Undo removes them if they are empty.
add_missing_parents() { # PATH
    local parent=${1%/*}
    if [[ ! $parent || -d $parent ]]; then return 0; fi
    add_missing_parents "$parent"
    create_data_folder "$parent" "$PARENT_MODE"
}

# Root creates nothing in the folder of another user, who could replace it at once. That user creates it, as if they had
# run mkdir themselves. REPLY: the owner's number.
create_data_folder() { # PATH MODE
    local owner group='' parent=${1%/*}
    owner=$(exec stat --dereference --format=%u -- "${parent:-/}")
    hold_parent "$1" "$owner"
    save_before data_folder "$1" ''
    if ((owner == 0 || owner == EUID)); then
        mkdir -m "$2" -- "$HELD/${1##*/}"
        owner=$EUID
    else
        IFS=: read -r _ _ _ group _ < <(exec getent passwd "$owner") || true
        if [[ ! $group ]]; then
            fail folder-without-user '{folder} belongs to the user ID {owner}, but no user has this ID. Run chown '\
'USER {folder}, then run nbserver apply again' \
                folder "$parent" owner "$owner"
        fi
        run_program setpriv --reuid="$owner" --regid="$group" --clear-groups mkdir -m "$2" -- "$1"
    fi
    REPLY=$owner
}
