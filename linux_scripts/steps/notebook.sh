# ---- step: notebook ------------------------------------------------------------------------------------
# The server's configuration: HTTPS only, password as an argon2 hash, one port and no other, no browser.
# The service can read these files and cannot write them. One file is for both generations: notebook 6 reads
# the class NotebookApp, notebook 7 the others.

NOTEBOOK_FILE=$CONFIGURATION_FOLDER/jupyter_config.json
MIGRATED_FILE=$CONFIGURATION_FOLDER/migrated

step notebook 'the notebook server is configured: HTTPS, password, its own folders'

notebook_test() {
    read_access "$CONFIGURATION_FOLDER" "$WORK_FOLDER" "$NB_NOTEBOOK_DIRECTORY" "$NOTEBOOK_FILE"
    compare_folder "$CONFIGURATION_FOLDER" "$READERS" "$FOLDER_MODE"
    compare_folder "$WORK_FOLDER" "$SERVICE" 700
    if ! can_service_write "$NB_NOTEBOOK_DIRECTORY"; then difference "the service's access to $NB_NOTEBOOK_DIRECTORY" 'none' 'may write'; fi
    read_lost_files "$NB_NOTEBOOK_DIRECTORY"
    if [[ $REPLY ]]; then difference "owner of ${REPLY#* }" "${REPLY%% *}" 'the service or a user of this host'; fi
    configuration_text
    if ! has_text "$NOTEBOOK_FILE" "$REPLY" notebook.password_hash; then difference "$NOTEBOOK_FILE" 'another or none' 'as in the settings'
    elif [[ ${ACCESS[$NOTEBOOK_FILE]} != "$READERS $FILE_MODE" ]]; then difference "access to $NOTEBOOK_FILE" "${ACCESS[$NOTEBOOK_FILE]}" "$READERS $FILE_MODE"
    fi
}

notebook_apply() {
    keep_password_hash
    request_secret notebook.password_hash 'Hash of the notebook password (nbserver hash-password makes it)'
    # It goes into JSON as it is. Its letters are those of argon2's and the older hashes.
    if [[ ! ${SECRETS[notebook.password_hash]:-} =~ ^[A-Za-z0-9:$=,+/.]+$ ]]; then fail 'the hash of the notebook password is missing or is none'; fi
    add_folder "$CONFIGURATION_FOLDER" "$READERS" "$FOLDER_MODE"
    add_folder "$WORK_FOLDER" "$SERVICE" 700
    add_data_folder "$NB_NOTEBOOK_DIRECTORY"
    set_text_file "$MIGRATED_FILE" "$READERS" "$FILE_MODE" ''   # Jupyter would write this file itself at its second start, and may not
    configuration_text
    set_text_file "$NOTEBOOK_FILE" "$READERS" "$FILE_MODE" "$REPLY" notebook.password_hash
}

# Where none is given, the password that this script set before stays.
keep_password_hash() {
    local text='' pattern='"hashed_password": "([A-Za-z0-9:$=,+/.]+)"'
    if [[ ${SECRETS[notebook.password_hash]+known} || ! -r $NOTEBOOK_FILE ]] || ! has_record file "$NOTEBOOK_FILE"; then return; fi
    IFS= read -r -d '' text <"$NOTEBOOK_FILE" || true
    if [[ $text =~ $pattern ]]; then SECRETS[notebook.password_hash]=${BASH_REMATCH[1]}; fi
}

# @notebook.password_hash@ is put in only when the file is written.
configuration_text() {
    local ip directory
    json_string "$NB_NOTEBOOK_IP" && ip=$REPLY
    json_string "$NB_NOTEBOOK_DIRECTORY" && directory=$REPLY
    REPLY="{
  \"ServerApp\": {
    \"ip\": $ip,
    \"port\": $NB_NOTEBOOK_PORT,
    \"port_retries\": 0,
    \"open_browser\": false,
    \"allow_remote_access\": true,
    \"root_dir\": $directory,
    \"certfile\": \"$CERTIFICATE_FILE\",
    \"keyfile\": \"$KEY_FILE\"
  },
  \"PasswordIdentityProvider\": {
    \"hashed_password\": \"@notebook.password_hash@\",
    \"password_required\": true,
    \"allow_password_change\": false
  },
  \"IdentityProvider\": {
    \"token\": \"\"
  },
  \"NotebookApp\": {
    \"ip\": $ip,
    \"port\": $NB_NOTEBOOK_PORT,
    \"port_retries\": 0,
    \"open_browser\": false,
    \"allow_remote_access\": true,
    \"notebook_dir\": $directory,
    \"certfile\": \"$CERTIFICATE_FILE\",
    \"keyfile\": \"$KEY_FILE\",
    \"password\": \"@notebook.password_hash@\",
    \"password_required\": true,
    \"allow_password_change\": false,
    \"token\": \"\"
  }
}
"
}
