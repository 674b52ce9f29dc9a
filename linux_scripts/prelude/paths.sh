# ---- prelude: paths --------------------------------------------------------------------------------
# Open folders without following links, and check who could replace them.

# Root changes only what a path itself names. No link is followed, and only root, the service, and the owner of a file
# may be able to replace it. So its folder is opened first, and the kernel reports the real path of the opened folder,
# which differs if a part of the path is a link. All changes are then made in the opened folder, through HELD, even if
# somebody replaces a part of the path in the meantime.
# hold_..., check_..., and take_hold call `problem` and return 1 if they fail. They may be used before "||".

HELD='' HELD_PATH=''                               # the folder that was opened last, and its path

hold_folder() { # PATH
    take_hold "$1" "$1" || return
    check_path "$1"
}

# Open the folder that PATH is in, or will be in. OWNER is the number of its future owner; default: root.
hold_parent() { # PATH [OWNER]
    local folder=${1%/*} owner=${2:-0}
    take_hold "${folder:-/}" "$1" || return
    if [[ -e $HELD/${1##*/} ]]; then owner=$(exec stat --format=%u -- "$HELD/${1##*/}"); fi
    check_path "$1" "$owner"
}

take_hold() { # FOLDER PATH
    local real
    check_links "$2" || return
    { exec 6<"$1/."; } 2>/dev/null ||
        problem folder-not-opened 'could not open the folder {path}. Make sure that it exists, is a folder, and is '\
'readable, then try again' path "$1" || return
    HELD=/proc/$BASHPID/fd/6 HELD_PATH=$1
    real=$(exec readlink -- "$HELD")
    if [[ $real == "$1" ]]; then return; fi
    can_have_links ||
        problem path-has-link '{path} contains a link and resolves to {real}. Replace the link with a folder' \
            path "$1" real "$real" || return
    check_path "$real/x" "$EUID"
}

check_links() { # PATH
    local path=$1
    if can_have_links; then return; fi
    while [[ $path ]]; do
        if [[ -L $path ]]; then
            problem path-is-link '{path} is a link, and nbserver does not follow links. Replace the link with a '\
'folder or a bind mount (mount --bind)' \
                path "$path" || return
        fi
        path=${path%/*}
    done
}

# Whether only root, the service, and OWNER can rename or remove a part of the path. OWNER is a number; default: the
# owner of the folder that was opened. The owner of a folder above it can, and so can everybody who can write in that
# folder, unless it has the sticky bit. If a folder has an access list, the group bits of its mode are the most that the
# list allows (acl(5)).
check_path() { # PATH [OWNER]
    local folder=${1%/*} owner=${2-} number mode user group
    local -a folders=("$HELD")
    local -i i=0
    while [[ $folder ]]; do
        if [[ -e $folder ]]; then folders+=("$folder"); fi
        folder=${folder%/*}
    done
    folders+=(/)
    while IFS=/ read -r number mode user group; do   # a name from a directory service may have a space
        folder=${folders[i]}
        i+=1
        if ((i == 1)); then owner=${owner:-$number}; continue; fi
        check_folder_owner "$1" "$owner" "$folder" "$number" "$user" || return
        check_folder_mode "$1" "$folder" "$mode" "$group" || return
    done < <(exec stat --dereference --format=%u/%a/%U/%G -- "${folders[@]}")
    ((i == ${#folders[@]})) ||
        problem owners-unknown 'could not determine who owns the folders that contain {path}' path "$1"
}

check_folder_owner() { # PATH OWNER FOLDER NUMBER USER
    if (($4 == 0 || $4 == EUID || $4 == $2)) || [[ $5 == "$SERVICE_USER" ]]; then return 0; fi
    problem folder-of-other-user '{folder} belongs to {user}, who could replace {path}. Run chown root {folder}, or '\
'make {user} the owner of {path} too' \
        folder "$3" user "$5" path "$1"
}

check_folder_mode() { # PATH FOLDER MODE GROUP
    local -i mode=8#$3 sticky=8#1000 group_writes=8#20 others_write=8#2
    if ((mode & sticky || (mode & (group_writes | others_write)) == 0)); then return 0; fi
    if ((mode & others_write)); then
        problem folder-writable-by-all 'every user can write to {folder} and could replace {path}. Run chmod o-w '\
'{folder}' \
            folder "$2" path "$1" || return
    fi
    is_own_group "$2" ||
        problem folder-writable-by-group 'the group {group}, or a user in the access control list, can write to '\
'{folder} and could replace {path}. Run chmod g-w {folder}' \
            group "$4" folder "$2" path "$1"
}

# Whether the group of a folder is one user alone: it has the name of the owner, or is the group of the service, and has
# no other members. The folder must not have an access list, which `ls` shows as a plus sign.
is_own_group() { # FOLDER
    local user='' group='' members='' list=''
    IFS=/ read -r user group < <(exec stat --dereference --format=%U/%G -- "$1") || true
    if [[ $group != "$user" && $group != "$SERVICE_USER" ]]; then return 1; fi
    IFS=: read -r _ _ _ members < <(exec getent group "$group") || true
    read -r list _ < <(ls -dl -- "$1/.") || true
    [[ (! $members || $members == "$group") && $list && $list != *+ ]]
}
