# ---- prelude: paths. Who else may be at work between a look at a path and a change to what it names ------
# Root changes what a path itself names: no link is followed, and nobody but root, the service and the owner of the
# thing may be able to put another one in its place. So a folder is opened first. The kernel then says where the opened
# folder is: that is elsewhere where a link was on the way. What follows is done to the opened folder, through HELD,
# whatever its path leads to by then.
# hold_..., check_... and take_hold return 1 through `problem`; they may stand in front of "||".

HELD='' HELD_PATH=''                               # the folder that was opened last, and what it is called

hold_folder() { # PATH
    take_hold "$1" "$1" || return
    check_path "$1" "$(stat --dereference --format=%u -- "$HELD")"
}

# The folder that it is in, or will be in. OWNER is the number of its owner, where it is not there yet; default: root's.
hold_parent() { # PATH [OWNER]
    local folder=${1%/*} owner=${2:-0}
    take_hold "${folder:-/}" "$1" || return
    if [[ -e $HELD/${1##*/} ]]; then owner=$(stat --format=%u -- "$HELD/${1##*/}"); fi
    check_path "$1" "$owner"
}

take_hold() { # FOLDER PATH
    local at
    check_links "$2" || return
    { exec 6<"$1/."; } 2>/dev/null || problem "$1 is not a folder that can be opened" || return
    HELD=/proc/$BASHPID/fd/6 HELD_PATH=$1
    at=$(readlink -- "$HELD")
    if [[ $at == "$1" ]]; then return; fi
    can_have_links || problem "a link in the path $1 leads to $at" || return
    check_path "$at/x" "$EUID"
}

# Below their home folder people may have links of their own; a link is in their way, not in root's.
can_have_links() {
    [[ $NB_SCOPE == user && $EUID -ne 0 ]]
}

check_links() { # PATH
    local path=$1
    if can_have_links; then return; fi
    while [[ $path ]]; do
        [[ ! -L $path ]] ||
            problem "$path is a link, and links are not followed. Name the folder that it leads to, or put a folder\
 in its place (mount --bind makes one of another)" || return
        path=${path%/*}
    done
}

# Whether only root, the service and OWNER can rename or remove a part of the path: who can write in a folder without
# the sticky bit, and whose the folder is. An access list's rights are in the group's bits of the mode.
check_path() { # PATH OWNER
    local folder=${1%/*} number mode user group
    local -a folders=()
    local -i i=0
    while [[ $folder ]]; do
        if [[ -e $folder ]]; then folders+=("$folder"); fi
        folder=${folder%/*}
    done
    folders+=(/)
    while IFS=/ read -r number mode user group; do   # a user of a directory may have a space in the name
        folder=${folders[i]}
        i+=1
        ((number == 0 || number == EUID || number == $2)) || [[ $user == "$SERVICE_USER" ]] ||
            problem "$folder belongs to $user, who could put something else in the place of $1. Let both belong to\
 $user, or give $folder to root (chown root $folder)" || return
        if (((8#$mode & 8#1000) || (8#$mode & 8#22) == 0)); then continue; fi
        ((!(8#$mode & 2))) ||
            problem "everybody can write in $folder, and could put something else in the place of $1. Take that away\
 (chmod o-w $folder)" || return
        is_own_group "$folder" ||
            problem "the group $group can write in $folder, or an access list lets others, who could put\
 something else in the place of $1. Take that away (chmod g-w $folder)" || return
    done < <(stat --dereference --format=%u/%a/%U/%G -- "${folders[@]}")
    ((i == ${#folders[@]})) || problem "who owns the folders above $1 could not be read"
}

# Whether a folder's group is one user alone: the group has the name of the owner, or is the service's, and has no other
# members; and no access list says more.
is_own_group() { # FOLDER
    local user='' group='' members='' list=''
    IFS=/ read -r user group < <(stat --dereference --format=%U/%G -- "$1") || true
    if [[ $group != "$user" && $group != "$SERVICE_USER" ]]; then return 1; fi
    IFS=: read -r _ _ _ members < <(getent group "$group") || true
    read -r list _ < <(ls -dl -- "$1/.") || true
    [[ (! $members || $members == "$group") && $list && $list != *+ ]]
}

# ---- which folders are for notebooks

# Whether a folder is the system's, or nbserver's own, or in one of these.
is_system_folder() { # PATH
    case $1/ in
        [!/]* | *//* | */./* | */../*) return 0 ;;   # not the way to write a path
        "$DATA_FOLDER"/ | "$STATE_FOLDER"/* | "$WORK_FOLDER"/* | "$PROGRAMS"/* | "$CONFIGURATION_FOLDER"/*) return 0 ;;
        "$DATA_FOLDER"/*) return 1 ;;
        /var/lib/?*/*)                             # another program's, unless it is new or was made by this script
            [[ -e $1 ]] && ! has_record data_folder "$1" && ! can_have_links
            return
            ;;
    esac
    if can_have_links; then return 1; fi           # this user has no rights there anyway
    case $1/ in
        /bin/* | /boot/* | /dev/* | /efi/* | /etc/* | /lib/* | /lib[0-9x]*/* | /proc/* | /run/*) return 0 ;;
        /sbin/* | /snap/* | /sys/* | /usr/* | /var/backups/* | /var/cache/* | /var/crash/* | /var/lib/*) return 0 ;;
        /var/lock/* | /var/log/* | /var/mail/* | /var/run/* | /var/spool/*) return 0 ;;
        /tmp/* | /var/tmp/*) [[ $NB_SCOPE == machine ]] ;;   # the service has one of its own
        *) return 1 ;;
    esac
}

# Whether people's files may be kept there: no folder of the system, none directly below /, nobody's home folder.
is_data_folder() { # PATH
    local number='' home=''
    if is_system_folder "$1" || [[ ${1#/} != */* ]]; then return 1; fi
    if [[ $NB_SCOPE == user || ! -d $1 ]]; then return 0; fi
    number=$(stat --format=%u -- "$1")
    IFS=: read -r _ _ _ _ _ home _ < <(getent passwd "$number") || true
    [[ $home != "$1" ]]
}

# For preflight: whether this script could work in all of its places.
compare_places() {
    local place
    if ! is_data_folder "$NB_NOTEBOOK_DIRECTORY"; then
        fail "notebook.directory is $NB_NOTEBOOK_DIRECTORY, which is a folder of the system, of nbserver itself, or\
 somebody's home folder. Choose another folder, such as /srv/notebooks"
    fi
    for place in "$PROGRAMS" "$CONFIGURATION_FOLDER" "$STATE_FOLDER" "$WORK_FOLDER" "$UNIT_FOLDER"; do
        check_place "$place" || fail "$PROBLEM, then run this again"
    done
    check_place "$NB_NOTEBOOK_DIRECTORY" ||
        fail "notebook.directory: $PROBLEM, or choose another notebook.directory, then run this again"
}

# Of what is not there yet: the first folder that is missing, which belongs to the owner of the folder above it.
check_place() { # PATH
    local path=$1 folder=${1%/*}
    check_links "$1" || return
    if [[ -e $1 ]]; then hold_folder "$1"; return; fi
    while [[ $folder && ! -e $folder ]]; do
        path=$folder
        folder=${folder%/*}
    done
    hold_parent "$path" "$(stat --dereference --format=%u -- "${folder:-/}")"
}
