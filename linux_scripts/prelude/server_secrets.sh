# ---- prelude: server_secrets -----------------------------------------------------------------------
# Replace only the password or the certificate: modes set-password and rotate-certificate.

# The server restarts as it is installed, as in prelude/server_life. What else differs from the settings stays as it is.

MODES['set-password']=set_password
MODES['rotate-certificate']=rotate_certificate
CHANGING_MODES+=(set-password rotate-certificate)
FORMER_HASH=''                                     # of the password that is replaced
FORMER_KEY='' FORMER_CERTIFICATE='' FORMER_REQUEST=''   # texts of the files that are replaced

# Mode set-password. If an interrupted run has written the hash, the server restarts.
set_password() {
    assert_installed
    assert_may_start
    RUN_STEP=notebook DIFFERENCES=()
    request_secret notebook.password_hash 'Hash of the new notebook password (from nbserver hash-password)'
    assert_password_hash
    read_hash
    FORMER_HASH=$REPLY
    if [[ ! $FORMER_HASH ]]; then
        fail password-not-found '{path} contains no password hash. Run nbserver apply instead' path "$NOTEBOOK_FILE"
    fi
    expand_secret @notebook.password_hash@ notebook.password_hash
    if [[ $REPLY == "$FORMER_HASH" ]]; then
        write_event unchanged
        if has_current_server; then return 0; fi
    else
        differs rotated-password 'notebook password' 'the previous one' 'a new one'
        make_change write_password_hash
    fi
    report_restart
    make_change restart_and_check
    prove_server
}

# The rest of the file stays as it is.
write_password_hash() {
    local text=''
    save_password_hash
    IFS= read -r -d '' text <"$NOTEBOOK_FILE" || true
    set_text_file "$NOTEBOOK_FILE" "$READERS" "$FILE_MODE" "${text//"$FORMER_HASH"/"@notebook.password_hash@"}" \
        notebook.password_hash
}

# If an apply was cut off, what it has saved gets the new password, too. Otherwise an apply that fails would restore the
# one that was replaced here.
save_password_hash() {
    local text='' file=$SWITCH_FOLDER/${NOTEBOOK_FILE##*/}
    if [[ ! -e $file ]]; then return 0; fi
    IFS= read -r -d '' text <"$file" || true
    if [[ ! $text =~ $HASH_PATTERN ]]; then return 0; fi
    expand_secret "${text//"${BASH_REMATCH[1]}"/"@notebook.password_hash@"}" notebook.password_hash
    write_whole "$file" "$READERS" "$FILE_MODE" "$REPLY"
}

# Whether the server runs, and was started after the last change of its files.
has_current_server() {
    local is='' file
    read_server_process
    if ((REPLY == 0)); then return 1; fi
    read_service_file
    file=$REPLY
    started_text
    IFS= read -r -d '' is <"$file" || true
    [[ $is == *[$'\n'=]"$REPLY"$'\n' ]]
}

# Mode rotate-certificate. The server has read its files when it started, so it serves the previous certificate until it
# restarts. If it does not start with the new one, the previous files come back. If this run is interrupted, the files
# are newer than the server, and the next run restarts it.
rotate_certificate() {
    assert_installed
    assert_may_start
    RUN_STEP=certificate DIFFERENCES=()
    differs rotated-key 'private key and certificate' "$RUN_FINGERPRINT" 'a new key and certificate'
    replace_certificate create_certificate
}

# CREATE is as in install_certificate.
replace_certificate() { # CREATE
    IFS= read -r -d '' FORMER_KEY <"$KEY_FILE" || true
    IFS= read -r -d '' FORMER_CERTIFICATE <"$CERTIFICATE_FILE" || true
    if [[ -e $REQUEST_FILE ]]; then IFS= read -r -d '' FORMER_REQUEST <"$REQUEST_FILE" || true; fi
    make_change install_certificate "$1"
    read_certificate
    report_restart
    make_change restart_with_certificate
    prove_server
}

restart_with_certificate() {
    local lines
    restart_service
    await_certificate
    if [[ $SHOWN == "$RUN_FINGERPRINT" ]]; then return 0; fi
    log_lines print_service_log
    lines=$REPLY
    switch_certificate_back
    read_certificate
    restart_service
    await_certificate
    if [[ $SHOWN != "$RUN_FINGERPRINT" ]]; then
        fail certificate-way-back-failed 'the server started neither with the new certificate nor with the previous '\
'one, which was restored. Fix the error that the log shows, then run nbserver restart. Last lines of the log: {lines}' \
            lines "$lines"
    fi
    fail certificate-switched-back 'the server did not start with the new certificate, so the previous one is in use '\
'again. Fix the error that the log shows, then try again. Last lines of the log: {lines}' lines "$lines"
}

# SHOWN: the certificate of the port, after the server had 180 seconds to start.
await_certificate() {
    SHOWN=''
    if ((EXIT_CODE)); then return 0; fi
    begin_wait
    while has_time_to_start; do
        read_shown
        if [[ $SHOWN == "$RUN_FINGERPRINT" ]] || has_service_failed; then return 0; fi
        report_wait
        sleep 1
    done
}

# As in the step certificate: without a certificate, the next apply creates one.
switch_certificate_back() {
    rm -f -- "$CERTIFICATE_FILE"
    write_whole "$KEY_FILE" "$READERS" "$FILE_MODE" "$FORMER_KEY"
    write_whole "$CERTIFICATE_FILE" "$READERS" "$FILE_MODE" "$FORMER_CERTIFICATE"
    write_whole "$REQUEST_FILE" "$PROGRAM_OWNER" 600 "$FORMER_REQUEST"
}
