# ---- prelude: host_checks --------------------------------------------------------------------------
# Refuse a host with the wrong processor, without a needed program, or with a full disk.

# The step preflight calls these.

assert_architecture() {
    local found
    case $HOSTTYPE in
        x86_64) found=x64 ;;
        aarch64) found=arm64 ;;
        *)
            fail architecture-unsupported 'the processor architecture of this host is {is}, but nbserver supports '\
'only x86_64 (x64) and aarch64 (arm64). Use another host' \
                is "$HOSTTYPE"
            ;;
    esac
    met architecture-right 'the processor architecture is {is}' is "$HOSTTYPE"
    if [[ $NB_ARCHITECTURE != "$found" ]]; then
        fail wrong-architecture 'the processor architecture of this host is {is}, but nbserver expected '\
'{architecture}. Set architecture = "{found}" in the inventory' \
            is "$HOSTTYPE" architecture "$NB_ARCHITECTURE" found "$found"
    fi
}

assert_programs_installed() { # NAME...
    local program
    met programs-installed 'the programs that the script needs are installed'
    for program in "$@"; do
        if ! type -P "$program" >/dev/null; then
            fail program-missing 'the program {program} is not installed. Install the package that provides it, then '\
'try again' \
                program "$program"
        fi
    done
}

# An environment takes about 1.5 GB, and so do the packages of the distribution. A new environment is created next to
# the one in use.
assert_free_space() {
    local folder blocks size
    local -i megabytes
    read_installation_folder
    folder=$REPLY
    if [[ ! $folder ]]; then
        met already-installed 'the packages are already installed'
        return "$?"
    fi
    read -r blocks size < <(exec stat --file-system --format='%a %S' -- "$folder")
    megabytes=$((blocks * size / 1000000))
    met folder-space 'the disk that contains {folder} has {free} MB of free space' free "$megabytes" folder "$folder"
    if ((megabytes < 2000)); then
        fail folder-space-low 'the disk that contains {folder} has {free} MB of free space, but 2000 MB is required. '\
'Free some disk space, then try again' \
            free "$megabytes" folder "$folder"
    fi
}

# An environment has about 20000 files and folders. Some file systems, such as Btrfs, have no fixed number of inodes: 0.
assert_free_inodes() {
    local folder total
    local -i free
    read_installation_folder
    folder=$REPLY
    met inodes-free 'there are enough free inodes'
    if [[ ! $folder ]]; then return 0; fi
    read -r total free < <(exec stat --file-system --format='%c %d' -- "$folder")
    if ((total && free < 30000)); then
        fail inodes-low 'the file system that contains {folder} has {free} free inodes, but 30,000 are required: each '\
'file needs one. Remove files, or use a larger file system, then try again' \
            free "$free" folder "$folder"
    fi
}

# REPLY: an existing folder on the disk that the packages will use, or '' if they are already installed.
read_installation_folder() {
    REPLY=''
    if [[ $NB_PACKAGES_SOURCE == distribution ]]; then
        if [[ ! -e /usr/bin/jupyter-notebook ]]; then REPLY=/usr; fi
    elif [[ ! -e $LOCK_MARK ]]; then
        REPLY=$DISK_FOLDER
        if [[ -d $PROGRAMS ]]; then REPLY=$PROGRAMS; fi
        while [[ ! -d $REPLY ]]; do                # a minimal system may have no /opt
            REPLY=${REPLY%/*}
            REPLY=${REPLY:-/}
        done
    fi
}
