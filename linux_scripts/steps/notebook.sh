# ---- step: notebook ------------------------------------------------------------------------------------
# The server's configuration: HTTPS only, password as an argon2 hash, one port and no other, no browser.
# The service can read these files and cannot write them. One file is for both generations: notebook 6 reads
# the class NotebookApp, notebook 7 the others. The program that starts the server is in prelude/starter: it keeps
# other configuration out, and compares each of these values with what the server would do.

NOTEBOOK_FILE=$CONFIGURATION_FOLDER/jupyter_config.json
STARTER_FILE=$CONFIGURATION_FOLDER/serve.py
MIGRATED_FILE=$CONFIGURATION_FOLDER/migrated
HASH_PATTERN='"hashed_password": "([A-Za-z0-9:$=,+/.]+)"'
SALT_PATTERN='^argon2:[$]argon2id[$]v=[0-9]+[$][a-z0-9,=]+[$]([A-Za-z0-9+/]+)[$][A-Za-z0-9+/]+$'
SALT_TODO='Put the nbserver.salt of this site back next to the inventory, or use --new-salt: a new salt means a new'
SALT_TODO+=' hash, and the server restarts'
SALT_SET='' SALT_SENT=''                           # of the hash that is set, and of the one that came with this run

step notebook 'the notebook server is configured: HTTPS, password, its own folders'

notebook_test() {
    read_access "$CONFIGURATION_FOLDER" "$WORK_FOLDER" "$NB_NOTEBOOK_DIRECTORY" "$NOTEBOOK_FILE" "$STARTER_FILE"
    compare_folder "$CONFIGURATION_FOLDER" "$READERS" "$FOLDER_MODE"
    compare_folder "$WORK_FOLDER" "$SERVICE" 700
    if ! can_service_write "$NB_NOTEBOOK_DIRECTORY"; then difference "the service's access to $NB_NOTEBOOK_DIRECTORY" 'none' 'may write'; fi
    read_lost_files "$NB_NOTEBOOK_DIRECTORY"
    if [[ $REPLY ]]; then difference "owner of ${REPLY#* }" "${REPLY%% *}" 'the service or a user of this host'; fi
    read_salts
    local around=''
    if has_other_salt; then
        around=around
        difference "the salt of the password hash in $NOTEBOOK_FILE" "$SALT_SET" "$SALT_SENT"
    fi
    configuration_text
    if ! has_text "$NOTEBOOK_FILE" "$REPLY" notebook.password_hash "$around"; then
        difference "$NOTEBOOK_FILE" 'another or none' 'as in the settings'
    elif [[ ${ACCESS[$NOTEBOOK_FILE]} != "$READERS $FILE_MODE" ]]; then difference "access to $NOTEBOOK_FILE" "${ACCESS[$NOTEBOOK_FILE]}" "$READERS $FILE_MODE"
    fi
    if ! has_text "$STARTER_FILE" "$STARTER"; then difference "$STARTER_FILE" 'different or missing' 'as in this script'
    elif [[ ${ACCESS[$STARTER_FILE]} != "$READERS $FILE_MODE" ]]; then
        difference "access to $STARTER_FILE" "${ACCESS[$STARTER_FILE]}" "$READERS $FILE_MODE"
    fi
}

notebook_apply() {
    read_salts
    if [[ ! $RUN_NEW_SALT ]] && has_other_salt; then
        fail "the password hash in $NOTEBOOK_FILE has the salt $SALT_SET, that of this run $SALT_SENT. $SALT_TODO"
    fi
    keep_password_hash
    request_secret notebook.password_hash 'Hash of the notebook password (nbserver hash-password makes it)'
    # It goes into JSON as it is. Its letters are those of argon2's and the older hashes.
    if [[ ! ${SECRETS[notebook.password_hash]:-} =~ ^[A-Za-z0-9:$=,+/.]+$ ]]; then fail 'the hash of the notebook password is missing or is none'; fi
    add_folder "$CONFIGURATION_FOLDER" "$READERS" "$FOLDER_MODE"
    add_folder "$WORK_FOLDER" "$SERVICE" 700
    add_data_folder "$NB_NOTEBOOK_DIRECTORY"
    set_text_file "$MIGRATED_FILE" "$READERS" "$FILE_MODE" ''   # Jupyter would write this file itself at its second start, and may not
    set_text_file "$STARTER_FILE" "$READERS" "$FILE_MODE" "$STARTER"
    configuration_text
    set_text_file "$NOTEBOOK_FILE" "$READERS" "$FILE_MODE" "$REPLY" notebook.password_hash
}

