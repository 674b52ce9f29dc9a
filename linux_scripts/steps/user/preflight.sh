# ---- step: preflight -------------------------------------------------------------------------------
# Refuse a host on which the notebook server cannot work, before anything is changed.

step preflight 'This host can run the notebook server'

preflight_test() {
    require architecture assert_architecture
    require programs assert_programs_installed flock setsid sha256sum stat
    require notebook_folder assert_notebook_folder_allowed
    require own_folders assert_own_folders_safe
    require notebook_access assert_notebook_folder_safe
    require folders_writable assert_folders_writable
    require files assert_no_folder_in_place "$UNIT_FOLDER/$SERVICE_UNIT" \
        "$CONFIGURATION_FOLDER"/{certificate.pem,key.pem,certificate.cnf,jupyter_config.json,serve.py,migrated}
    require disk_space assert_free_space
    require free_inodes assert_free_inodes
    require name_resolution assert_names_resolved
    require address assert_address_local
    require notebook_port assert_port_free
    require other_configuration warn_of_foreign_configuration
}

preflight_apply() {
    fail nothing-to-apply 'internal error (a bug in nbserver): the step {step} has nothing to change. Report this '\
'bug, and include this message' step preflight
}
