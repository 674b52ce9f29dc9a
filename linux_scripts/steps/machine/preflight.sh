# ---- step: preflight -------------------------------------------------------------------------------
# Refuse a host on which the notebook server cannot work, before anything is changed.

step preflight 'This host can run the notebook server'

preflight_test() {
    require architecture assert_architecture
    require rights assert_root
    require programs assert_programs_installed flock setsid sha256sum stat setpriv find getent useradd systemctl
    require systemd assert_systemd
    read_system
    require distribution assert_distribution
    require writable_system assert_packages_installable
    require notebook_folder assert_notebook_folder_allowed
    require own_folders assert_own_folders_safe
    require notebook_access assert_notebook_folder_safe
    require service_user assert_account "$SERVICE_USER" "$WORK_FOLDER"
    require clock assert_clock
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
