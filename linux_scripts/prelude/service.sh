# ---- prelude: service ------------------------------------------------------------------------------
# Run the notebook server as a service: a unit of systemd, or a process in the background.

# In user scope it is a unit of the user's own systemd, or a process if that systemd is not running. Later runs keep the
# first choice.

SERVICE_COMMAND=()
SERVICE_ENVIRONMENT=()

is_unit() {
    if [[ $NB_SCOPE != user ]] || has_record unit "$SERVICE_UNIT"; then return 0; fi
    if has_record process "$PROCESS_FILE"; then return 1; fi
    [[ -S $XDG_RUNTIME_DIR/systemd/private ]]
}

# In su, in cron, and after a logout, the user's own systemd may not be running.
assert_own_systemd() {
    if [[ $NB_SCOPE == user && ! -S $XDG_RUNTIME_DIR/systemd/private ]]; then
        fail user-systemd-not-running 'the server is a unit of the systemd of your user, which is not running. '\
'Log in, or keep it running (loginctl enable-linger), then run this again'
    fi
}

is_service_running() {
    if is_unit; then
        read_unit "$SERVICE_UNIT"
        [[ ${UNIT[ActiveState]:-} == active ]]
    else
        read_process "$PROCESS_FILE"
        [[ $PROCESS ]]
    fi
}

has_service_failed() {
    if is_unit; then
        read_unit "$SERVICE_UNIT"
        [[ ${UNIT[ActiveState]:-} == failed ]]
    else
        read_process "$PROCESS_FILE"
        [[ ! $PROCESS ]]
    fi
}

# Print its last three lines.
print_service_log() {
    local -a lines=() options=(--unit="$SERVICE_UNIT" --lines=3 --output=cat --no-pager)
    if [[ $NB_SCOPE != user ]]; then
        journalctl "${options[@]}" 2>/dev/null
    elif is_unit; then
        journalctl --user "${options[@]}" 2>/dev/null
    elif [[ -r $PROCESS_LOG ]]; then
        mapfile -t lines <"$PROCESS_LOG"
        if ((${#lines[@]} > 3)); then lines=("${lines[@]: -3}"); fi
        printf '%s\n' "${lines[@]}"
    fi
}

warn_of_root() {
    if [[ -d /run/systemd/system ]]; then
        warn server-has-root 'the notebook server, and everything that people run in it, runs as root. '\
'To give it a separate user, run undo and set scope = "machine" in the inventory'
    else
        warn server-has-root-here 'the notebook server, and everything that people run in it, runs as root. '\
'To avoid that, run nbserver as another user'
    fi
}

read_service() {
    SERVICE_COMMAND=("$NOTEBOOK_PYTHON" -I "$STARTER_FILE" "$NOTEBOOK_FILE" "$WORK_FOLDER")
    SERVICE_ENVIRONMENT=("HOME=$HOME_FOLDER" "USER=$SERVICE_USER" SHELL=/bin/bash 'LANG=C.UTF-8'
        "PATH=${NOTEBOOK_PYTHON%/*}:$HOME_FOLDER/.local/bin:/usr/local/bin:/usr/bin:/bin")
}

# REPLY: the unit for user scope. The unit for machine scope is in the step service.
user_unit_text() {
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

# REPLY: what a process was started for. If the file of the process has another text, it is restarted.
process_text() {
    started_text
    read_service
    REPLY="${SERVICE_COMMAND[*]}
${SERVICE_ENVIRONMENT[*]}
$REPLY
"
}

process_test() {
    read_process "$PROCESS_FILE"
    process_text
    if [[ ! $PROCESS ]]; then
        differs server-not-running 'the notebook server' 'not running' 'running in the background'
    elif ! has_text "$PROCESS_FILE" "$PROCESS $PROCESS_SINCE"$'\n'"$REPLY"; then
        differs server-outdated 'the notebook server' 'started before a change' 'started after it'
    fi
}

# A program that bash starts with & ignores Ctrl-C and Ctrl-\, and so would everything that people start in a terminal
# of the notebook. Neither bash nor the `env` of every distribution can undo that.
HEAR_SIGNALS='
import os, signal, sys
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
'

process_apply() {
    warn server-in-background 'no systemd of yours is running, so the server runs in the background until the machine '\
'restarts or you run nbserver stop local'
    save_file_before "$PROCESS_LOG"
    process_text
    start_process "$PROCESS_FILE" "$PROCESS_LOG" "$REPLY" env -i "${SERVICE_ENVIRONMENT[@]}" \
        "$NOTEBOOK_PYTHON" -I -c "$HEAR_SIGNALS" "${SERVICE_COMMAND[@]}"
}
