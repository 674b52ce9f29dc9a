# ---- prelude: service ------------------------------------------------------------------------------
# Find out what the unit of the notebook server does.

has_service_failed() {
    has_unit_failed
}

# REPLY: the number of the process of the server, or 0.
read_server_process() {
    read_unit_process
}

# Called before "||".
start_saved_service() { # FOLDER
    start_saved_unit "$1"
}

# A rollback keeps the present port, which may need other rights than that of then. Called before "||".
adapt_saved_unit() { # FOLDER
    local file=$UNIT_FOLDER/$SERVICE_UNIT text='' has_right='' needs_right=''
    if [[ $1 != "$PREVIOUS_FOLDER" ]]; then return 0; fi
    IFS= read -r -d '' text <"$file" || true
    if [[ $text == *$'\n'AmbientCapabilities=* ]]; then has_right=1; fi
    if ((NB_NOTEBOOK_PORT < 1024)); then needs_right=1; fi
    if [[ $has_right == "$needs_right" ]]; then return 0; fi
    with_present_rights "$text"
    replace_whole "$file" "$PROGRAM_OWNER" 644 "$REPLY"
}

# REPLY: the text of a unit with the rights that the port needs.
with_present_rights() { # TEXT
    local line text='' rights
    rights_section
    rights=$REPLY
    while IFS= read -r line; do
        case $line in
            CapabilityBoundingSet=*) text+=$rights$'\n' ;;
            AmbientCapabilities=* | PrivateUsers=*) ;;
            *) text+=$line$'\n' ;;
        esac
    done < <(printf %s "$1")
    REPLY=$text
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

# REPLY: new lines of its log.
read_service_log() {
    read_journal
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
    end_lingering "$SERVICE_USER"
}

# REPLY: the file that names the program of the server, and whose last line says for which files it was started.
read_service_file() {
    REPLY=$UNIT_FOLDER/$SERVICE_UNIT
}

assert_can_restart() {
    return 0
}

assert_can_start() {
    return 0
}

has_start_with_system() {
    has_enabled_unit
}

# REPLY: what the settings say about the use of the host, and what systemd enforces now, as JSON. systemd writes the
# processor time as that of one second.
read_limits_status() {
    local all
    read_unit "$SERVICE_UNIT" MemoryMax TasksMax CPUQuotaPerSecUSec
    one_limit memory_max "$NB_SERVICE_MEMORY_MAX" "${UNIT[MemoryMax]:-}"
    all=$LIMIT
    one_limit tasks_max "$NB_SERVICE_TASKS_MAX" "${UNIT[TasksMax]:-}"
    all+=,$LIMIT
    one_limit cpu_quota "$NB_SERVICE_CPU_QUOTA" "${UNIT[CPUQuotaPerSecUSec]:-}"
    REPLY="{$all,$LIMIT}"
}

# LIMIT: a limit as JSON. What systemd says is empty if nothing is set up, or if it has no such limit.
one_limit() { # NAME ASKED NOW
    local now=$3
    if ! is_set_up || [[ ! $now =~ ^[0-9a-z.\ ]{1,40}$ ]]; then now=''; fi
    printf -v LIMIT '"%s":{"asked":"%s","now":"%s"}' "$1" "$2" "$now"
}

# The unit ends all its processes, and the service can write only to its own folder and to the notebooks.
warn_of_account() {
    return 0
}
