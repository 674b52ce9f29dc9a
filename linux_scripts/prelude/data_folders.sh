# ---- prelude: folders that hold people's files: undo removes them only when they are empty ---------------

# After read_access: whether the service can write there, as its owner or by its group.
can_service_write() { # PATH
    local owner=${ACCESS[$1]% *} mode=${ACCESS[$1]#* }
    if [[ ! -d $1 ]]; then return 1; fi
    if [[ $NB_SCOPE == user ]]; then [[ -w $1 && -x $1 ]]; return; fi
    [[ $owner == "$SERVICE_USER:"* && $((8#$mode & 0700)) -eq $((0700)) || $owner == *":$SERVICE_USER" && $((8#$mode & 0070)) -eq $((0070)) ]]
}

# A new folder belongs to the service, or where it is in somebody's own folder, to them. One that somebody has keeps its
# owner. Then its group becomes the service's, and may write.
add_data_folder() { # PATH
    if [[ ! -e $1 ]]; then
        add_missing_parents "$1"
        make_data_folder "$1" 700
        if ((REPLY == EUID)); then set_access "$1" "$SERVICE" 750; fi
    fi
    read_access "$1"
    refuse_lost_files "$1"
    if can_service_write "$1"; then return; fi
    if [[ $NB_SCOPE == user ]]; then fail "you cannot write in $1. Choose another notebook.directory"; fi
    hold_folder "$1"
    save_access "$1"
    chown -- ":$SERVICE_USER" "$HELD"
    chmod -- g+rwx "$HELD"
}

# Folders above it that are not there yet; undo removes them when they are empty.
add_missing_parents() { # PATH
    local parent=${1%/*}
    if [[ ! $parent || -d $parent ]]; then return; fi
    add_missing_parents "$parent"
    make_data_folder "$parent" "$PARENT_MODE"
}

# In somebody's own folder they are the one who makes it, as if they had typed it: root makes nothing where somebody
# else could exchange it at once. REPLY: the owner's number.
make_data_folder() { # PATH MODE
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
            fail "$parent belongs to the number $owner, which no user has. Give it to a user (chown), then run this again"
        fi
        run_program setpriv --reuid="$owner" --regid="$group" --clear-groups mkdir -m "$2" -- "$1"
    fi
    REPLY=$owner
}

# What holds files stays, and so does its line of the record: a later undo looks at it again.
restore_data_folder() { # PATH
    if [[ ! -e $1 && ! -L $1 ]]; then return; fi
    keep_user_for "$1"
    hold_parent "$1" || return
    rmdir -- "$HELD/${1##*/}" 2>/dev/null || LINE_STAYS=1
    if [[ $LINE_STAYS ]]; then
        write_event warning text "$1 holds files and stays"
        # Those in a folder below it were found there before.
        if [[ " ${USER_IS_KEPT_FOR[*]}" != *" $1/"* ]] && has_files_of_service "$1"; then return; fi
    fi
    keep_user_for ''
}

# ---- files of the service that stay. Its user stays with them: the next user would get its number, and the files

USER_IS_KEPT_FOR=()                                # folders that hold files of the service, or where nobody could look

# '' takes the last one back.
keep_user_for() { # PATH
    if [[ $1 ]]; then USER_IS_KEPT_FOR+=("$1"); else unset 'USER_IS_KEPT_FOR[-1]'; fi
}

# A search that fails has not found that there are none: even root may not be allowed to look (NFS, FUSE).
has_files_of_service() { # FOLDER
    local found
    if [[ $NB_SCOPE == user ]] || ! has_user "$SERVICE_USER"; then return 1; fi
    found=$(find "$1" -user "$SERVICE_USER" -print -quit) || return 0
    [[ $found ]]
}

# Kind files: a folder that somebody has had all along, in which files of the service stay.
restore_files() { # FOLDER
    if [[ ! -e $1 ]] || ! has_files_of_service "$1"; then return; fi
    keep_user_for "$1"
    LINE_STAYS=1
}

# Files of a user that is gone, as an earlier nbserver may have left them: the service could not read them, or somebody
# else has their number by now. REPLY: one of them and whose it is, or ''.
read_lost_files() { # FOLDER
    local number user
    REPLY=''
    if [[ $NB_SCOPE == user || ! -d $1 ]]; then return; fi
    read -r number user < <(stat --format='%u %U' -- "$1")
    case $user,$1/ in
        UNKNOWN,*) REPLY="$number $1" ;;
        root,* | "$SERVICE_USER",*) ;;
        *,"$DATA_FOLDER"/*) REPLY="$user $1" ;;
        *)
            if can_service_write "$1"; then return; fi
            IFS= read -r REPLY < <(find "$1" -xdev -nouser -printf '%U %p' -quit) || true
            ;;
    esac
}

refuse_lost_files() { # FOLDER
    local owner
    read_lost_files "$1"
    if [[ ! $REPLY ]]; then return; fi
    owner=${REPLY%% *}
    fail "${REPLY#* } belongs to $owner, and not to the service or to a user of this host. If an earlier nbserver\
 left it: chown --recursive --no-dereference --from=$owner $SERVICE $1. Else give it to whom it belongs. Then run\
 this again"
}
