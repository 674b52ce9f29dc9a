# ---- prelude: scope = "user": all belongs to the user who runs this, below their own folders -------------
# The machine's places are above. No user, package, port or file of the system is touched in this scope.

HOME_FOLDER=${HOME:-}
HOME_FOLDER=${HOME_FOLDER%/}

if [[ $NB_SCOPE == user ]]; then
    PATH=$PATH:/usr/local/bin
    export XDG_RUNTIME_DIR=/run/user/$EUID         # where the user's own systemd is asked
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
PROCESS_FILE=$DATA_FOLDER/process                  # of the server where no systemd runs it
PROCESS_LOG=$DATA_FOLDER/server.log

# Paths of the home folder stand in units and configuration.
assert_scope() {
    if [[ $NB_SCOPE != user ]]; then return; fi
    if [[ ! $HOME_FOLDER =~ ^(/[A-Za-z0-9._@+-]+)+$ ]]; then fail "HOME is '$HOME_FOLDER', which is no path of letters, digits and . _ @ + - from the root folder on. Set it to your home folder"; fi
    if [[ ! -d $HOME_FOLDER || ! -O $HOME_FOLDER || ! -w $HOME_FOLDER ]]; then fail "HOME is $HOME_FOLDER, which is not your folder or cannot be written. Set it to your home folder"; fi
}
