# ---- step: service ---------------------------------------------------------------------------------
# Run the notebook server as a service that starts with the system.

# In machine scope, it is a unit of systemd, which runs as the user of the service and can write in two folders only:
# its own and that of the notebooks. `systemd-analyze security nbserver` shows what it cannot do.
# In user scope, it is a unit or a process of the user: see prelude/service.

step service 'The notebook server runs'

service_test() {
    if is_unit; then
        unit_test
    else
        process_test
    fi
}

unit_test() {
    assert_own_systemd
    unit_text
    if ! has_text "$UNIT_FOLDER/$SERVICE_UNIT" "$REPLY"; then
        differs file-differs '{path}' 'different or missing' 'as in this script' path "$UNIT_FOLDER/$SERVICE_UNIT"
    fi
    read_unit "$SERVICE_UNIT"
    if [[ ${UNIT[UnitFileState]:-} != enabled ]]; then
        differs unit-not-enabled 'unit {unit}' "${UNIT[UnitFileState]:-}" enabled unit "$SERVICE_UNIT"
    fi
    if [[ ${UNIT[ActiveState]:-} != active ]]; then
        differs unit-not-active 'unit {unit}' "${UNIT[ActiveState]:-}" active unit "$SERVICE_UNIT"
    elif [[ ${UNIT[NeedDaemonReload]:-} == yes ]]; then
        differs unit-not-reloaded 'unit {unit}' 'changed since systemd loaded it' loaded unit "$SERVICE_UNIT"
    fi
}

service_apply() {
    if [[ $NB_SCOPE == user && $EUID -eq 0 ]]; then warn_of_root; fi
    if ! is_unit; then
        process_apply
        return
    fi
    if [[ $NB_SCOPE == user ]]; then
        add_missing_parents "$UNIT_FOLDER/default.target.wants/$SERVICE_UNIT"
        warn_of_logout
    fi
    save_unit "$SERVICE_UNIT"
    stop_unit "$SERVICE_UNIT"                      # if the run is interrupted, the next run sees a stopped unit
    unit_text
    set_unit "$SERVICE_UNIT" "$REPLY"
    start_unit "$SERVICE_UNIT"
}

warn_of_logout() {
    if [[ $(loginctl show-user --property=Linger -- "$EUID" 2>/dev/null || true) != Linger=yes ]]; then
        warn stops-at-logout 'the server runs while you are logged in. To keep it running: loginctl enable-linger'
    fi
}

# REPLY: the unit. Memory that is both writable and executable is allowed, because just-in-time compilers and foreign
# function interfaces need it.
unit_text() {
    local capabilities='' ambient='' home='ProtectHome=yes' started folder
    if [[ $NB_SCOPE == user ]]; then
        user_unit_text
        return
    fi
    started_text
    started=$REPLY
    if ((NB_NOTEBOOK_PORT < 1024)); then
        capabilities=CAP_NET_BIND_SERVICE
        ambient=$'\nAmbientCapabilities=CAP_NET_BIND_SERVICE'
    fi
    unit_word "$NB_NOTEBOOK_DIRECTORY"
    folder=$REPLY
    # Of the home folders, the service sees only the notebooks.
    case $NB_NOTEBOOK_DIRECTORY in
        /home/* | /root/* | /run/user/*) home="ProtectHome=tmpfs"$'\n'"BindPaths=$folder" ;;
    esac
    run_section "$folder"
    REPLY="$UNIT_SECTION
$REPLY

CapabilityBoundingSet=$capabilities$ambient
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
UNIT_SECTION="# Made by nbserver; an apply replaces what is changed here. Own settings: systemctl edit $SERVICE_UNIT
[Unit]
Description=nbserver: secured notebook server
After=network.target
StartLimitIntervalSec=600
StartLimitBurst=10
"
UNIT_LIMITS='PrivateTmp=yes
PrivateDevices=yes
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
        fail notebook-folder-characters 'notebook.directory has a quotation mark, a colon, a backslash, or a control '\
'character, which a path in a systemd unit cannot have. Choose another folder'
    fi
    REPLY="\"${1//%/%%}\""
}

# REPLY: when the files that the server reads at its start were last changed. If a file was changed after the server
# started, the unit's text differs, and the server is restarted.
started_text() {
    local -a files=("$STARTER_FILE" "$NOTEBOOK_FILE" "$CERTIFICATE_FILE") times=()
    if [[ -e ${files[0]} && -e ${files[1]} && -e ${files[2]} ]]; then
        mapfile -t times < <(stat --format='%.9Y' -- "${files[@]}")
    fi
    REPLY=${times[*]:-none}
}
