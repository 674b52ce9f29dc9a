# ---- prelude: restored_key -------------------------------------------------------------------------
# Give the server the private key and the certificate of a backup: mode restore-key.

# The workstation sends both, and has checked that they belong together and are for this host. If the server does not
# start with them, the previous files come back.

MODES['restore-key']=use_key_of_backup
CHANGING_MODES+=(restore-key)

use_key_of_backup() {
    assert_installed
    assert_may_start
    RUN_STEP=certificate DIFFERENCES=()
    assert_sent_certificate
    if ! has_sent_certificate; then
        differs restored-key 'private key and certificate' "$RUN_FINGERPRINT" 'from the backup'
        replace_certificate write_sent_certificate
        return "$?"
    fi
    write_event unchanged
    if has_current_server; then return 0; fi
    report_restart                                 # an earlier run was interrupted
    make_change restart_and_check
    prove_server
}

assert_sent_certificate() {
    if [[ ${SECRETS[certificate.chain]-} == -----BEGIN* && ${SECRETS[certificate.key]-} == -----BEGIN* ]]; then
        return 0
    fi
    fail restored-key-not-sent 'the private key and certificate in the backup were not sent to this host. Run '\
'nbserver restore --with-key on the workstation'
}

has_sent_certificate() {
    has_text "$KEY_FILE" @certificate.key@ certificate.key &&
        has_text "$CERTIFICATE_FILE" @certificate.chain@ certificate.chain
}

write_sent_certificate() { # KEY-FILE CERTIFICATE-FILE
    expand_secret @certificate.key@ certificate.key
    write_whole "$1" "$READERS" "$FILE_MODE" "$REPLY"
    expand_secret @certificate.chain@ certificate.chain
    write_whole "$2" "$READERS" "$FILE_MODE" "$REPLY"
}
