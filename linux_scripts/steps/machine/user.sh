# ---- step: user ------------------------------------------------------------------------------------
# Create the system user that runs the server: without a password, without a login shell.

step user 'The notebook server has its own system user'

user_test() {
    assert_account "$SERVICE_USER" "$WORK_FOLDER"
    if [[ ! $GOOD_ACCOUNT ]]; then differs user-missing 'user {user}' '' 'a system user' user "$SERVICE_USER"; fi
    if is_lingering "$SERVICE_USER"; then
        differs user-lingers 'lingering of the user {user} (loginctl enable-linger)' 'enabled' 'disabled' \
            user "$SERVICE_USER"
    fi
}

user_apply() {
    add_user "$SERVICE_USER" "$WORK_FOLDER"
    end_lingering "$SERVICE_USER"
}
