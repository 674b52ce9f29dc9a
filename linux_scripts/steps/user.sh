# ---- step: user ----------------------------------------------------------------------------------------
# The server and all that people run in it belong to a system user of its own: no password, no login shell.

step user 'the service has a user of its own'

user_test() {
    if [[ $NB_SCOPE == user ]]; then return; fi       # it is the user's own
    assert_account "$SERVICE_USER" "$WORK_FOLDER"
    if ! has_user "$SERVICE_USER"; then difference "user $SERVICE_USER" '' 'a system user'; fi
}

user_apply() {
    add_user "$SERVICE_USER" "$WORK_FOLDER"
}
