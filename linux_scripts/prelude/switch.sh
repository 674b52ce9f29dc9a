# ---- prelude: switch -------------------------------------------------------------------------------
# Switch the server to another environment, and verify the server that runs from it.

# Another lock gets another environment. Before the server is switched to it, a folder gets what the server ran before:
# the path of its Python, its configuration, the program that starts it, and its unit. As long as this folder exists,
# the switch is open: a run that fails restores what is in it, and the next run completes a switch that was cut off.
# When the new server has been verified, the folder becomes that of the previous environment, which is kept. The same
# folder protects a server that only gets other settings. It has a mark then, and is removed after the verification.

SWITCH_FOLDER=$STATE_FOLDER/switch
PREVIOUS_FOLDER=$STATE_FOLDER/previous
SETTINGS_MARK=$SWITCH_FOLDER/settings
DEPLOYED_PYTHON=''                                 # of read_deployed_python
SAVED_PYTHON=''                                    # of read_saved_python
SERVER_FILES=()                                    # of read_server_files
FAILURE=()                                         # why this run failed: code, values, text
HAS_NEW_SETTINGS=''                                # what the server reads when it starts differs
SWITCH_MAY_BE_OPEN=''                              # the server only started again: the next apply verifies it
ROLLBACK_BEGUN=''                                  # this run goes back to the previous environment: mode rollback

# ---- which environment the server runs from

# DEPLOYED_PYTHON: the Python that the unit of this script, or its process in the background, was set up with; '' if
# there is none, or if it cannot run any more.
read_deployed_python() {
    find_deployed_python
    if [[ ! -x $DEPLOYED_PYTHON ]]; then DEPLOYED_PYTHON=''; fi
}

