# ---- prelude: disks --------------------------------------------------------------------------------
# Refuse a read-only or noexec folder, and a folder where a file must be written.

MOUNT='' MOUNT_OPTIONS=''                          # of read_mount

assert_folders_writable() {
    local path folder
    met folders-writable 'the folders of the notebook server are writable'
    for path in "$PROGRAMS" "$CONFIGURATION_FOLDER" "$STATE_FOLDER" "$WORK_FOLDER" "$UNIT_FOLDER" \
        "$NB_NOTEBOOK_DIRECTORY"; do
        folder=$path
        while [[ $folder && ! -e $folder ]]; do folder=${folder%/*}; done
        read_mount "${folder:-/}"
        if [[ $MOUNT_OPTIONS == *,ro,* ]]; then
            fail folder-read-only '{path} cannot be used: the file system at {mount} is read-only. '\
'Mount it with write access (mount -o remount,rw {mount}), then try again' \
                path "$path" mount "$MOUNT"
        fi
        if [[ $path == "$PROGRAMS" && $MOUNT_OPTIONS == *,noexec,* ]]; then
            fail folder-noexec 'programs cannot run from {path}: the file system at {mount} is mounted with noexec. '\
'Remount it with exec (mount -o remount,exec {mount}), remove noexec from /etc/fstab, then try again' \
                path "$path" mount "$MOUNT"
        fi
        if [[ $path != "$NB_NOTEBOOK_DIRECTORY" && ! -w ${folder:-/} ]]; then
            fail folder-not-writable 'you cannot write to {folder}. If it was created with sudo, make your user its '\
'owner with chown, then try again' \
                folder "${folder:-/}"
        fi
    done
}

# MOUNT and MOUNT_OPTIONS: where the file system of an existing folder is mounted, and its options between commas. In a
# line of /proc/self/mountinfo (proc_pid_mountinfo(5)), field 5 is the place, in which \\040 is a space. Field 6 has the
# options of the mount, and the last field those of the file system. Of two with the same place, the later one counts.
read_mount() { # FOLDER
    local real place options line
    MOUNT='' MOUNT_OPTIONS=''
    real_path "$1"
    real=$REPLY
    while read -r _ _ _ _ place options line; do
        printf -v place %b "$place"
        if [[ $real/ == "${place%/}"/* ]] && ((${#place} >= ${#MOUNT})); then
            MOUNT=$place MOUNT_OPTIONS=,$options,${line##* },
        fi
    done </proc/self/mountinfo
}

# REPLY: the path of an existing folder without links. Usually none of its parts is one.
real_path() { # FOLDER
    local path=$1
    REPLY=$1
    while [[ $path ]]; do
        if [[ -L $path ]]; then
            REPLY=$(exec readlink -e -- "$1") || REPLY=/
            return "$?"
        fi
        path=${path%/*}
    done
}

# A folder in the place of a file could not be replaced.
assert_no_folder_in_place() { # PATH...
    local path
    met no-folder-in-place 'no folder has the path of a file that nbserver writes'
    for path in "$@"; do
        if [[ -d $path && ! -L $path ]]; then
            fail folder-instead-of-file '{path} is a folder, but the script needs to write a file at this path. '\
'Rename or remove the folder, then try again' \
                path "$path"
        fi
    done
}
