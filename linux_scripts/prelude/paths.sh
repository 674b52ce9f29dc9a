# ---- prelude: paths --------------------------------------------------------------------------------
# Open folders without following links, and find out who could replace them.

# Root changes only what a path itself names. No link is followed, and only root, the service, and the owner of a file
# may be able to replace it. So its folder is opened first, and the kernel reports the real path of the opened folder,
# which differs if a part of the path is a link. All changes are then made in the opened folder, through HELD, even if
# somebody replaces a part of the path in the meantime.
# hold_..., check_..., and take_hold call `problem` and return 1 if they fail. They may be used before "||".

HELD='' HELD_PATH=''                               # the folder that was opened last, and its path
FOLDERS=()                                         # of read_folders_above
declare -A OWNERS=()                               # of read_owners: folder -> NUMBER/MODE/USER/GROUP
GUARDED=()                                         # paths that nobody else may replace, which a plan checks at once

hold_folder() { # PATH
    take_hold "$1" "$1" || return "$?"
    check_path "$1"
}

# Open the folder that PATH is in, or will be in. OWNER is the number of its future owner; default: root.
hold_parent() { # PATH [OWNER]
    local folder=${1%/*} owner=${2:-0}
    take_hold "${folder:-/}" "$1" || return "$?"
    if [[ -e $HELD/${1##*/} ]]; then owner=$(exec stat --format=%u -- "$HELD/${1##*/}"); fi
    check_path "$1" "$owner"
}

take_hold() { # FOLDER PATH
    local real
    hold_by_name "$1" "$2" || return "$?"
    real=$(exec readlink -- "$HELD")
    if [[ $real == "$1" ]]; then return 0; fi
    can_have_links ||
        problem path-has-link '{path} contains a link and resolves to {real}. Replace the link with a folder' \
            path "$1" real "$real" || return "$?"
    check_path "$real/x" "$EUID"
}

# Open a folder for a check only: somebody may replace a part of its path between the look for links and the opening.
hold_by_name() { # FOLDER PATH
    check_links "$2" || return "$?"
    { exec 6<"$1/."; } 2>/dev/null ||
        problem folder-not-opened 'could not open the folder {path}. Make sure that it exists, is a folder, and is '\
'readable, then try again' path "$1" || return "$?"
    HELD=/proc/$BASHPID/fd/6 HELD_PATH=$1
}

check_links() { # PATH
    local path=$1
    if can_have_links; then return 0; fi
    while [[ $path ]]; do
        if [[ -L $path ]]; then
            problem path-is-link '{path} is a link, and nbserver does not follow links. Replace the link with a '\
'folder or a bind mount (mount --bind)' \
                path "$path" || return "$?"
        fi
        path=${path%/*}
    done
}

# Whether only root, the service, and OWNER can rename or remove a part of the path. OWNER is a number; default: the
# owner of the folder that was opened. The owner of a folder above it can, and so can everybody who can write in that
# folder, unless it has the sticky bit. If a folder has an access list, the group bits of its mode are the most that the
# list allows (acl(5)).
check_path() { # PATH [OWNER]
    read_folders_above "$1"
    read_owners "$HELD" "${FOLDERS[@]}"
    check_owners "$1" "${2:-${OWNERS[$HELD]%%/*}}"
}

# The same, after read_owners.
check_owners() { # PATH OWNER
    local folder
    local -a access
    read_folders_above "$1"
    for folder in "${FOLDERS[@]}"; do
        [[ ${OWNERS[$folder]-} =~ ^([0-9]+)/([0-7]+)/([^/]*)/(.*)$ ]] ||
            problem owners-unknown 'could not determine who owns the folders that contain {path}' path "$1" ||
            return "$?"
        access=("${BASH_REMATCH[@]}")
        check_folder_owner "$1" "$2" "$folder" "${access[1]}" "${access[3]}" || return "$?"
        check_folder_mode "$1" "$folder" "${access[2]}" "${access[4]}" || return "$?"
    done
}

# FOLDERS: the folders above a path that exist, up to the root folder.
read_folders_above() { # PATH
    local folder=${1%/*}
    FOLDERS=()
    while [[ $folder ]]; do
        if [[ -e $folder ]]; then FOLDERS+=("$folder"); fi
        folder=${folder%/*}
    done
    FOLDERS+=(/)
}

# OWNERS: who owns these folders, and who may write in them. One `stat` for all.
read_owners() { # FOLDER...
    local folder
    local -a lines=()
    mapfile -t lines < <(exec stat --dereference --format=%u/%a/%U/%G -- "$@")
    if ((${#lines[@]} != $#)); then lines=(); fi   # a folder that is gone has no line, and the others have no name
    for folder in "$@"; do
        OWNERS[$folder]=${lines[0]-}
        lines=("${lines[@]:1}")
    done
}

# OWNERS: of these paths, if they exist, and of all folders above them.
read_all_owners() { # PATH...
    local path folder
    local -a paths=("$@")
    local -A distinct=()
    if [[ $RUN_MODE == @(test|status) ]]; then     # nothing changes between two steps
        if [[ ${OWNERS[$1]+known} ]]; then return 0; fi
        paths+=("${GUARDED[@]}")
    fi
    for path in "${paths[@]}"; do
        read_folders_above "$path/."
        for folder in "${FOLDERS[@]}"; do distinct[$folder]=1; done
    done
    read_owners "${!distinct[@]}"
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
            folder "$2" path "$1" || return "$?"
    fi
    is_own_group "$2" ||
        problem folder-writable-by-group 'the group {group}, or a user in the access control list, can write to '\
'{folder} and could replace {path}. Run chmod g-w {folder}' \
            group "$4" folder "$2" path "$1"
}

# Whether the group of a folder is one user alone: it has the name of the owner, or is the group of the service, and has
# no other members. The folder must not have an access list.
is_own_group() { # FOLDER
    local user='' group='' members='' number=''
    IFS=/ read -r user group < <(exec stat --dereference --format=%U/%G -- "$1") || true
    if [[ $group != "$user" && $group != "$SERVICE_USER" ]]; then return 1; fi
    IFS=: read -r _ _ number members < <(exec getent group "$group") || true
    if [[ $members && $members != "$group" ]]; then return 1; fi
    can_find_primary_member "$number" "$group" && [[ ! $REPLY ]] && ! has_access_list "$1"
}

# REPLY: another user than this one whose primary group it is, or ''. The list of members of a group lacks these users.
# They may not be found on a host that lists all users of a directory, which can take minutes.
can_find_primary_member() { # GROUP-NUMBER USER
    local user group other=''
    local -i code=0
    while IFS=: read -r user _ _ group _; do
        if [[ $group == "$1" && $user != "$2" ]]; then other=$user; fi
    done < <(exec timeout 60 getent passwd)
    wait "$!" || code=$?
    REPLY=$other
    ((code == 0))
}

# Whether a folder has an access list, which `ls` shows as a plus sign, or may have one, because it cannot be read.
has_access_list() { # FOLDER
    local mode=''
    read -r mode _ < <(ls -dl -- "$1/.") || true
    [[ ! $mode || $mode == *+ ]]
}
