# ---- prelude: scope --------------------------------------------------------------------------------
# Keep everything in the folders of the user who runs this, if scope = "user".

# The paths for scope = "machine" are in run. In user scope, no user, package, port, or file of the system is changed.

HOME_FOLDER=${HOME:-}
HOME_FOLDER=${HOME_FOLDER%/}

if [[ $NB_SCOPE == user ]]; then
    PATH=$PATH:/usr/local/bin
    export XDG_RUNTIME_DIR=/run/user/$EUID         # the user's own systemd has its socket there
    unset DBUS_SESSION_BUS_ADDRESS
    PROGRAMS=$HOME_FOLDER/.local/share/nbserver
    CONFIGURATION_FOLDER=$HOME_FOLDER/.config/nbserver
    DATA_FOLDER=$HOME_FOLDER/.local/state/nbserver
    UNIT_FOLDER=$HOME_FOLDER/.config/systemd/user
    STATE_FOLDER=$DATA_FOLDER/state
    WORK_FOLDER=$DATA_FOLDER/work
    RECORD_FILE=$STATE_FOLDER/record.jsonl
    LOCK_FILE=$STATE_FOLDER/lock
    SYSTEMCTL=(systemctl --user)
    OWNER_FORMAT=%u:%g                             # numbers: in a container this user may have no name
    read -r PROGRAM_OWNER SERVICE_USER < <(stat --format="$OWNER_FORMAT %U" /proc/$$)
    if [[ $SERVICE_USER == UNKNOWN ]]; then SERVICE_USER=$EUID; fi
    SERVICE=$PROGRAM_OWNER
    READERS=$PROGRAM_OWNER
    FOLDER_MODE=700 FILE_MODE=600 PARENT_MODE=700
    if [[ ${NB_NOTEBOOK_DIRECTORY:0:1} == '~' ]]; then NB_NOTEBOOK_DIRECTORY=$HOME_FOLDER/${NB_NOTEBOOK_DIRECTORY:2}; fi
fi
PROCESS_FILE=$DATA_FOLDER/process                  # of a server that does not run as a unit
PROCESS_LOG=$DATA_FOLDER/server.log

assert_scope() {
    if [[ $NB_SCOPE != user ]]; then return; fi
    assert_home_path
    assert_home_writable
}

# Units and configuration files contain paths below the home folder.
assert_home_path() {
    if [[ ! $HOME_FOLDER =~ ^(/[A-Za-z0-9._@+-]+)+$ ]]; then
        fail home-invalid 'HOME is "{path}", but it must be an absolute path of letters, digits, and . _ @ + -. '\
'Set it to your home folder' \
            path "$HOME_FOLDER"
    fi
}

assert_home_writable() {
    if [[ ! -d $HOME_FOLDER || ! -O $HOME_FOLDER || ! -w $HOME_FOLDER ]]; then
        fail home-not-yours 'HOME is {path}, which is not your folder or is read-only. Set it to your home folder' \
            path "$HOME_FOLDER"
    fi
}
