# ---- step: service -------------------------------------------------------------------------------------
# A unit of systemd that starts with the system, runs as the service's own user, and can write in two folders
# only: its own and the notebooks'. `systemd-analyze security nbserver` tells what is shut.
# In user scope it is the user's own: see prelude/service.
# Memory that can be written and executed stays allowed: compilers at run time and FFI need it.

step service 'the notebook server runs as a service'

service_test() {
    if ! is_unit; then process_test; return; fi
    assert_own_systemd
    unit_text
    if ! has_text "$UNIT_FOLDER/$SERVICE_UNIT" "$REPLY"; then difference "$UNIT_FOLDER/$SERVICE_UNIT" 'another or none' 'as in this script'; fi
    read_unit "$SERVICE_UNIT"
    if [[ ${UNIT[UnitFileState]:-} != enabled ]]; then difference "unit $SERVICE_UNIT" "${UNIT[UnitFileState]:-}" enabled; fi
    if [[ ${UNIT[ActiveState]:-} != active ]]; then difference "unit $SERVICE_UNIT" "${UNIT[ActiveState]:-}" active
    elif [[ ${UNIT[NeedDaemonReload]:-} == yes ]]; then difference "unit $SERVICE_UNIT" 'not read since it was changed' read
    fi
}

service_apply() {
    if [[ $NB_SCOPE == user && $EUID -eq 0 ]]; then warn_of_root; fi
    if ! is_unit; then process_apply; return; fi
    if [[ $NB_SCOPE == user ]]; then
        add_missing_parents "$UNIT_FOLDER/default.target.wants/$SERVICE_UNIT"
        if [[ $(loginctl show-user --property=Linger -- "$EUID" 2>/dev/null || true) != Linger=yes ]]; then write_event warning text "the server runs while you are logged in. To let it run always: loginctl enable-linger"; fi
    fi
    # Stopped first: cut off anywhere here, the next run sees that it does not run.
    run_program --accept '0 5' "${SYSTEMCTL[@]}" stop -- "$SERVICE_UNIT"   # 5: it is not loaded
    unit_text
    set_unit "$SERVICE_UNIT" "$REPLY"
    start_unit "$SERVICE_UNIT"
}

unit_text() {
    local capabilities='' ambient='' home='ProtectHome=yes' started folder
    if [[ $NB_SCOPE == user ]]; then user_unit_text; return; fi
    started_text
    started=$REPLY
    if ((NB_NOTEBOOK_PORT < 1024)); then
        capabilities=CAP_NET_BIND_SERVICE
        ambient=$'\nAmbientCapabilities=CAP_NET_BIND_SERVICE'
    fi
    unit_word "$NB_NOTEBOOK_DIRECTORY"
    folder=$REPLY
    # Of people's home folders it sees the notebooks only.
    case $NB_NOTEBOOK_DIRECTORY in
        /home/* | /root/* | /run/user/*) home="ProtectHome=tmpfs"$'\n'"BindPaths=$folder" ;;
    esac
    REPLY="# Made by nbserver; an apply replaces what is changed here. Own settings: systemctl edit $SERVICE_UNIT
[Unit]
Description=nbserver: secured notebook server
After=network.target
StartLimitIntervalSec=600
StartLimitBurst=10

[Service]
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
ReadWritePaths=$WORK_FOLDER $folder
UMask=0027

CapabilityBoundingSet=$capabilities$ambient
NoNewPrivileges=yes
ProtectSystem=strict
$home
PrivateTmp=yes
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
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target

[X-nbserver]
Started=$started
"
}

# A path as one word of a unit's line.
unit_word() { # PATH
    REPLY=$1
    if [[ $1 == *[[:cntrl:]\"\\:]* ]]; then fail "notebook.directory holds a quotation mark, a colon, a backslash or a control character, which a unit of systemd cannot have in a path. Choose another folder"; fi
    REPLY="\"${REPLY//%/%%}\""
}

# What the server reads at its start: one that was started before a change is seen, and started again.
started_text() {
    local -a files=("$STARTER_FILE" "$NOTEBOOK_FILE" "$CERTIFICATE_FILE") times=()
    if [[ -e ${files[0]} && -e ${files[1]} && -e ${files[2]} ]]; then mapfile -t times < <(stat --format='%.9Y' -- "${files[@]}"); fi
    REPLY=${times[*]:-none}
}
