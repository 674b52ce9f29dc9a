# ---- prelude: rollback -----------------------------------------------------------------------------
# Switch back to the environment from before the last upgrade: mode rollback.

# It is a switch to the folder of the previous environment. What the server runs now is saved first, and becomes the
# previous one, so a second rollback goes forward again. If the server fails its verification, finish_run
# switches back. A file in the folder of the switch says that a rollback opened it: the next rollback completes it.

ROLLBACK_MARK=$SWITCH_FOLDER/rollback

MODES['rollback']=roll_back
CHANGING_MODES+=(rollback)

roll_back() {
    local now
    assert_installed
    assert_no_open_rotation
    RUN_STEP=packages
    assert_no_open_upgrade
    if has_open_switch && [[ ! -e $PREVIOUS_FOLDER ]]; then   # it was cut off after the verification
        mv -T -- "$SWITCH_FOLDER" "$PREVIOUS_FOLDER"
        write_event unchanged
        return "$?"
    fi
    assert_previous
    assert_same_folder
    NOTEBOOK_PYTHON=$SAVED_PYTHON
    assert_has_certificate
    RUN_STEP=service DIFFERENCES=()
    assert_can_start
    environment_of "$DEPLOYED_PYTHON"
    now=$REPLY
    environment_of "$SAVED_PYTHON"
    differs server-rolls-back 'environment that the server starts from' "$now" "$REPLY"
    make_change switch_to_previous
    prove_previous
}

# An upgrade that was cut off: its switch has the previous environment, and that of the upgrade before may be gone.
assert_no_open_upgrade() {
    if ! has_open_switch || [[ -e $ROLLBACK_MARK ]]; then return 0; fi
    fail rollback-in-upgrade 'an earlier apply on this host was interrupted. Run nbserver apply, which either '\
'completes its changes or restores the previous server'
}

# SAVED_PYTHON: the previous environment, which must be as it was installed.
assert_previous() {
    local ENVIRONMENT
    if [[ ! -e $PREVIOUS_FOLDER ]]; then
        fail no-previous-environment 'this host has no previous environment to roll back to. nbserver keeps the '\
'previous environment only when an upgrade installs packages from a different lock'
    fi
    read_saved_python "$PREVIOUS_FOLDER"
    if [[ ! $SAVED_PYTHON ]]; then
        fail previous-environment-gone 'this host cannot be rolled back, because the Python of its previous '\
'environment is missing or cannot run. Set packages.lock in the inventory to the earlier lock, then run nbserver '\
'apply instead'
    fi
    find_deployed_python
    if [[ ! $DEPLOYED_PYTHON ]]; then
        fail deployed-environment-unknown 'the notebook server does not run from an environment that nbserver '\
'created, so nbserver cannot roll it back. Run nbserver apply instead'
    fi
    environment_of "$SAVED_PYTHON"
    ENVIRONMENT=$REPLY
    if [[ $ENVIRONMENT == "$SAVED_PYTHON" ]]; then return 0; fi
    DIFFERENCES=()
    if has_lists; then compare_installed_files; fi
    if ((${#DIFFERENCES[@]})); then
        fail previous-environment-changed 'this host cannot be rolled back, because its previous environment {path} '\
'has changed since it was installed ({what}). Set packages.lock in the inventory to the earlier lock, then run '\
'nbserver apply instead' path "$ENVIRONMENT" what "${DIFFERENCES[2]}"
    fi
}

# The unit of then lets the server write only in the folder of then, and the access to that folder may have been undone.
assert_same_folder() {
    local now='' former='' pattern='"root_dir": ("[^'$'\n'']*")'
    if [[ -r $NOTEBOOK_FILE ]]; then IFS= read -r -d '' now <"$NOTEBOOK_FILE" || true; fi
    if [[ $now =~ $pattern ]]; then now=${BASH_REMATCH[1]}; else return 0; fi
    IFS= read -r -d '' former <"$PREVIOUS_FOLDER/${NOTEBOOK_FILE##*/}" || true
    if [[ ! $former =~ $pattern || ${BASH_REMATCH[1]} == "$now" ]]; then return 0; fi
    fail rollback-other-folder 'notebook.directory has changed since the previous environment was in use: it was '\
'{former}, and is now {folder}. Set it to {former} and run nbserver apply, then run nbserver rollback again' \
        former "${BASH_REMATCH[1]}" folder "$now"
}

# What a rollback that was cut off has saved stays: since then, the server may run from the previous environment.
switch_to_previous() {
    if ! has_open_switch; then
        save_or_refuse
        : >"$SWITCH_FOLDER.new/rollback"
        open_switch
    fi
    ROLLBACK_BEGUN=1
    report_start rolling-back 'Starting the server from its previous environment'
    switch_to "$PREVIOUS_FOLDER" ||
        fail previous-server-not-started 'could not start the server from its previous environment: {cause}'
    if is_unit; then
        started_text
        note_started_files "$REPLY"
    fi
}

# As after an upgrade.
prove_previous() {
    RUN_STEP=check DIFFERENCES=()
    differs server-proven 'certificate on TCP port {port}' '' "$RUN_FINGERPRINT" port "$NB_NOTEBOOK_PORT"
    make_change verify_switch
}

# REPLY: the environment that a rollback would use, the hash of its lock, and when it was installed, as JSON; null if
# there is none. A Python of the distribution has no lock.
read_previous_status() {
    local file lock='' since=''
    REPLY=null
    if has_open_switch; then return 0; fi
    read_saved_python "$PREVIOUS_FOLDER"
    if [[ ! $SAVED_PYTHON ]]; then return 0; fi
    environment_of "$SAVED_PYTHON"
    file=$REPLY/nbserver.lock
    if [[ -r $file ]]; then IFS= read -r lock <"$file" || true; fi
    if [[ $lock =~ ^[0-9a-f]{64}$ ]]; then
        since=$(exec date --utc --reference="$file" +%Y-%m-%dT%H:%M:%SZ)
    else
        lock=''
    fi
    REPLY="{\"environment\":\"${file%/nbserver.lock}\",\"lock\":\"$lock\",\"installed\":\"$since\"}"
}
