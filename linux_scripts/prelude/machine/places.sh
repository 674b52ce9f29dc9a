# ---- prelude: places -------------------------------------------------------------------------------
# Name the places of a server for the whole machine, which root sets up.

PROGRAMS=/opt/nbserver                             # programs; only root can write
CONFIGURATION_FOLDER=/etc/nbserver                 # configuration, certificate, key; the service reads
DATA_FOLDER=/var/lib/nbserver                      # contains the next two, and the notebooks
STATE_FOLDER=$DATA_FOLDER/state                    # record, events, lock; only root has access
WORK_FOLDER=$DATA_FOLDER/work                      # the service reads and writes
RECORD_FILE=$STATE_FOLDER/record.jsonl             # the previous state, for undo
LOCK_FILE=$STATE_FOLDER/lock                       # locked while a run changes this host
SERVICE_USER=nbserver                              # the user and group of the service
SERVICE_UNIT=nbserver.service
PROGRAM_OWNER=root:root                            # of programs and units
OWNER_FORMAT=%U:%G                                 # how `stat` prints such an owner
SERVICE=$SERVICE_USER:$SERVICE_USER                # owner of what the service writes
READERS=root:$SERVICE_USER                         # owner of what the service only reads, with these modes:
FOLDER_MODE=750 FILE_MODE=640 PARENT_MODE=755
UNIT_FOLDER=/etc/systemd/system
SYSTEMCTL=(systemctl)
DISK_FOLDER=${PROGRAMS%/*}                         # a folder on the disk of the programs
ALLOW_ROOT=false                                   # whether the server may run as root
WITHOUT_RIGHTS=(setpriv --reuid=65534 --regid=65534 --clear-groups)   # runs a program as nobody

# A plan may run without root, which alone has access to the record.
can_read_state() {
    [[ $EUID -eq 0 ]]
}

assert_root_for_change() {
    if [[ $EUID -ne 0 ]]; then
        fail needs-root 'changing this host requires root privileges. Run nbserver, or this script, as root or with '\
'sudo'
    fi
}
BEFORE_CHANGE+=(assert_root_for_change)

# Whoever can replace a link could make root change another thing.
can_have_links() {
    return 1
}

# Whether the environment is writable for what runs in a notebook.
can_notebooks_install() {
    return 1
}

# The service has its own /tmp, so it would not see notebooks in that of the host.
has_private_tmp() {
    return 0
}

# Whether a folder is the home folder of its owner.
is_home_folder() { # PATH
    local number='' home=''
    if [[ ! -d $1 || $1 == "$DATA_FOLDER"/* ]]; then return 1; fi   # nobody's home is in nbserver's own folder
    number=$(exec stat --format=%u -- "$1")
    IFS=: read -r _ _ _ _ _ home _ < <(exec getent passwd "$number") || true
    [[ $home == "$1" ]]
}

# Whether only a body for this scope records such a line.
is_of_scope() { # KIND KEY
    case $1 in
        user) [[ $2 == "$SERVICE_USER" ]] ;;
        file) return 1 ;;
        *) return 0 ;;
    esac
}

# FOREIGN_PATHS: configuration that only this scope could use.
read_foreign_paths_of_scope() {
    FOREIGN_PATHS+=(/etc/{xdg/pip/,}pip.conf /etc/{xdg/,}uv/uv.toml)
}
