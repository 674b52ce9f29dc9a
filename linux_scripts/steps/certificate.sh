# ---- step: certificate -----------------------------------------------------------------------------
# Create a certificate for the server; only root and the service can read its private key.

# It is created on this host (see prelude/certificate_program): P-256, self-signed, for the names in the settings. The
# key never leaves the host. A new certificate is created 30 days before this one expires, when the names change, or if
# it is not valid yet.

CERTIFICATE_FILE=$CONFIGURATION_FOLDER/certificate.pem
KEY_FILE=$CONFIGURATION_FOLDER/key.pem
REQUEST_FILE=$CONFIGURATION_FOLDER/certificate.cnf
CERTIFICATE_IS_GOOD=''                             # it is valid for long enough
CERTIFICATE_HAS_BEGUN=''                           # it is valid by now
COMPARED+=("$CONFIGURATION_FOLDER" "$KEY_FILE" "$CERTIFICATE_FILE")

step certificate 'The server has a certificate for its names and a private key that only it can read'

certificate_test() {
    read_access "$CONFIGURATION_FOLDER" "$KEY_FILE" "$CERTIFICATE_FILE"
    compare_folder "$CONFIGURATION_FOLDER" "$READERS" "$FOLDER_MODE"
    read_certificate
    request_text
    if [[ ! $RUN_FINGERPRINT ]]; then
        differs certificate-missing 'certificate' '' "${NB_CERTIFICATE_NAMES[*]}"
    elif [[ ! $CERTIFICATE_IS_GOOD ]]; then
        differs certificate-expires 'certificate' 'about to expire' 'a new certificate'
    elif [[ ! $CERTIFICATE_HAS_BEGUN ]]; then          # it was created while the clock of this host was wrong
        differs certificate-begins 'certificate' 'not valid yet' 'a new certificate'
    elif ! has_text "$REQUEST_FILE" "$REPLY"; then
        differs certificate-names 'certificate names' 'different names' "${NB_CERTIFICATE_NAMES[*]}"
    elif [[ $RUN_MODE == 'apply' ]] && ! is_key_of_certificate; then
        differs certificate-key 'private key of the certificate' 'different or damaged' 'a new key and certificate'
    else
        compare_access "$KEY_FILE" "$READERS" "$FILE_MODE"
        compare_access "$CERTIFICATE_FILE" "$READERS" "$FILE_MODE"
    fi
}

certificate_apply() {
    install_certificate create_certificate
}

# CREATE is a function that writes a new key and its certificate into two files.
install_certificate() { # CREATE
    local file
    add_missing_parents "$CONFIGURATION_FOLDER"
    add_folder "$CONFIGURATION_FOLDER" "$READERS" "$FOLDER_MODE"
    for file in "$CERTIFICATE_FILE" "$KEY_FILE" "$REQUEST_FILE"; do
        save_file_before "$file"
    done
    request_text
    write_whole "$REQUEST_FILE.next" "$PROGRAM_OWNER" 600 "$REPLY"
    rm -f -- "$KEY_FILE.new" "$CERTIFICATE_FILE.new"   # in a folder that already existed, they may be links
    "$1" "$KEY_FILE.new" "$CERTIFICATE_FILE.new"
    chown "$READERS" -- "$KEY_FILE.new" "$CERTIFICATE_FILE.new"
    chmod "$FILE_MODE" -- "$KEY_FILE.new" "$CERTIFICATE_FILE.new"
    # If this is interrupted, the next run finds no certificate or an old request, and creates a new certificate.
    rm -f -- "$CERTIFICATE_FILE"
    mv -T -- "$KEY_FILE.new" "$KEY_FILE"
    mv -T -- "$CERTIFICATE_FILE.new" "$CERTIFICATE_FILE"
    mv -T -- "$REQUEST_FILE.next" "$REQUEST_FILE"
}

# REPLY: the configuration for `openssl req`. A common name has at most 64 characters. Clients compare the subject
# alternative names.
request_text() {
    local name alternatives=''
    for name in "${NB_CERTIFICATE_NAMES[@]}"; do
        if [[ $name == *:* || ! $name =~ [^0-9.] ]]; then
            alternatives+=",IP:$name"
        else
            alternatives+=",DNS:$name"
        fi
    done
    REPLY="[req]
distinguished_name = subject
x509_extensions = server
prompt = no
encrypt_key = no
default_md = sha256
[subject]
commonName = ${NB_HOST:0:64}
[server]
subjectAltName = ${alternatives:1}
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth
"
}

# The server could not start with another key. Without openssl, this is not known.
is_key_of_certificate() {
    local key certificate
    if ! has_openssl; then return 0; fi
    key=$(exec openssl pkey -in "$KEY_FILE" -pubout 2>/dev/null) || key=''
    certificate=$(exec openssl x509 -in "$CERTIFICATE_FILE" -noout -pubkey 2>/dev/null) || return 0
    [[ $key == "$certificate" ]]
}

# RUN_FINGERPRINT: SHA256: and 64 hex digits, as the orchestrator pins it; '' if there is no certificate.
# CERTIFICATE_IS_GOOD: it is valid for 30 days more, or for half of its lifetime if that is less. CERTIFICATE_HAS_BEGUN:
# it does not begin later.
read_certificate() {
    local lines
    local -i least=$((30 * 86400)) half=$((NB_CERTIFICATE_DAYS * 86400 / 2))
    RUN_FINGERPRINT='' CERTIFICATE_IS_GOOD='' CERTIFICATE_HAS_BEGUN=''
    if [[ ! -e $CERTIFICATE_FILE || ! -s $KEY_FILE ]]; then return 0; fi
    if lines=$(has_time_left "$CERTIFICATE_FILE" $((half < least ? half : least))); then CERTIFICATE_IS_GOOD=1; fi
    if [[ $lines == *=* ]]; then
        fingerprint_of "${lines%%$'\n'*}"
        RUN_FINGERPRINT=$REPLY
    fi
    if has_begun "$lines"; then CERTIFICATE_HAS_BEGUN=1; fi
}
