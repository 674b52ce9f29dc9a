# ---- prelude: locations ----------------------------------------------------------------------------
# Decide which folders may be used, for notebooks and for nbserver itself.

OWN_FOLDERS=("$PROGRAMS" "$CONFIGURATION_FOLDER" "$STATE_FOLDER" "$WORK_FOLDER" "$UNIT_FOLDER")
GUARDED+=("${OWN_FOLDERS[@]}" "$NB_NOTEBOOK_DIRECTORY")

# Whether a folder belongs to the system or to nbserver itself, or is in such a folder.
is_system_folder() { # PATH
    case $1/ in
        [!/]* | *//* | */./* | */../*) return 0 ;;   # not an absolute path in its plain form
        "$DATA_FOLDER"/ | "$STATE_FOLDER"/* | "$WORK_FOLDER"/* | "$PROGRAMS"/* | "$CONFIGURATION_FOLDER"/*) return 0 ;;
        "$DATA_FOLDER"/*) return 1 ;;
        /var/lib/?*/*)                             # another program's, unless it is new or this script created it
            [[ -e $1 ]] && ! has_record data_folder "$1" && ! can_have_links
            return "$?"
            ;;
    esac
    if can_have_links; then return 1; fi           # this user cannot write in the folders below
    case $1/ in
        /bin/* | /boot/* | /dev/* | /efi/* | /etc/* | /lib/* | /lib[0-9x]*/* | /proc/* | /run/*) return 0 ;;
        /sbin/* | /snap/* | /sys/* | /usr/* | /var/backups/* | /var/cache/* | /var/crash/* | /var/lib/*) return 0 ;;
        /var/lock/* | /var/log/* | /var/mail/* | /var/run/* | /var/spool/*) return 0 ;;
        /tmp/* | /var/tmp/*) has_private_tmp ;;
        *) return 1 ;;
    esac
}

# Whether a folder may have notebooks: it is not a system folder, not directly below /, and not a home folder.
is_data_folder() { # PATH
    if is_system_folder "$1" || [[ ${1#/} != */* ]]; then return 1; fi
    ! is_home_folder "$1"
}

assert_notebook_folder_allowed() {
    met notebook-folder-allowed '{path} can be used as notebook.directory' path "$NB_NOTEBOOK_DIRECTORY"
    if ! is_data_folder "$NB_NOTEBOOK_DIRECTORY"; then
        fail notebook-folder-reserved 'notebook.directory is {path}, which is a system folder, an nbserver folder, or '\
'a home folder. Set notebook.directory to another folder, such as /srv/notebooks' \
            path "$NB_NOTEBOOK_DIRECTORY"
    fi
}

assert_own_folders_safe() {
    local path
    met own-folders-safe 'no other user can replace the folders that nbserver uses'
    read_all_owners "${GUARDED[@]}"
    for path in "${OWN_FOLDERS[@]}"; do
        check_location "$path" ||
            fail own-folder-unsafe 'nbserver cannot safely use {path}: {cause}. Fix this problem, '\
'then try again' path "$path"
    done
}

assert_notebook_folder_safe() {
    met notebook-folder-safe 'no other user can replace {path}' path "$NB_NOTEBOOK_DIRECTORY"
    if [[ $FINDING ]]; then read_all_owners "$NB_NOTEBOOK_DIRECTORY"; fi   # in another subshell than the check before
    check_location "$NB_NOTEBOOK_DIRECTORY" ||
        fail notebook-folder-unsafe 'notebook.directory is not safe to use: {cause}. Fix this problem, or set '\
'notebook.directory in the inventory to another folder'
}

# Whether a folder is safe to use, after read_all_owners. Of a path that does not exist yet, the first missing folder is
# checked: it will belong to the owner of the folder above it. Whatever is changed later is opened and checked again.
check_location() { # PATH
    local path=$1 folder=$1 owner
    while [[ $folder && ! -e $folder ]]; do
        path=$folder
        folder=${folder%/*}
    done
    owner=${OWNERS[${folder:-/}]-}
    if can_have_links; then
        take_hold "${folder:-/}" "$1" || return "$?"
        check_path "$path" "${owner%%/*}"
    else
        hold_by_name "${folder:-/}" "$1" || return "$?"
        check_owners "$path" "${owner%%/*}"
    fi
}
