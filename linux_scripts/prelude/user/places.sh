# ---- prelude: places -------------------------------------------------------------------------------
# Name the places of a server for one user, in the folders of the user who runs this.

# No user, package, port, or file of the system is changed.

HOME_FOLDER=${HOME:-}
HOME_FOLDER=${HOME_FOLDER%/}

PATH=$PATH:/usr/local/bin
export XDG_RUNTIME_DIR=/run/user/$EUID             # the user's own systemd has its socket there
unset DBUS_SESSION_BUS_ADDRESS
PROGRAMS=$HOME_FOLDER/.local/share/nbserver
CONFIGURATION_FOLDER=$HOME_FOLDER/.config/nbserver
DATA_FOLDER=$HOME_FOLDER/.local/state/nbserver     # contains the next two
UNIT_FOLDER=$HOME_FOLDER/.config/systemd/user
STATE_FOLDER=$DATA_FOLDER/state
WORK_FOLDER=$DATA_FOLDER/work
RECORD_FILE=$STATE_FOLDER/record.jsonl
LOCK_FILE=$STATE_FOLDER/lock
SERVICE_UNIT=nbserver.service
DISK_FOLDER=$HOME_FOLDER                           # an existing folder on the disk of the programs
SYSTEMCTL=(systemctl --user)
OWNER_FORMAT=%u:%g                                 # numbers: in a container this user may have no name
read -r PROGRAM_OWNER SERVICE_USER < <(exec stat --format="$OWNER_FORMAT %U" /proc/$$)
if [[ $SERVICE_USER == UNKNOWN ]]; then SERVICE_USER=$EUID; fi
SERVICE=$PROGRAM_OWNER
READERS=$PROGRAM_OWNER
FOLDER_MODE=700 FILE_MODE=600 PARENT_MODE=700
if [[ ${NB_NOTEBOOK_DIRECTORY:0:1} == '~' ]]; then NB_NOTEBOOK_DIRECTORY=$HOME_FOLDER/${NB_NOTEBOOK_DIRECTORY:2}; fi
ALLOW_ROOT=false                                   # whether the server may run as root
WITHOUT_RIGHTS=()                                  # this user has no rights to give up
if [[ $EUID -eq 0 ]]; then ALLOW_ROOT=true; fi
PROCESS_FILE=$DATA_FOLDER/process                  # of a server that does not run as a unit
PROCESS_LOG=$DATA_FOLDER/server.log

BEFORE_RUN+=(assert_home_path assert_home_writable)

# Units, PATH, and configuration files contain paths below the home folder. Spaces and letters of any language are fine.
assert_home_path() {
    if [[ $HOME_FOLDER != /* || /$HOME_FOLDER/ == *[[:cntrl:]\'\"\\\$\`%:]* || $HOME_FOLDER/ == */@(|.|..)/* ]]; then
        fail home-invalid 'HOME is "{path}", but it must be an absolute path without quotation marks, control '\
'characters, or any of \ $ ` % :. Set HOME to a folder that you own and that has a valid path, then try again' \
            path "$HOME_FOLDER"
    fi
}

assert_home_writable() {
    if [[ ! -d $HOME_FOLDER || ! -O $HOME_FOLDER || ! -w $HOME_FOLDER ]]; then
        fail home-not-yours 'HOME is {path}, which you do not own or cannot write to. Set HOME to your home folder, '\
'then try again' \
            path "$HOME_FOLDER"
    fi
}

# Everything belongs to the user who runs this.
can_read_state() {
    return 0
}

# A user may have links below their home folder: if one is wrong, only that user is affected.
can_have_links() {
    [[ $EUID -ne 0 ]]
}

# Whether the environment is writable for what runs in a notebook.
can_notebooks_install() {
    return 0
}

has_private_tmp() {
    return 1
}

# The notebooks may be in the home folder itself.
is_home_folder() { # PATH
    return 1
}

# Whether only a body for this scope records such a line.
is_of_scope() { # KIND KEY
    case $1 in
        file) [[ $2 == "$PROCESS_LOG" ]] ;;
        process) [[ $2 == "$PROCESS_FILE" ]] ;;
        *) return 0 ;;
    esac
}

# FOREIGN_PATHS: configuration that only this scope could use.
read_foreign_paths_of_scope() {
    FOREIGN_PATHS+=("$HOME_FOLDER"/.jupyter/jupyter*_config.{py,json}
        "$HOME_FOLDER"/.local/share/jupyter/kernels/*
        "$HOME_FOLDER"/.ipython/profile_default/{*_config.{py,json},startup/*.{py,ipy}})
}
