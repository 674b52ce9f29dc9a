# ---- prelude: host_checks --------------------------------------------------------------------------
# Refuse a host with the wrong processor, system, rights, account, clock, or disk.

# The step preflight calls these. In user scope, what only the machine scope needs is not checked.

assert_architecture() {
    local should=x86_64
    if [[ $NB_ARCHITECTURE == arm64 ]]; then should=aarch64; fi
    if [[ $HOSTTYPE != "$should" ]]; then
        fail wrong-architecture 'the processor is {is}, but the inventory has architecture = "{architecture}". '\
'Correct architecture in the inventory' \
            is "$HOSTTYPE" architecture "$NB_ARCHITECTURE"
    fi
}

assert_root() {
    if [[ $NB_SCOPE != user && $EUID -ne 0 ]]; then
        fail not-root 'root rights are missing. Run this as root, or with sudo'
    fi
}

assert_programs_installed() {
    local program
    local -a programs=(flock setsid sha256sum stat)
    if [[ $NB_SCOPE != user ]]; then programs+=(setpriv find getent useradd systemctl); fi
    for program in "${programs[@]}"; do
        if [[ ! $(type -P "$program") ]]; then
            fail program-missing 'the program {program} is missing. '\
'Install the package that contains it, then run this again' \
                program "$program"
        fi
    done
}

assert_systemd() {
    if [[ $NB_SCOPE == user || -d /run/systemd/system ]]; then return; fi
    if [[ $NB_HOST == local ]]; then
        fail no-systemd-locally 'systemd does not run this host, but the notebook server is a systemd unit. '\
'Set scope = "user" for [hosts.local] in the inventory: in user scope, the server runs without systemd'
    fi
    fail no-systemd 'systemd does not run this host, but the notebook server is a systemd unit. '\
'Choose a host that runs systemd'
}

assert_distribution() {
    if [[ $NB_SCOPE == user ]]; then return; fi
    read_system
    if [[ $PACKAGE_MANAGER ]]; then return; fi
    if [[ $NB_HOST == local ]]; then
        fail unsupported-system-locally 'the system is {name}, but Debian, Ubuntu, openSUSE, and SLES are supported. '\
'Set scope = "user" for [hosts.local] in the inventory: user scope supports other systems' \
            name "${SYSTEM_NAME:-unknown}"
    fi
    fail unsupported-system 'the system is {name}, but Debian, Ubuntu, openSUSE, and SLES are supported. '\
'Choose a host with one of these' \
        name "${SYSTEM_NAME:-unknown}"
}

assert_service_account() {
    if [[ $NB_SCOPE != user ]]; then assert_account "$SERVICE_USER" "$WORK_FOLDER"; fi
}

# A certificate from a host with a wrong clock is not valid yet, or expires too early. The workstation sends its time.
assert_clock() {
    local now host_time
    local -i seconds
    if [[ $NB_SCOPE == user || ! $RUN_TIME ]]; then return; fi
    printf -v now '%(%s)T' -1
    printf -v host_time '%(%Y-%m-%dT%H:%M:%SZ)T' "$now"
    seconds=$((now - $(date --utc --date="$RUN_TIME" +%s)))
    seconds=${seconds#-}
    if ((seconds <= 300)); then return; fi
    if ((seconds > 86400)); then
        fail clock-wrong 'the clock of this host says {host_time}, and that of the workstation says '\
'{workstation_time}. Set the wrong one (on this host: timedatectl set-ntp true), then run this again' \
            host_time "$host_time" workstation_time "$RUN_TIME"
    fi
    warn clock-differs 'the clock of this host says {host_time}, and that of the workstation says '\
'{workstation_time}. Set the wrong one (on this host: timedatectl set-ntp true)' \
        host_time "$host_time" workstation_time "$RUN_TIME"
    RUN_TIME=''                                    # the warning is reported once per run
}

# An environment takes about 1.5 GB, and so do the packages of the distribution. A new environment is created next to
# the one in use.
assert_free_space() {
    local folder blocks size
    local -i megabytes
    read_installation_folder
    folder=$REPLY
    if [[ ! $folder ]]; then return; fi
    read -r blocks size < <(stat --file-system --format='%a %S' -- "$folder")
    megabytes=$((blocks * size / 1000000))
    if ((megabytes < 2000)); then
        fail folder-space-low 'only {free} MB are free in {folder}, but 2000 MB are needed. '\
'Make room, then run this again' \
            free "$megabytes" folder "$folder"
    fi
}

# REPLY: an existing folder on the disk that the packages will use, or '' if they are already installed.
read_installation_folder() {
    REPLY=''
    if [[ $NB_PACKAGES_SOURCE == distribution ]]; then
        if [[ ! -e /usr/bin/jupyter-notebook ]]; then REPLY=/usr; fi
    elif [[ ! -e $LOCK_MARK ]]; then
        REPLY=${PROGRAMS%/*}
        if [[ $NB_SCOPE == user ]]; then REPLY=$HOME_FOLDER; fi
        if [[ -d $PROGRAMS ]]; then REPLY=$PROGRAMS; fi
    fi
}
