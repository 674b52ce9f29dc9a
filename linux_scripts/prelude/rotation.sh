# ---- prelude: rotation -----------------------------------------------------------------------------
# Revoke all access: replace key and password, and move away what kernels wrote.

# Until a rotation is complete, a file names it. The server stays stopped until then, because others could still use it,
# and the next rotation starts from the beginning. An apply is refused: it would start the server for those others.

ROTATION_FILE=$STATE_FOLDER/rotation
SET_ASIDE_FOLDER=$STATE_FOLDER/set-aside           # what kernels wrote: a folder for each rotation
ROTATION_PATTERN='^\{"v":1,"run":"([0-9A-Za-z-]{1,64})","password":"([0-9a-f]{64})","key":(null|"[0-9a-f]{64}")\}$'
ROTATION_RUN='' FORMER_PASSWORD=''                 # of the rotation that is not complete: its run, a hash of the hash

MODES['rotate']=rotate
CHANGING_MODES+=(rotate)

# Mode rotate.
rotate() {
    local name
    RUN_NEW_SALT=1                                 # the hash is replaced in any case
    read_rotation
    assert_deployed
    for name in "${STEPS[@]}"; do
        if ! is_rotated "$name"; then assert_step_ready "$name"; fi
    done
    test_step service                              # in user scope, fails if the user's own systemd does not run
    assert_new_password
    begin_rotation
    for name in "${STEPS[@]}"; do
        if ! is_rotated "$name"; then continue; fi
        read_rotated "$name"
        if [[ $name == notebook ]]; then set_work_aside; fi
        change_step "$name"
    done
    end_rotation
    warn_of_account
}

is_rotated() { # STEP
    [[ $1 == @(certificate|notebook|service|check) ]]
}

# ROTATION_RUN and FORMER_PASSWORD: what the file says, or ''.
read_rotation() {
    local text=''
    ROTATION_RUN='' FORMER_PASSWORD=''
    if [[ ! -e $ROTATION_FILE ]]; then return 0; fi
    IFS= read -r text <"$ROTATION_FILE" || true
    if [[ ! $text =~ $ROTATION_PATTERN ]]; then
        fail rotation-file-damaged '{path} is not valid, so nbserver cannot determine who may still have access. '\
'Remove this file, then run nbserver rotate with a new password' path "$ROTATION_FILE"
    fi
    ROTATION_RUN=${BASH_REMATCH[1]} FORMER_PASSWORD=${BASH_REMATCH[2]}
}

assert_deployed() {
    if has_record file "$NOTEBOOK_FILE"; then return 0; fi
    fail rotate-not-deployed 'this host has no notebook server managed by nbserver, so there is no access to revoke. '\
'To set up a server, run nbserver apply'
}

