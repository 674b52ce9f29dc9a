# ---- prelude: backup -------------------------------------------------------------------------------
# Send what a backup contains except notebooks: modes backup and backup-key.

# The configuration (with the hash of the password), the certificate, and the record. The private key is not sent.
# Mode backup-key sends it, too.
MODES['backup']=back_up_host
MODES['backup-key']=back_up_host_and_key

back_up_host() {
    assert_notebooks
    send_file configuration/jupyter_config.json "$NOTEBOOK_FILE"
    send_file configuration/certificate.pem "$CERTIFICATE_FILE"
    send_file record.jsonl "$RECORD_FILE"
}

back_up_host_and_key() {
    back_up_host
    send_file configuration/key.pem "$KEY_FILE"
}

send_file() { # NAME FILE
    if [[ ! -f $2 || -L $2 ]]; then return 0; fi
    send_pieces "$1" 0 <"$2"
}

# The pieces of standard input in Base64, 131,070 bytes each.
send_pieces() { # NAME OFFSET
    local line
    local -i offset=$2
    while IFS= read -r line; do
        write_event content data: "\"$line\"" offset: "$offset" path "$1"
        offset+=131070
    done < <(exec base64 --wrap=174760)
}
