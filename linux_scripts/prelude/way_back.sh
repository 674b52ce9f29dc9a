# ---- prelude: way_back -----------------------------------------------------------------------------
# Restore the previous server after a failed upgrade or failed new settings.

SWITCH_PROBLEM=''                                  # of leave_switch_open
END_REPORTED=''                                    # of report_end

# Restore what the folder has, start that server, and prove that it answers. Called before "||".
switch_to() { # FOLDER
    read_saved_python "$1"
    if [[ ! $SAVED_PYTHON ]]; then
        problem previous-environment-missing 'the virtual environment of the previous server is missing or '\
'incomplete' || return "$?"
    fi
    NOTEBOOK_PYTHON=$SAVED_PYTHON
    ENVIRONMENT=${SAVED_PYTHON%/bin/python*}
    LOCK_MARK=$ENVIRONMENT/nbserver.lock
    stop_service || return "$?"
    bring_back_files "$1" || return "$?"
    read_saved_address
    start_saved_service "$1" || return "$?"
    prove_restored
}

# A password that was replaced since does not come back. If new settings fail, the password does: it came with them, and
# set-password changes what was saved, too. A rollback keeps the port and the address.
bring_back_files() { # FOLDER
    local text='' saved hash former='' name=notebook.password_hash
    if [[ -e $1/${STARTER_FILE##*/} ]]; then restore_file "$STARTER_FILE" "$1/${STARTER_FILE##*/}" || return "$?"; fi
    if [[ ! -e $1/${NOTEBOOK_FILE##*/} ]]; then return 0; fi
    read_hash
    hash=$REPLY
    if [[ $1 == "$SWITCH_FOLDER" && -e $SETTINGS_MARK ]]; then hash=''; fi
    IFS= read -r -d '' text <"$1/${NOTEBOOK_FILE##*/}" || true
    saved=$text
    if [[ $1 == "$PREVIOUS_FOLDER" ]]; then
        with_present_address "$text"
        text=$REPLY
    fi
    if [[ $text =~ $HASH_PATTERN ]]; then former=${BASH_REMATCH[1]}; fi
    if [[ $text == "$saved" && (! $hash || ! $former || $hash == "$former") ]]; then
        restore_file "$NOTEBOOK_FILE" "$1/${NOTEBOOK_FILE##*/}"
        return "$?"
    fi
    if [[ $hash && $former ]]; then
        # shellcheck disable=SC2004 # the names of SECRETS are text
        SECRETS[$name]=$hash
        expand_secret "${text//"$former"/@$name@}" "$name"
        text=$REPLY
    fi
    replace_whole "$NOTEBOOK_FILE" "$READERS" "$FILE_MODE" "$text"
}

# As write_whole, but called before "||".
replace_whole() { # PATH OWNER MODE TEXT
    local file
    hold_parent "$1" || return "$?"
    file=$HELD/${1##*/}
    rm -f -- "$file.new" || return "$?"
    printf %s "$4" >"$file.new" ||
        problem file-not-written 'could not write {path}. Make sure that its disk is writable and has free space, '\
'then try again' path "$1" || return "$?"
    chown -- "$2" "$file.new" || return "$?"
    chmod -- "$3" "$file.new" || return "$?"
    mv -T -- "$file.new" "$file"
}

# REPLY: a configuration with the port and the address of the present one, for which the firewall is set.
with_present_address() { # TEXT
    local now='' name pattern present
    IFS= read -r -d '' now <"$NOTEBOOK_FILE" || true
    REPLY=$1
    for name in port ip; do
        pattern="\"$name\": [^,"$'\n'"]*,"
        if [[ ! $now =~ $pattern ]]; then continue; fi
        present=${BASH_REMATCH[0]}
        if [[ $REPLY =~ $pattern ]]; then REPLY=${REPLY//"${BASH_REMATCH[0]}"/"$present"}; fi
    done
}

# The port and the address in the configuration that was restored.
read_saved_address() {
    local text=''
    if [[ ! -r $NOTEBOOK_FILE ]]; then return 0; fi
    IFS= read -r -d '' text <"$NOTEBOOK_FILE" || true
    if [[ $text =~ \"port\":\ ([0-9]{1,5}), ]]; then NB_NOTEBOOK_PORT=${BASH_REMATCH[1]}; fi
    if [[ $text =~ \"ip\":\ \"([0-9a-f.:*]{1,45})\", ]]; then NB_NOTEBOOK_IP=${BASH_REMATCH[1]}; fi
    return 0
}

prove_restored() {
    if has_answered && is_refused 0 && is_refused 1; then return 0; fi
    problem previous-not-responding 'the previous server was started again, but does not respond as expected on TCP '\
'port {port}' \
        port "$NB_NOTEBOOK_PORT"
}

# Whether a run has failed, or was stopped, while it was changing the environment or the settings of the server. A run
# that was refused at its start changes nothing.
# shellcheck disable=SC2317 # a trap calls it
is_switch_to_end() {
    [[ ($RUN_MODE == apply || $ROLLBACK_BEGUN) && $RUN_OUTCOME != ok && $RUN_LOCKED && $LEFT_HAS_ENDED ]] &&
        [[ ! -e $ROTATION_FILE ]] && { has_open_switch || [[ $ENVIRONMENT_STARTED ]]; }
}

# What a trap starts ignores the signals that the trap ignores, unless a subshell starts it. Prints the number of events
# and the outcome of the run. While bash 4.4 runs the EXIT trap of the script, it runs none of a subshell, so `exit`
# prints as well.
# shellcheck disable=SC2317 # a trap calls it
end_switch_in_subshell() {
    (
        trap report_end EXIT
        trap 'exit "$?"' ERR
        exit() { report_end; builtin exit "$@"; }
        trap : TERM INT HUP
        RUN_STOPPING='' CHILD='' RUN_ENDING=1
        end_switch 1>&2
        exit 0
    ) 5>&1
}

# Once.
# shellcheck disable=SC2317 # a trap calls it
report_end() {
    if [[ ! $END_REPORTED ]]; then printf '%s %s\n' "$RUN_EVENTS" "$RUN_OUTCOME" >&5; fi
    END_REPORTED=1
}

# Its last events say what this host runs.
# shellcheck disable=SC2317 # a trap calls it
end_switch() {
    local environment=$ENVIRONMENT
    if [[ $ENVIRONMENT_STARTED ]] && is_set_aside "$ENVIRONMENT"; then
        RUN_STEP=packages
        return_environment "$ENVIRONMENT" || { report_not_returned; return 0; }
        ENVIRONMENT_RETURNED=1
    fi
    if ! has_open_switch; then
        report_not_switched
        return "$?"
    fi
    RUN_STEP=service
    if [[ $ROLLBACK_BEGUN ]]; then
        end_rollback
        return "$?"
    fi
    if is_untouched; then
        rm -rf -- "$SWITCH_FOLDER"
        report_not_switched
        return "$?"
    fi
    if [[ -e $SETTINGS_MARK && $SAVED_PYTHON == "$NOTEBOOK_PYTHON" ]]; then
        end_new_settings
        return "$?"
    fi
    report_start switching-back 'Switching back to the previous environment'
    # A run that applies the previous settings again has built no environment, and removes none.
    if switch_to "$SWITCH_FOLDER" || { [[ $SAVED_PYTHON && $environment != "$ENVIRONMENT" ]] &&
        remove_environment "$environment" && switch_to "$SWITCH_FOLDER"; }; then
        close_switch
        write_message "$REPLY" text upgrade-switched-back 'the upgrade failed, so this host runs its previous '\
'environment {environment} again: {cause}' environment "$ENVIRONMENT"
        return "$?"
    fi
    leave_switch_open
    write_message "$REPLY" text upgrade-not-switched-back 'the upgrade failed, and nbserver could not switch back '\
'to the previous environment: {problem}. Fix this error, then run nbserver apply again. The upgrade failed because '\
'of this error: {cause}' \
        problem "$SWITCH_PROBLEM"
}

# Whether the server that was saved still runs, and all its files are as they were saved. Then there is nothing to
# restore, and a server that people work with is not restarted. SAVED_PYTHON: of that server.
is_untouched() {
    read_saved_python "$SWITCH_FOLDER"
    if [[ $SERVER_STARTED ]]; then return 1; fi
    read_server_process
    if ((REPLY == 0)); then return 1; fi
    find_deployed_python
    [[ $DEPLOYED_PYTHON == "$SAVED_PYTHON" ]] && has_saved_files
}

# shellcheck disable=SC2317 # a trap calls it
end_new_settings() {
    report_start restoring-settings 'Restoring the previous settings of the server'
    if switch_to "$SWITCH_FOLDER"; then
        close_switch
        write_message "$REPLY" text settings-restored 'the new settings were not applied, so the server runs with its '\
'previous settings again: {cause}'
        return "$?"
    fi
    leave_switch_open
    write_message "$REPLY" text settings-not-restored 'the new settings were not applied, and nbserver could not '\
'restore the previous settings of the server: {problem}. Fix this error, then run nbserver apply again. The new '\
'settings were not applied because of this error: {cause}' \
        problem "$SWITCH_PROBLEM"
}

# The server that was saved runs again. REPLY: as use_failure.
# shellcheck disable=SC2317 # a trap calls it
close_switch() {
    rm -rf -- "$SWITCH_FOLDER"
    use_failure
}

# SWITCH_PROBLEM: why the server that was saved does not run again. REPLY: as use_failure.
# shellcheck disable=SC2317 # a trap calls it
leave_switch_open() {
    RUN_OUTCOME=failed
    SWITCH_PROBLEM=$PROBLEM
    use_failure
}

# Whether all files are as they were saved.
has_saved_files() {
    local file text=''
    read_server_files
    for file in "${SERVER_FILES[@]}"; do
        IFS= read -r -d '' text <"$SWITCH_FOLDER/${file##*/}" || true
        if ! has_text "$file" "$text"; then return 1; fi
    done
    return 0
}

# What was saved is the environment that the host ran before the rollback.
# shellcheck disable=SC2317 # a trap calls it
end_rollback() {
    report_start returning 'Switching back to the environment that was in use before the rollback'
    if switch_to "$SWITCH_FOLDER"; then
        close_switch
        write_message "$REPLY" text rollback-switched-back 'the rollback failed, so this host runs the environment '\
'{environment} again: {cause}' environment "$ENVIRONMENT"
        return "$?"
    fi
    leave_switch_open
    write_message "$REPLY" text rollback-not-switched-back 'the rollback failed, and nbserver could not switch back '\
'to the environment that was in use before: {problem}. Fix this error, then run nbserver apply. The rollback failed '\
'because of this error: {cause}' \
        problem "$SWITCH_PROBLEM"
}

# The server still runs from its previous environment, if this run has built another one.
# shellcheck disable=SC2317 # a trap calls it
report_not_switched() {
    if [[ ! $ENVIRONMENT_STARTED ]]; then return 0; fi
    if [[ $ENVIRONMENT_RETURNED ]]; then
        RUN_STEP=packages
        use_failure
        write_message "$REPLY" text environment-returned 'could not reinstall the packages, so this host keeps its '\
'current environment {environment}: {cause}' environment "$ENVIRONMENT"
        return "$?"
    fi
    read_deployed_python
    if [[ ! $DEPLOYED_PYTHON || $DEPLOYED_PYTHON == "$NOTEBOOK_PYTHON" ]]; then return 0; fi
    RUN_STEP=packages
    if [[ ! -e $LOCK_MARK ]]; then remove_environment "$ENVIRONMENT" || true; fi
    use_failure
    write_message "$REPLY" text upgrade-not-begun 'the upgrade failed, and this host still runs its previous '\
'environment {environment}: {cause}' environment "${DEPLOYED_PYTHON%/bin/python*}"
}

# shellcheck disable=SC2317 # a trap calls it
report_not_returned() {
    leave_switch_open
    write_message "$REPLY" text environment-not-returned 'could not reinstall the packages: {cause}. nbserver also '\
'could not restore the environment {environment}: {problem}. Fix both errors, then run nbserver apply again' \
        environment "$ENVIRONMENT" problem "$SWITCH_PROBLEM"
}

# PROBLEM: why this run failed. REPLY: the event that says so: a run that was stopped did not fail.
# shellcheck disable=SC2317 # a trap calls it
use_failure() {
    if ((${#FAILURE[@]})); then
        PROBLEM_CODE=${FAILURE[0]} PROBLEM_VALUES=${FAILURE[1]} PROBLEM=${FAILURE[2]} REPLY=failed
    else
        PROBLEM='the run was stopped' PROBLEM_CODE='' REPLY=warning
    fi
}

# It would take the space that the previous server needs.
remove_environment() { # ENVIRONMENT
    local line
    for line in "${RECORD[@]}"; do
        split_line "$line"
        if [[ $LINE_KIND == folder && $LINE_KEY == "$1" ]]; then
            undo_line "$line"
            return "$?"
        fi
    done
    return 1
}

# Undo removes all environments.
forget_previous() {
    rm -rf -- "$SWITCH_FOLDER" "$SWITCH_FOLDER.new" "$PREVIOUS_FOLDER"
}
BEFORE_UNDO+=(forget_previous)
