# ---- step: notebook --------------------------------------------------------------------------------
# Configure the notebook server: HTTPS only, a password, one port, its own folders.

# The service can read these files but not write them. One file serves both generations: notebook 6 reads the class
# NotebookApp, notebook 7 reads the other classes. The program that starts the server is in prelude/starter: it keeps
# other configuration out, and compares each of these values with what the server would use.

NOTEBOOK_FILE=$CONFIGURATION_FOLDER/jupyter_config.json
STARTER_FILE=$CONFIGURATION_FOLDER/serve.py
MIGRATED_FILE=$CONFIGURATION_FOLDER/migrated
COMPARED+=("$WORK_FOLDER" "$NB_NOTEBOOK_DIRECTORY" "$NOTEBOOK_FILE" "$STARTER_FILE")
HASH_PATTERN='"hashed_password": "([A-Za-z0-9:$=,+/.]+)"'
SALT_PATTERN='^argon2:[$]argon2id[$]v=[0-9]+[$][a-z0-9,=]+[$]([A-Za-z0-9+/]+)[$][A-Za-z0-9+/]+$'
SALT_SET='' SALT_SENT=''                           # of the hash in the file, and of the hash that this run has received

step notebook 'The notebook server is configured with HTTPS, a password, and its folders'

notebook_test() {
    read_access "$CONFIGURATION_FOLDER" "$WORK_FOLDER" "$NB_NOTEBOOK_DIRECTORY" "$NOTEBOOK_FILE" "$STARTER_FILE"
    compare_folder "$CONFIGURATION_FOLDER" "$READERS" "$FOLDER_MODE"
    compare_folder "$WORK_FOLDER" "$SERVICE" 700
    compare_notebook_folder
    compare_first_page
    if [[ $RUN_MODE == 'apply' ]]; then assert_salt; fi
    compare_configuration
    if ! has_text "$STARTER_FILE" "$STARTER"; then
        differs file-differs '{path}' 'different or missing' 'as in this script' path "$STARTER_FILE"
    else
        compare_access "$STARTER_FILE" "$READERS" "$FILE_MODE"
    fi
}

# An apply is refused before its first change, which would be made in vain.
assert_salt() {
    read_salts
    if [[ $RUN_NEW_SALT ]] || ! has_other_salt; then return 0; fi
    fail salt-differs 'the password hash in {path} has the salt {is}, but this run sent a hash with the salt '\
'{sent}. Restore the previous nbserver.salt file next to the inventory, or run nbserver apply --new-salt, which '\
'replaces the hash and restarts the server' \
        path "$NOTEBOOK_FILE" is "$SALT_SET" sent "$SALT_SENT"
}

# If the salt differs, so does the hash: then only the rest of the file is compared.
compare_configuration() {
    local around=''
    read_salts
    if has_other_salt; then
        around=around
        differs salt 'password hash salt in {path}' "$SALT_SET" "$SALT_SENT" path "$NOTEBOOK_FILE"
    fi
    configuration_text
    if ! has_text "$NOTEBOOK_FILE" "$REPLY" notebook.password_hash "$around"; then
        differs configuration-differs '{path}' 'different or missing' 'as in the settings' path "$NOTEBOOK_FILE"
    else
        compare_access "$NOTEBOOK_FILE" "$READERS" "$FILE_MODE"
    fi
}

notebook_apply() {
    assert_salt
    keep_password_hash
    request_secret notebook.password_hash 'Hash of the notebook password (from nbserver hash-password)'
    assert_password_hash
    add_folder "$CONFIGURATION_FOLDER" "$READERS" "$FOLDER_MODE"
    add_folder "$WORK_FOLDER" "$SERVICE" 700
    add_data_folder "$NB_NOTEBOOK_DIRECTORY"
    add_first_page
    # At its second start, Jupyter would create this file, which it is not allowed to.
    set_text_file "$MIGRATED_FILE" "$READERS" "$FILE_MODE" ''
    set_text_file "$STARTER_FILE" "$READERS" "$FILE_MODE" "$STARTER"
    configuration_text
    set_text_file "$NOTEBOOK_FILE" "$READERS" "$FILE_MODE" "$REPLY" notebook.password_hash
}

