# ---- step: service ---------------------------------------------------------------------------------
# Run the notebook server as a service that starts with the system.

# It is a unit of systemd, which runs as the user of the service and can write in two folders of the host only: its own
# and that of the notebooks. Its /tmp, /var/tmp, and /dev/shm are empty at each start, and systemd removes them when it
# stops. `systemd-analyze security nbserver` shows what it cannot do.

step service 'The notebook server is running'

service_test() {
    compare_unit
    warn_of_old_files
}

service_apply() {
    install_unit
}

# REPLY: the unit. Memory that is both writable and executable is allowed, because just-in-time compilers and foreign
# function interfaces need it.
unit_text() {
    local home='ProtectHome=yes' started folder rights
    started_text
    started=$REPLY
    unit_word "$NB_NOTEBOOK_DIRECTORY"
    folder=$REPLY
    # Of the home folders, the service sees only the notebooks.
    case $NB_NOTEBOOK_DIRECTORY in
        /home/* | /root/* | /run/user/*) home="ProtectHome=tmpfs"$'\n'"BindPaths=$folder" ;;
    esac
    rights_section
    rights=$REPLY
    resource_section
    rights+=$REPLY
    run_section "$folder"
    REPLY="${UNIT_SECTION}RequiresMountsFor=$folder

$REPLY

$rights
NoNewPrivileges=yes
ProtectSystem=strict
$home
$UNIT_LIMITS

[Install]
WantedBy=multi-user.target

[X-nbserver]
Started=$started
"
}

# REPLY: the capabilities of the unit, and whether it has its own users. A capability of such a unit does not count for
# the network of the host, so it could not open a port below 1024.
rights_section() {
    REPLY='CapabilityBoundingSet='
    if ((NB_NOTEBOOK_PORT < 1024)); then
        REPLY=$'CapabilityBoundingSet=CAP_NET_BIND_SERVICE\nAmbientCapabilities=CAP_NET_BIND_SERVICE'
    elif can_have_own_users; then
        REPLY+=$'\nPrivateUsers=yes'
    fi
}

# Whether the kernel has user namespaces, and no setting of the host forbids them.
can_have_own_users() {
    local most=0
    { IFS= read -r most </proc/sys/user/max_user_namespaces; } 2>/dev/null || return 1
    [[ $most =~ ^[1-9][0-9]*$ ]]
}

# REPLY: what the unit may use of the host. If its memory is used up, only the process that the kernel ends is lost,
# such as a kernel of a notebook; without OOMPolicy, systemd would stop the server.
resource_section() {
    REPLY=$'\n'"MemoryMax=$NB_SERVICE_MEMORY_MAX
TasksMax=$NB_SERVICE_TASKS_MAX
OOMPolicy=continue"
    if [[ $NB_SERVICE_CPU_QUOTA != infinity ]]; then REPLY+=$'\n'"CPUQuota=$NB_SERVICE_CPU_QUOTA"; fi
}

UNIT_SECTION="# Made by nbserver; an apply replaces what is changed here. Own settings: systemctl edit $SERVICE_UNIT
[Unit]
Description=nbserver: secured notebook server
After=network.target
StartLimitIntervalSec=600
StartLimitBurst=10
"
# Through the bus of the system, a program could ask other services to start it outside of the unit. In /dev/shm of the
# host, it could use up the memory that the scripts of nbserver need.
UNIT_LIMITS='PrivateTmp=yes
InaccessiblePaths=-/run/dbus
TemporaryFileSystem=/dev/shm:mode=1777,nosuid,nodev
PrivateDevices=yes
PrivateMounts=yes
DevicePolicy=closed
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RemoveIPC=yes
KeyringMode=private
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM'

# REPLY: what the unit runs, as which user, and where it can write.
run_section() { # NOTEBOOK-FOLDER, as a word of a unit
    REPLY="[Service]
Type=exec
User=$SERVICE_USER
Group=$SERVICE_USER
ExecStart=$NOTEBOOK_PYTHON -I $STARTER_FILE $NOTEBOOK_FILE $WORK_FOLDER
WorkingDirectory=$WORK_FOLDER
Restart=always
RestartSec=5
RestartPreventExitStatus=78
TimeoutStopSec=30
Environment=HOME=$WORK_FOLDER SHELL=/bin/bash 'LANG=C.UTF-8'
Environment=PATH=${NOTEBOOK_PYTHON%/*}:/usr/local/bin:/usr/bin:/bin
ReadWritePaths=$WORK_FOLDER $1
UMask=0027"
}

# REPLY: a path as one word of a line in a unit.
unit_word() { # PATH
    if [[ $1 == *[[:cntrl:]\"\\:]* ]]; then
        fail notebook-folder-characters 'notebook.directory must not contain a quotation mark, colon, backslash, or '\
'control character, because a systemd unit contains this path. Set notebook.directory in the inventory to another '\
'folder'
    fi
    REPLY="\"${1//%/%%}\""
}