# The hash that is set, or nothing.
read_hash() {
    local text=''
    REPLY=''
    if [[ ! -f $NOTEBOOK_FILE || ! -r $NOTEBOOK_FILE ]]; then return; fi
    IFS= read -r -d '' text <"$NOTEBOOK_FILE" || true
    if [[ $text =~ $HASH_PATTERN ]]; then REPLY=${BASH_REMATCH[1]}; fi
}

# A salt is not secret. It is the same for a whole site (nbserver.salt), so that a second run sends the same hash.
read_salts() {
    SALT_SET='' SALT_SENT=''
    read_hash
    if [[ $REPLY =~ $SALT_PATTERN ]]; then SALT_SET=${BASH_REMATCH[1]}; fi
    if [[ ${SECRETS[notebook.password_hash]-} =~ $SALT_PATTERN ]]; then SALT_SENT=${BASH_REMATCH[1]}; fi
}

# After read_salts: another one most likely means that the workstation has not the site's. The one that an
# earlier release made for this host is simply replaced.
has_other_salt() {
    [[ $SALT_SET && $SALT_SENT && $SALT_SET != "$SALT_SENT" && $SALT_SET != "$RUN_FORMER_SALT" ]]
}

# Where none is given, the password that this script set before stays.
keep_password_hash() {
    if [[ ${SECRETS[notebook.password_hash]+known} ]] || ! has_record file "$NOTEBOOK_FILE"; then return; fi
    read_hash
    if [[ $REPLY ]]; then SECRETS[notebook.password_hash]=$REPLY; fi
}

# @notebook.password_hash@ is put in only when the file is written.
# A log-in lasts for NB_NOTEBOOK_SESSION hours: the browser forgets its cookie then, and the server refuses it.
configuration_text() {
    local ip directory days allow_root=false shared
    printf -v days '%d.%06d' $((NB_NOTEBOOK_SESSION / 24)) $((NB_NOTEBOOK_SESSION % 24 * 1000000 / 24))
    json_string "$NB_NOTEBOOK_IP" && ip=$REPLY
    json_string "$NB_NOTEBOOK_DIRECTORY" && directory=$REPLY
    if [[ $NB_SCOPE == user && $EUID -eq 0 ]]; then allow_root=true; fi
    shared="
    \"ip\": $ip,
    \"port\": $NB_NOTEBOOK_PORT,
    \"port_retries\": 0,
    \"base_url\": \"/\",
    \"open_browser\": false,
    \"allow_root\": $allow_root,
    \"allow_remote_access\": true,
    \"allow_origin\": \"\",
    \"allow_origin_pat\": \"\",
    \"allow_credentials\": false,
    \"disable_check_xsrf\": false,
    \"certfile\": \"$CERTIFICATE_FILE\",
    \"keyfile\": \"$KEY_FILE\""
    REPLY="{
  \"ServerApp\": {$shared,
    \"allow_unauthenticated_access\": false,
    \"root_dir\": $directory
  },
  \"PasswordIdentityProvider\": {
    \"hashed_password\": \"@notebook.password_hash@\",
    \"password_required\": true,
    \"allow_password_change\": false
  },
  \"IdentityProvider\": {
    \"token\": \"\",
    \"cookie_options\": {\"expires_days\": $days},
    \"get_secure_cookie_kwargs\": {\"max_age_days\": $days}
  },
  \"NotebookApp\": {$shared,
    \"notebook_dir\": $directory,
    \"password\": \"@notebook.password_hash@\",
    \"password_required\": true,
    \"allow_password_change\": false,
    \"token\": \"\",
    \"cookie_options\": {\"expires_days\": $days},
    \"get_secure_cookie_kwargs\": {\"max_age_days\": $days}
  }
}
"
}
