# ---- step: certificate ---------------------------------------------------------------------------------
# Made on this host by OpenSSL (see prelude/tls): P-256, self-signed, for the names in the settings. The key never leaves
# the host, and only root and the service can read it.
# It is made again 30 days before it ends, or when the names change.

CERTIFICATE_FILE=$CONFIGURATION_FOLDER/certificate.pem
KEY_FILE=$CONFIGURATION_FOLDER/key.pem
REQUEST_FILE=$CONFIGURATION_FOLDER/certificate.cnf
CERTIFICATE_IS_GOOD=''                             # it lasts long enough

step certificate 'the server has a certificate for its names, and only the service can read the key'

certificate_test() {
    read_access "$CONFIGURATION_FOLDER" "$KEY_FILE" "$CERTIFICATE_FILE"
    compare_folder "$CONFIGURATION_FOLDER" "$READERS" "$FOLDER_MODE"
    read_certificate
    request_text
    if [[ ! $RUN_FINGERPRINT ]]; then difference certificate '' "${NB_CERTIFICATE_NAMES[*]}"
    elif [[ ! $CERTIFICATE_IS_GOOD ]]; then difference certificate 'ends soon' 'a new one'
    elif ! has_text "$REQUEST_FILE" "$REPLY"; then difference 'names of the certificate' 'others' "${NB_CERTIFICATE_NAMES[*]}"
    elif [[ ${ACCESS[$KEY_FILE]} != "$READERS $FILE_MODE" ]]; then difference "access to $KEY_FILE" "${ACCESS[$KEY_FILE]}" "$READERS $FILE_MODE"
    elif [[ ${ACCESS[$CERTIFICATE_FILE]} != "$READERS $FILE_MODE" ]]; then difference "access to $CERTIFICATE_FILE" "${ACCESS[$CERTIFICATE_FILE]}" "$READERS $FILE_MODE"
    fi
}

certificate_apply() {
    local file
    add_missing_parents "$CONFIGURATION_FOLDER"
    add_folder "$CONFIGURATION_FOLDER" "$READERS" "$FOLDER_MODE"
    for file in "$CERTIFICATE_FILE" "$KEY_FILE" "$REQUEST_FILE"; do save_file_before "$file"; done
    request_text
    write_whole "$REQUEST_FILE.next" "$PROGRAM_OWNER" 600 "$REPLY"
    rm -f -- "$KEY_FILE.new" "$CERTIFICATE_FILE.new"   # in a folder that was there before they may lead elsewhere
    if has_openssl; then
        run_program openssl req -new -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -days "$NB_CERTIFICATE_DAYS" \
            -config "$REQUEST_FILE.next" -keyout "$KEY_FILE.new" -out "$CERTIFICATE_FILE.new"
    else
        run_program "$NOTEBOOK_PYTHON" -I -c "$MAKE_WITH_PYTHON" "$KEY_FILE.new" "$CERTIFICATE_FILE.new" "$NB_CERTIFICATE_DAYS" \
            "${NB_HOST:0:64}" "${NB_CERTIFICATE_NAMES[@]}"
    fi
    chown "$READERS" -- "$KEY_FILE.new" "$CERTIFICATE_FILE.new"
    chmod "$FILE_MODE" -- "$KEY_FILE.new" "$CERTIFICATE_FILE.new"
    # Cut off anywhere here, the next run sees that there is none, or an old request, and makes a new one.
    rm -f -- "$CERTIFICATE_FILE"
    mv -T -- "$KEY_FILE.new" "$KEY_FILE"
    mv -T -- "$CERTIFICATE_FILE.new" "$CERTIFICATE_FILE"
    mv -T -- "$REQUEST_FILE.next" "$REQUEST_FILE"
}

# The request, for `openssl req`. A common name holds 64 characters at most; clients look at the SANs.
request_text() {
    local name alternatives=''
    for name in "${NB_CERTIFICATE_NAMES[@]}"; do
        if [[ $name == *:* || ! $name =~ [^0-9.] ]]; then alternatives+=",IP:$name"; else alternatives+=",DNS:$name"; fi
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

# RUN_FINGERPRINT: SHA256: and 64 hex digits, as the orchestrator pins it; '' where there is no certificate.
read_certificate() {
    local line
    local -i least=$((30 * 86400)) half=$((NB_CERTIFICATE_DAYS * 43200))
    RUN_FINGERPRINT='' CERTIFICATE_IS_GOOD=''
    if [[ ! -e $CERTIFICATE_FILE || ! -e $KEY_FILE ]]; then return; fi
    while IFS= read -r line; do
        if [[ $line == *=* ]]; then fingerprint_of "$line" && RUN_FINGERPRINT=$REPLY; fi
        if [[ $line == good ]]; then CERTIFICATE_IS_GOOD=1; fi
    done < <(print_certificate "$CERTIFICATE_FILE" $((half < least ? half : least)))
}