# The hash is written into JSON unchanged, and kernels can read it: a password in its place would be shown to them.
assert_password_hash() {
    if [[ ! ${SECRETS[notebook.password_hash]:-} =~ ^(argon2|sha[0-9]+):[A-Za-z0-9:$=,+/.]+$ ]]; then
        fail password-hash-invalid 'the notebook password hash is missing or not valid. Create a hash with nbserver '\
'hash-password, then run this script again with that hash'
    fi
}

# REPLY: the hash in the file, or ''.
read_hash() {
    local text=''
    REPLY=''
    if [[ ! -f $NOTEBOOK_FILE || ! -r $NOTEBOOK_FILE ]]; then return 0; fi
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

# After read_salts: whether the salts differ, most likely because the workstation does not have the site's salt. The
# salt that an earlier release created for this host is replaced without a question.
has_other_salt() {
    [[ $SALT_SET && $SALT_SENT && $SALT_SET != "$SALT_SENT" && $SALT_SET != "$RUN_FORMER_SALT" ]]
}

# If this run has received no hash, the one that this script set before stays.
keep_password_hash() {
    if [[ ${SECRETS[notebook.password_hash]+known} ]] || ! has_record file "$NOTEBOOK_FILE"; then return 0; fi
    read_hash
    if [[ $REPLY ]]; then SECRETS[notebook.password_hash]=$REPLY; fi
}

# REPLY: the configuration. @notebook.password_hash@ is replaced only when the file is written.
configuration_text() {
    local directory days shared login kernels together page=/tree
    if [[ $NB_NOTEBOOK_INTERFACE == lab ]]; then page=/lab; fi
    # A login is valid for NB_NOTEBOOK_SESSION hours: then the browser deletes its cookie, and the server refuses it.
    printf -v days '%d.%06d' $((NB_NOTEBOOK_SESSION / 24)) $((NB_NOTEBOOK_SESSION % 24 * 1000000 / 24))
    login="
    \"token\": \"\",
    \"cookie_options\": {\"expires_days\": $days},
    \"get_secure_cookie_kwargs\": {\"max_age_days\": $days}"
    json_string "$NB_NOTEBOOK_DIRECTORY"
    directory=$REPLY
    shared_configuration
    shared=$REPLY
    idle_kernels
    kernels=$REPLY
    collaboration
    together=$REPLY
    REPLY="{
  \"ServerApp\": {$shared,
    \"allow_unauthenticated_access\": false,
    \"default_url\": \"$page\",
    \"root_dir\": $directory
  },
  \"PasswordIdentityProvider\": {
    \"hashed_password\": \"@notebook.password_hash@\",
    \"password_required\": true,
    \"allow_password_change\": false
  },
  \"IdentityProvider\": {$login
  },
  \"NotebookApp\": {$shared,
    \"notebook_dir\": $directory,
    \"password\": \"@notebook.password_hash@\",
    \"password_required\": true,
    \"allow_password_change\": false,$login
  }$kernels$together
}
"
}

# REPLY: that several people can edit a notebook at the same time, or ''.
collaboration() {
    REPLY=''
    if [[ $NB_NOTEBOOK_COLLABORATION == true ]]; then
        REPLY=',
  "YDocExtension": {
    "disable_rtc": false
  }'
    fi
}

# REPLY: when a kernel that runs nothing is stopped, also if a browser is connected to it; a busy one never is. Empty if
# idle kernels stay.
idle_kernels() {
    REPLY=''
    if ((NB_NOTEBOOK_CULL_IDLE_SECONDS)); then
        REPLY=",
  \"MappingKernelManager\": {
    \"cull_idle_timeout\": $NB_NOTEBOOK_CULL_IDLE_SECONDS,
    \"cull_interval\": 60,
    \"cull_connected\": true,
    \"cull_busy\": false
  }"
    fi
}

# REPLY: the values that both generations of the notebook server have.
shared_configuration() {
    local ip
    json_string "$NB_NOTEBOOK_IP"
    ip=$REPLY
    REPLY="
    \"ip\": $ip,
    \"port\": $NB_NOTEBOOK_PORT,
    \"port_retries\": 0,
    \"base_url\": \"/\",
    \"open_browser\": false,
    \"allow_root\": $ALLOW_ROOT,
    \"allow_remote_access\": true,
    \"allow_origin\": \"\",
    \"allow_origin_pat\": \"\",
    \"allow_credentials\": false,
    \"disable_check_xsrf\": false,
    \"certfile\": \"$CERTIFICATE_FILE\",
    \"keyfile\": \"$KEY_FILE\""
}