# The server must start again, so nothing else may be missing. Rules of the firewall and what remains of earlier
# settings do not matter.
assert_step_ready() { # STEP
    if [[ $1 == @(firewall|cleanup) ]]; then return 0; fi
    test_step "$1"
    if ((${#DIFFERENCES[@]} == 0)); then
        write_event unchanged
        return "$?"
    fi
    write_differences
    fail rotate-needs-apply 'nothing was changed, because this host differs from the settings ({what}) and the '\
'server might not start again. Run nbserver apply, then nbserver rotate again' what "${DIFFERENCES[2]}"
}

# Without another password, earlier users could log in again.
assert_new_password() {
    local former=$FORMER_PASSWORD
    RUN_STEP=notebook
    request_secret notebook.password_hash 'Hash of the new notebook password (from nbserver hash-password)'
    if [[ ! $former ]]; then
        read_hash
        digest_of "$REPLY"
        former=$REPLY
    fi
    expand_secret @notebook.password_hash@ notebook.password_hash
    if [[ ! $REPLY ]]; then
        fail rotate-without-password 'the rotation requires the hash of a new notebook password. Set '\
'notebook.password in the inventory, then try again'
    fi
    digest_of "$REPLY"
    if [[ $REPLY == "$former" ]]; then
        fail rotate-same-password 'nothing was changed, because the notebook password is the same as before: anyone '\
'who knows it could log in again. Set a different notebook.password, then try again'
    fi
    FORMER_PASSWORD=$former
}

# REPLY: the SHA-256 of a text, which no program gets as an argument.
digest_of() { # TEXT
    read -r REPLY _ < <(printf %s "$1" | sha256sum)
}

# From here on, the server does not run until everything has been replaced, also if the host restarts meanwhile.
begin_rotation() {
    RUN_STEP=service
    write_whole "$ROTATION_FILE" "$PROGRAM_OWNER" 600 \
        "{\"v\":1,\"run\":\"$RUN_ID\",\"password\":\"$FORMER_PASSWORD\",\"key\":null}"$'\n'
    rm -rf -- "$SWITCH_FOLDER"                     # what an upgrade that was cut off would restore
    keep_stopped
}

end_rotation() {
    rm -f -- "$ROTATION_FILE"
}

# DIFFERENCES: what the rotation replaces in a step.
read_rotated() { # STEP
    RUN_STEP=$1 DIFFERENCES=()
    case $1 in
        certificate)
            read_certificate
            differs rotated-key 'private key and certificate' "$RUN_FINGERPRINT" 'a new key and certificate'
            ;;
        notebook)
            differs rotated-password 'notebook password' 'the previous one' 'a new one'
            differs rotated-work '{path}' 'from earlier sessions' 'a new folder' path "$WORK_FOLDER"
            ;;
        service) differs rotated-sessions 'sessions and kernels' 'from before the rotation' 'ended' ;;
        check)
            differs rotated-port 'certificate on TCP port {port}' '' 'the new certificate' port "$NB_NOTEBOOK_PORT"
            ;;
    esac
}

# The folder is renamed as a whole, into one that only root can open, or in user scope the user. So nothing in it is
# read, and no link in it is followed.
set_work_aside() {
    local folder=$SET_ASIDE_FOLDER/$RUN_ID
    if [[ ! -e $WORK_FOLDER && ! -L $WORK_FOLDER ]]; then return 0; fi
    if [[ -L $WORK_FOLDER || $NB_NOTEBOOK_DIRECTORY/ == "$WORK_FOLDER"/* ]]; then
        fail work-not-separate '{path} cannot be moved, because it is a link or contains the notebooks. Set '\
'notebook.directory to another folder, or replace the link with a folder, then run nbserver rotate again' \
            path "$WORK_FOLDER"
    fi
    hold_parent "$WORK_FOLDER"
    mkdir -p -- "$folder"
    mv -T -- "$HELD/${WORK_FOLDER##*/}" "$folder/work" ||
        fail work-not-moved 'could not move {path} to {folder}. Make sure that it is not a mount point, then run '\
'nbserver rotate again' path "$WORK_FOLDER" folder "$folder"
    note work-set-aside '{path} was moved to {folder}. Notebooks in {notebooks} were kept' \
        path "$WORK_FOLDER" folder "$folder" notebooks "$NB_NOTEBOOK_DIRECTORY"
}

# An apply would start the server of a rotation that was interrupted.
assert_rotation_complete() {
    read_rotation
    met no-rotation-open 'no interrupted rotation was found on this host'
    if [[ ! $ROTATION_RUN ]]; then return 0; fi
    if ! is_change; then
        warn rotation-incomplete 'nbserver rotate was interrupted (run {run}), so the server stays stopped until the '\
'rotation is complete. Run nbserver rotate again' run "$ROTATION_RUN"
    else
        fail rotation-incomplete-apply 'nbserver rotate was interrupted (run {run}), so earlier users could still log '\
'in if nbserver apply started the server. Run nbserver rotate again' run "$ROTATION_RUN"
    fi
}
