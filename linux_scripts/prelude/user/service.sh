# ---- prelude: service ------------------------------------------------------------------------------
# Run the notebook server as a service: a unit of systemd, or a process in the background.

# It is a unit of the user's own systemd, or a process if that systemd is not running. Later runs keep the first
# choice.

SERVICE_COMMAND=()
SERVICE_ENVIRONMENT=()

is_unit() {
    if has_record unit "$SERVICE_UNIT"; then return 0; fi
    if has_record process "$PROCESS_FILE"; then return 1; fi
    [[ -S $XDG_RUNTIME_DIR/systemd/private ]]
}

# Called before "||".
start_saved_service() { # FOLDER
    if is_unit; then start_saved_unit "$1"; else launch_process; fi
}

# The unit of a user has no rights that depend on the port.
adapt_saved_unit() { # FOLDER
    return 0
}

is_set_up() {
    if is_unit; then [[ -e $UNIT_FOLDER/$SERVICE_UNIT ]]; else [[ -e $PROCESS_FILE ]]; fi
}

# In su, in cron, and after a logout, the user's own systemd may not be running.
assert_own_systemd() {
    if [[ ! -S $XDG_RUNTIME_DIR/systemd/private ]]; then
        fail user-systemd-not-running 'the server runs as a unit of your systemd user instance, which is not running. '\
'Log in at a console or with SSH, or run loginctl enable-linger, then try again'
    fi
}

# Undo could not stop the unit without that systemd.
assert_systemd_of_record() {
    if ! has_record unit "$SERVICE_UNIT"; then return 0; fi
    RUN_STEP=service
    assert_own_systemd
}
BEFORE_UNDO+=(assert_systemd_of_record)

has_service_failed() {
    if is_unit; then
        has_unit_failed
    else
        read_process "$PROCESS_FILE"
        [[ ! $PROCESS ]]
    fi
}

# REPLY: the number of the process of the server, or 0.
read_server_process() {
    if is_unit; then
        read_unit_process
    else
        read_process "$PROCESS_FILE"
        REPLY=${PROCESS:-0}
    fi
}

has_recorded_service() {
    has_record unit "$SERVICE_UNIT" || has_record process "$PROCESS_FILE"
}

stop_service() {
    if is_unit; then
        stop_unit "$SERVICE_UNIT"
    else
        stop_process "$PROCESS_FILE"
    fi
}

restart_service() {
    if is_unit; then
        assert_own_systemd
        restart_unit
    else
        restart_process
        EXIT_CODE=0
    fi
}

keep_stopped() {
    if is_unit; then
        assert_own_systemd
        keep_unit_stopped
    else
        stop_process "$PROCESS_FILE"
    fi
}

# REPLY: the file that names the program of the server, and whose last line says for which files it was started.
read_service_file() {
    if is_unit; then REPLY=$UNIT_FOLDER/$SERVICE_UNIT; else REPLY=$PROCESS_FILE; fi
}

# A process is started with the settings of this script, a unit with what is in its file.
assert_can_restart() {
    if is_unit; then assert_own_systemd; else assert_same_command; fi
}

# A process is started as this script does it, a unit as its file says.
assert_can_start() {
    if is_unit; then assert_own_systemd; fi
}

has_start_with_system() {
    if is_unit; then has_enabled_unit; else return 1; fi
}

# Kernels have the rights of the user, so a rotation cannot find everything that they changed.
warn_of_account() {
    RUN_STEP=service
    warn rotated-own-account 'notebooks run with all the rights of your account, so they may have changed your other '\
'files. Check ~/.bashrc, ~/.profile, ~/.ssh/authorized_keys, and crontab -l. Then run nbserver apply --repair, which '\
'reinstalls the packages of the server'
}

# A server of one user has no limits.
read_limits_status() {
    REPLY=null
}

# Print its last three lines.
print_service_log() {
    local -a lines=()
    if is_unit; then
        print_service_unit_log
    elif [[ -r $PROCESS_LOG ]]; then
        mapfile -t lines <"$PROCESS_LOG"
        if ((${#lines[@]} > 3)); then lines=("${lines[@]: -3}"); fi
        printf '%s\n' "${lines[@]}"
    fi
}

# REPLY: new lines of its log.
read_service_log() {
    if is_unit; then read_journal; else read_log_file "$PROCESS_LOG"; fi
}

# STOP_COMMAND and LOG_COMMAND: what a person can type.
read_service_commands() {
    STOP_COMMAND='nbserver stop local'
    LOG_COMMAND="journalctl --user --unit $SERVICE_UNIT"
    if ! is_unit; then LOG_COMMAND="cat $PROCESS_LOG"; fi
}

read_service() {
    SERVICE_COMMAND=("$NOTEBOOK_PYTHON" -I "$STARTER_FILE" "$NOTEBOOK_FILE" "$WORK_FOLDER")
    SERVICE_ENVIRONMENT=("HOME=$HOME_FOLDER" "USER=$SERVICE_USER" SHELL=/bin/bash 'LANG=C.UTF-8'
        "PATH=${NOTEBOOK_PYTHON%/*}:$HOME_FOLDER/.local/bin:/usr/local/bin:/usr/bin:/bin")
}

# REPLY: the text of the unit.
unit_text() {
    local started command environment
    started_text
    started=$REPLY
    read_service
    unit_words "${SERVICE_COMMAND[@]}"
    command=$REPLY
    unit_words "${SERVICE_ENVIRONMENT[@]}"
    environment=$REPLY
    REPLY="# Made by nbserver; an apply replaces what is changed here. Own settings: systemctl --user edit $SERVICE_UNIT
[Unit]
Description=nbserver: secured notebook server
StartLimitIntervalSec=600
StartLimitBurst=10

[Service]
Type=exec
ExecStart=$command
WorkingDirectory=$WORK_FOLDER
$USER_UNIT_OPTIONS
Environment=$environment
$USER_UNIT_LIMITS

[Install]
WantedBy=default.target

[X-nbserver]
Started=$started
"
}
USER_UNIT_OPTIONS='Restart=always
RestartSec=5
RestartPreventExitStatus=78
TimeoutStopSec=30'
USER_UNIT_LIMITS='UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native'

# REPLY: the words of a line in a unit. A word with special characters is quoted, and \ " and % are escaped
# (systemd.syntax(7), systemd.unit(5)); the name of a user from a domain may be CORP\peter.
unit_words() { # WORD...
    local word
    local -a words=()
    for word in "$@"; do
        if [[ $word == *[!A-Za-z0-9_./=:@+,-]* ]]; then
            word=${word//\\/\\\\}
            word=${word//\"/\\\"}
            word="\"${word//%/%%}\""
        fi
        words+=("$word")
    done
    REPLY=${words[*]}
}
