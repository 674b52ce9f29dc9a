# ---- prelude: service ------------------------------------------------------------------------------
# Find out what the unit of the notebook server does.

has_service_failed() {
    has_unit_failed
}

# REPLY: the number of the process of the server, or 0.
read_server_process() {
    read_unit_process
}

is_unit() {
    return 0
}

is_set_up() {
    [[ -e $UNIT_FOLDER/$SERVICE_UNIT ]]
}

print_service_log() {
    print_service_unit_log
}

# STOP_COMMAND and LOG_COMMAND: what a person can type.
read_service_commands() {
    STOP_COMMAND="systemctl stop $SERVICE_UNIT"
    LOG_COMMAND="journalctl --unit $SERVICE_UNIT"
}

has_recorded_service() {
    has_record unit "$SERVICE_UNIT"
}

stop_service() {
    stop_unit "$SERVICE_UNIT"
}

restart_service() {
    restart_unit
}

keep_stopped() {
    keep_unit_stopped
}

has_start_with_system() {
    has_enabled_unit
}

# The unit ends all its processes, and the service can write only to its own folder and to the notebooks.
warn_of_account() {
    return 0
}
