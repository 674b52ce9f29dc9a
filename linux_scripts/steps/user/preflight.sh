# ---- step: preflight -------------------------------------------------------------------------------
# Refuse a host on which the notebook server cannot work, before anything is changed.

step preflight 'This host can run the notebook server'

preflight_test() {
    assert_architecture
    assert_programs_installed flock setsid sha256sum stat
    assert_notebook_folder_allowed
    assert_own_folders_safe
    assert_notebook_folder_safe
    assert_folders_writable
    assert_no_folder_in_place "$UNIT_FOLDER/$SERVICE_UNIT" \
        "$CONFIGURATION_FOLDER"/{certificate.pem,key.pem,certificate.cnf,jupyter_config.json,serve.py,migrated}
    assert_free_space
    assert_address_local
    assert_port_free
    warn_of_foreign_configuration
}

preflight_apply() {
    fail nothing-to-apply 'internal error (a bug in nbserver): the step {step} has nothing to change. Report it with '\
'this message' step preflight
}
