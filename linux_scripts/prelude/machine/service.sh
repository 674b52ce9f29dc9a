# ---- prelude: service ------------------------------------------------------------------------------
# Find out what the unit of the notebook server does.

has_service_failed() {
    has_unit_failed
}

# REPLY: the number of the process of the server, or 0.
read_server_process() {
    read_unit_process
}

# Print its last three lines.
print_service_log() {
    journalctl --unit="$SERVICE_UNIT" --lines=3 --output=cat --no-pager 2>/dev/null
}

# STOP_COMMAND and LOG_COMMAND: what a person can type.
read_service_commands() {
    STOP_COMMAND="systemctl stop $SERVICE_UNIT"
    LOG_COMMAND="journalctl --unit $SERVICE_UNIT"
}
