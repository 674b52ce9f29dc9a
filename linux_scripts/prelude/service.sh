# ---- prelude: the service. In user scope a unit of the user's own systemd, or, where none runs, a process in
# ---- the background. What was chosen once stays.

is_unit() {
    if [[ $NB_SCOPE != user ]] || has_record unit "$SERVICE_UNIT"; then return 0; fi
    if has_record process "$PROCESS_FILE"; then return 1; fi
    [[ -S $XDG_RUNTIME_DIR/systemd/private ]]
}

# In `su`, in cron and after a logout nobody's own systemd answers.
assert_own_systemd() {
    if [[ $NB_SCOPE == user && ! -S $XDG_RUNTIME_DIR/systemd/private ]]; then fail "the server is a unit of your own systemd, which does not run now. Log in, or let it run always: loginctl enable-linger"; fi
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

print_service_log() {
    local -a lines=()
    if [[ $NB_SCOPE != user ]]; then journalctl --unit="$SERVICE_UNIT" --lines=3 --output=cat --no-pager 2>/dev/null
    elif is_unit; then journalctl --user --unit="$SERVICE_UNIT" --lines=3 --output=cat --no-pager 2>/dev/null
    elif [[ -r $PROCESS_LOG ]]; then
        mapfile -t lines <"$PROCESS_LOG"
        if ((${#lines[@]} > 3)); then lines=("${lines[@]: -3}"); fi
        printf '%s\n' "${lines[@]}"
    fi
}

warn_of_root() {
    local instead='run nbserver as another user'
    if [[ -d /run/systemd/system ]]; then instead='undo, and choose scope = "machine" in the inventory, which has a user of its own for them'; fi
    write_event warning text "the notebook server and all that people run in it have root's rights. Better: $instead"
}

SERVICE_COMMAND=()
SERVICE_ENVIRONMENT=()

read_service() {
    SERVICE_COMMAND=("$NOTEBOOK_PYTHON" -I "$STARTER_FILE" "$NOTEBOOK_FILE" "$WORK_FOLDER")
    SERVICE_ENVIRONMENT=("HOME=$HOME_FOLDER" "USER=$SERVICE_USER" SHELL=/bin/bash 'LANG=C.UTF-8'
        "PATH=${NOTEBOOK_PYTHON%/*}:$HOME_FOLDER/.local/bin:/usr/local/bin:/usr/bin:/bin")
}

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
Restart=always
RestartSec=5
RestartPreventExitStatus=78
TimeoutStopSec=30
Environment=$environment
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native

[Install]
WantedBy=default.target

[X-nbserver]
Started=$started
"
}

# Words of a unit's line. \ " and % mean something there; the user of a domain is such as CORP\peter.
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
    if [[ ! $PROCESS ]]; then difference 'the notebook server' 'not running' 'running in the background'
    elif ! has_text "$PROCESS_FILE" "$PROCESS ${PROCESS_SINCE}"$'\n'"$REPLY"; then difference 'the notebook server' 'started before a change' 'started again'
    fi
}

# What bash starts with & ignores Ctrl-C and Ctrl-\, and so would all that people start in a notebook's terminal.
# bash cannot take that back, nor can `env` of every distribution.
HEAR_SIGNALS='
import os, signal, sys
for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGPIPE):
    signal.signal(number, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
'

process_apply() {
    write_event warning text 'no systemd of yours runs here: the server runs in the background, until the machine restarts or nbserver stop local ends it'
    save_file_before "$PROCESS_LOG"
    process_text
    start_process "$PROCESS_FILE" "$PROCESS_LOG" "$REPLY" env -i "${SERVICE_ENVIRONMENT[@]}" "$NOTEBOOK_PYTHON" -I -c "$HEAR_SIGNALS" "${SERVICE_COMMAND[@]}"
}