# DEPLOYED_PYTHON: the same, also if it cannot run any more.
find_deployed_python() {
    local line file
    DEPLOYED_PYTHON=''
    read_service_file
    file=$REPLY
    if [[ ! -r $file ]] || ! has_server_record; then return 0; fi
    while IFS= read -r line; do
        if [[ $line =~ ("$PROGRAMS"/env-[0-9a-f]{8}/bin/python|/usr/bin/python3[0-9.]*)[\"\ ] ]]; then
            DEPLOYED_PYTHON=${BASH_REMATCH[1]}
            break
        fi
    done <"$file"
}

# Whether the server was set up with another environment than that of this script: before an upgrade, or after a
# rollback.
has_other_environment() {
    find_deployed_python
    [[ $DEPLOYED_PYTHON && $DEPLOYED_PYTHON != "$NOTEBOOK_PYTHON" ]]
}

# After has_other_environment.
report_other_environment() {
    local now
    environment_of "$DEPLOYED_PYTHON"
    now=$REPLY
    environment_of "$NOTEBOOK_PYTHON"
    differs server-other-environment 'environment of the notebook server' "$now" "$REPLY"
}

# REPLY: the folder of the environment of a Python; a Python of the distribution itself.
environment_of() { # PYTHON
    REPLY=${1%/bin/python}
}

has_server_record() {
    has_record unit "$SERVICE_UNIT" || ! is_unit
}

# SAVED_PYTHON: the Python in such a folder; '' if there is none, or if it cannot run any more.
read_saved_python() { # FOLDER
    local line=''
    SAVED_PYTHON=''
    if [[ ! -r $1/python ]]; then return 0; fi
    IFS= read -r line <"$1/python" || true
    if [[ $line =~ ^("$PROGRAMS"/env-[0-9a-f]{8}/bin/python|/usr/bin/python3[0-9.]*)$ && -x $line ]]; then
        SAVED_PYTHON=$line
    fi
}

# REPLY: the Python of the environment that is kept: during an upgrade the one that the server runs from, else the
# previous one.
read_kept_python() {
    if has_open_switch; then
        read_saved_python "$SWITCH_FOLDER"
        REPLY=$SAVED_PYTHON
        if [[ $REPLY != "$NOTEBOOK_PYTHON" ]]; then return 0; fi
    fi
    read_deployed_python
    REPLY=$DEPLOYED_PYTHON
    if [[ $REPLY && $REPLY != "$NOTEBOOK_PYTHON" ]]; then return 0; fi
    read_saved_python "$PREVIOUS_FOLDER"
    REPLY=$SAVED_PYTHON
}

has_open_switch() {
    [[ -e $SWITCH_FOLDER ]]
}

# ---- the switch

# Called before the first file changes that the server reads. A switch that is open keeps what it saved: the server may
# already run from the new environment.
begin_switch() {
    if has_open_switch; then return 0; fi
    read_deployed_python
    if [[ ! $DEPLOYED_PYTHON ]]; then return 0; fi
    RUN_STEP=packages
    if [[ $DEPLOYED_PYTHON != "$NOTEBOOK_PYTHON" ]]; then
        save_or_refuse
    elif [[ $HAS_NEW_SETTINGS ]] && is_answering_as_saved; then
        save_or_refuse
        : >"$SWITCH_FOLDER.new/${SETTINGS_MARK##*/}"
    else
        return 0
    fi
    open_switch
}

# After the test of a step: whether it will change the configuration or the unit.
note_new_settings() { # STEP
    local -i i
    for ((i = 0; i < ${#DIFFERENCES[@]}; i += 5)); do
        case $1/${DIFFERENCES[i]} in
            notebook/* | service/file-differs) HAS_NEW_SETTINGS=1 ;;
        esac
    done
}

# Whether the server answers at the port and the address of its present configuration.
is_answering_as_saved() {
    local NB_NOTEBOOK_PORT=$NB_NOTEBOOK_PORT NB_NOTEBOOK_IP=$NB_NOTEBOOK_IP
    read_saved_address
    read_shown
    ((${#ANSWERS[@]} == 2))
}

save_or_refuse() {
    save_server "$SWITCH_FOLDER.new" ||
        fail previous-not-saved 'could not save the files of the current server, so the server was not changed: '\
'{cause}. Fix this error, then try again'
}

open_switch() {
    mv -T -- "$SWITCH_FOLDER.new" "$SWITCH_FOLDER"
}

# SERVER_FILES: what the server is started with.
read_server_files() {
    SERVER_FILES=("$NOTEBOOK_FILE" "$STARTER_FILE")
    if is_unit; then SERVER_FILES+=("$UNIT_FOLDER/$SERVICE_UNIT"); fi
}

save_server() { # FOLDER
    local file
    rm -rf -- "$1" && mkdir -m 700 -- "$1" || return "$?"
    read_server_files
    for file in "${SERVER_FILES[@]}"; do
        if [[ ! -e $file ]]; then continue; fi
        hold_parent "$file" || return "$?"
        cp -a -T -- "$HELD/${file##*/}" "$1/${file##*/}" ||
            problem previous-not-copied 'could not copy {path}' path "$file" || return "$?"
    done
    printf '%s\n' "$DEPLOYED_PYTHON" >"$1/python" || return "$?"
    sync -- "$1"/* || return "$?"
}

# Called when the server has been started from the new environment. Until then, nothing of the old one was removed.
verify_switch() {
    if ! has_open_switch; then return 0; fi
    RUN_STEP=check
    report_start verifying-server 'Verifying the server'
    check_apply
    read_shown
    if [[ $SHOWN != "$RUN_FINGERPRINT" ]]; then
        fail new-server-certificate 'the server presents a different certificate on TCP port {port}: expected '\
'{expected}, got {actual}' port "$NB_NOTEBOOK_PORT" expected "$RUN_FINGERPRINT" actual "$SHOWN"
    fi
    check_login
    read_saved_python "$SWITCH_FOLDER"
    if [[ $SAVED_PYTHON == "$NOTEBOOK_PYTHON" ]]; then
        rm -rf -- "$SWITCH_FOLDER"                 # only the settings are new, or a rollback was cut off
        return "$?"
    fi
    rm -rf -- "$PREVIOUS_FOLDER"
    mv -T -- "$SWITCH_FOLDER" "$PREVIOUS_FOLDER"
}
